"""validate_run: an input becomes a plan, or every reason why not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import boto3
import pytest
from kennel.errors import InvalidRun, SettingsError
from kennel.settings import validate_run_settings
from moto import mock_aws

from functions.validate_run import app
from tests.unit.fakes import BUCKET, LambdaContext, png

ENVIRONMENT = {
    "STACK_NAME": "kennel-local",
    "DATA_BUCKET": BUCKET,
    "ARTIFACT_BUCKET": "kennel-artifacts",
    "ENDPOINT_NAME": "kennel-local",
    "CODE_URI": "s3://kennel-artifacts/code/0123/source.tar.gz",
    "CODE_SHA256": "0123456789abcdef" * 4,
    "SERVING_REPOSITORY_URI": "000000000000.dkr.ecr.us-east-1.amazonaws.com/kennel-serving",
    "DEFAULTS": json.dumps({"train": {"instance_type": "ml.c5.xlarge"}, "endpoint": {"minimum": 1, "maximum": 3}}),
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
client = cache(boto3.client)  # each takes longer than a test; moto empties the account behind it
CLASSES = ("001.Affenpinscher", "002.Afghan_hound")


class Data:
    """The stack's data bucket, which a test fills."""

    def __init__(self) -> None:
        self.client = client("s3")
        self.client.create_bucket(Bucket=BUCKET)
        self.client.create_bucket(Bucket="kennel-artifacts")

    def put(self, key: str, body: bytes = png(100)) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def fill(self, root: str = "dogImages/", splits: tuple[str, ...] = ("train", "valid", "test")) -> None:
        for split in splits:
            for folder in CLASSES:
                for number in range(2):
                    self.put(f"{root}{split}/{folder}/{number}.png")


SECURED = {
    "KMS_KEY_ARN": "arn:aws:kms:us-east-1:000000000000:key/1",
    "SUBNET_IDS": "subnet-1,subnet-2",
    "SECURITY_GROUP_IDS": "sg-1",
}


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Data]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        validate_run_settings.cache_clear()
        yield Data()
        validate_run_settings.cache_clear()


def validate(run_input: Any = None, execution: str = "execution-1") -> dict[str, Any]:
    event = {
        "input": {} if run_input is None else run_input,
        "execution": execution,
        "started": "2026-11-20T10:00:00.5Z",
    }
    return app.handler(event, LambdaContext())


@pytest.fixture
def secured(data: Data, monkeypatch: pytest.MonkeyPatch) -> Data:
    """The same of a stack with a key and a private network."""
    for name, value in SECURED.items():
        monkeypatch.setenv(name, value)
    data.fill()
    return data


def test_a_key_and_a_private_network_are_the_plans(secured: Data) -> None:
    plan = validate({"endpoint": {"instance_type": "ml.g5.xlarge"}})

    network = {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    key = {"KmsKeyId": SECURED["KMS_KEY_ARN"]}
    sha256 = ENVIRONMENT["CODE_SHA256"]
    assert [one["ChannelName"] for one in plan["secured"].pop("channels")] == [sha256]
    assert plan["secured"] == {
        "output": key,
        "volume": {"VolumeKmsKeyId": SECURED["KMS_KEY_ARN"]},
        "job": {"VpcConfig": network, "EnableNetworkIsolation": True},
        "disk": key,
        "model": {"VpcConfig": network},
        "endpoint_config": {},  # SageMaker takes no key for an instance that has a disk of its own
        "package": {"SecurityConfig": key},
    }
    told = json.loads(plan["hyperparameters"]["train"]["sagemaker_submit_directory"])
    assert told == f"/opt/ml/input/data/{sha256}/source.tar.gz"


@pytest.mark.parametrize(
    ("instance", "has_own_disk"),
    [
        *(("ml.c7i.xlarge", False), ("ml.m5.large", False), ("ml.inf2.xlarge", False), ("ml.m5d.large", True)),
        *(("ml.g4dn.xlarge", True), ("ml.g6e.xlarge", True), ("ml.c6gd.large", True), ("ml.p4d.24xlarge", True)),
    ],
)
def test_disks_of_the_instances_own_get_no_key(secured: Data, instance: str, has_own_disk: bool) -> None:
    plan = validate({"train": {"instance_type": instance}, "endpoint": {"instance_type": instance}})
    assert (plan["secured"]["volume"] == plan["secured"]["endpoint_config"] == {}) == has_own_disk


def test_what_a_private_network_cannot_do_is_refused_with_what_can(secured: Data) -> None:
    assert refusal({"train": {"mode": "ec2"}, "endpoint": {"serving": "serverless"}}) == [
        "train.mode: ec2 installs packages from the internet, and this stack's network is private; single and multi "
        "train in it",
        "endpoint.serving: serverless endpoints cannot stand in a private network; realtime ones can",
    ]


def refusal(run_input: Any = None) -> list[str]:
    with pytest.raises(InvalidRun) as caught:
        validate(run_input)
    return caught.value.problems


def test_an_empty_input_becomes_a_whole_plan(data: Data) -> None:
    data.fill()

    plan = validate()

    assert re.fullmatch(r"run-20261120-100000-[0-9a-f]{8}", plan["run"])
    resource = f"kennel-local-{plan['run']}"
    assert plan["names"] == {
        "job": resource,
        "features": f"{resource}-features",
        "tune": f"kennel-local-{plan['run'][-8:]}",
        "evaluate": f"{resource}-evaluate",
        "model": resource,
        "endpoint_config": resource,
        "endpoint": "kennel-local",
        "package_group": "kennel-local",
    }
    smoke = plan["data"].pop("smoke_picture")
    assert smoke.startswith(f"s3://{BUCKET}/dogImages/test/00")
    assert len(plan["data"].pop("version")) == 64
    assert plan["data"] == {
        "uri": f"s3://{BUCKET}/dogImages/",
        "pictures": 12,
        "classes": 2,
        "judged": "test",
        "judged_uri": f"s3://{BUCKET}/dogImages/test/",
    }
    assert plan["code"] == {"uri": ENVIRONMENT["CODE_URI"], "sha256": ENVIRONMENT["CODE_SHA256"]}
    assert plan["image_uri"] == f"{ENVIRONMENT['SERVING_REPOSITORY_URI']}:0123456789abcdef"
    assert plan["output_uri"] == f"s3://kennel-artifacts/runs/{plan['run']}/"
    assert plan["train"]["instance_type"] == "ml.c5.xlarge"
    assert plan["endpoint"]["maximum"] == 3
    assert plan["parameters"]["run_name"] == plan["run"]
    for job in plan["hyperparameters"].values():
        assert all(isinstance(json.loads(value), str) for value in job.values())
    json.dumps(plan)


def test_two_executions_of_one_label_share_no_name(data: Data) -> None:
    data.fill()
    first, second = validate({"run": "mine"}, "a"), validate({"run": "mine"}, "b")
    for name in ("job", "model", "endpoint_config"):
        assert first["names"][name] != second["names"][name]
    assert first["names"]["endpoint"] == second["names"]["endpoint"]
    assert first["run"].startswith("mine-")


def test_the_input_decides_over_the_stacks_defaults(data: Data) -> None:
    data.fill("other/")
    plan = validate(
        {
            "data": f"s3://{BUCKET}/other",
            "train": {"learning_rate": 1e-5},
            "features": {"backbone": "efficientnet_lite2"},
        }
    )
    assert plan["data"]["uri"] == f"s3://{BUCKET}/other/"
    assert (plan["parameters"]["learning_rate"], plan["parameters"]["backbone"]) == (
        "1e-05",
        "efficientnet_lite2",
    )


def test_wrong_fields_are_all_named_before_the_data_is_looked_at(data: Data) -> None:
    assert refusal({"train": {"epochs": 0}, "feature": {}}) == [
        "train.epochs: 0 is below 1",
        "feature: there is no such field",
    ]


def test_error_type_is_the_one_the_state_machine_knows() -> None:
    assert InvalidRun.__name__ == "InvalidRun"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://somebody-elses-bucket/dogImages/", "is not this stack's data bucket"),
        ("/home/me/dogs", "is not of the form s3://bucket/key"),
        (f"s3://{BUCKET}/nothing/", "train/ has no picture in a class folder"),
    ],
)
def test_data_that_cannot_be_used_is_refused(data: Data, uri: str, reason: str) -> None:
    data.fill()
    assert reason in refusal({"data": uri})[0]
    assert refusal({"data": uri})[0].startswith("data: ")


def test_a_missing_bucket_is_the_inputs_problem(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_BUCKET", "no-such-bucket")
    assert refusal() == ["data: s3://no-such-bucket/dogImages/ cannot be read: NoSuchBucket"]


def test_missing_splits_are_named(data: Data) -> None:
    data.fill(splits=("train",))
    assert refusal() == [f"data: s3://{BUCKET}/dogImages/valid/ has no picture in a class folder"]


def test_a_data_set_without_test_pictures_is_taken(data: Data) -> None:
    data.fill(splits=("train", "valid"))
    plan = validate()
    assert plan["data"]["pictures"] == 8
    assert "/valid/" in plan["data"]["smoke_picture"]
    assert (plan["data"]["judged"], plan["data"]["judged_uri"]) == ("valid", f"s3://{BUCKET}/dogImages/valid/")


def test_classes_must_agree(data: Data) -> None:
    data.fill()
    data.put("dogImages/valid/003.Beagel/1.png")
    data.put("dogImages/train/003.Beagle/1.png")
    assert refusal() == [
        f"data: s3://{BUCKET}/dogImages/valid/ has classes that train/ lacks: 003.Beagel",
        f"data: s3://{BUCKET}/dogImages/valid/ lacks classes of train/: 003.Beagle",
    ]


def test_one_class_is_no_choice(data: Data) -> None:
    for split in ("train", "valid"):
        data.put(f"dogImages/{split}/001.Affenpinscher/1.png")
    assert "has one class only" in refusal()[0]


def test_markers_hidden_and_misplaced_files_are_no_pictures(data: Data) -> None:
    data.fill()
    keys = (
        "",
        "train/",
        "train/001.Affenpinscher/",
        "train/001.Affenpinscher/.DS_Store",
        "train/x.png",
        "train/a/b/c.png",
    )
    for key in keys:
        data.put(f"dogImages/{key}", b"")
    assert validate()["data"]["pictures"] == 12


def test_the_smoke_picture_is_a_picture_of_middle_size(data: Data) -> None:
    data.fill(splits=("train", "valid"))
    for name, body in {
        "0-empty.png": b"",
        "1-stub.png": png(13)[:13],
        "2-text.png": b"this is text, of about the middle size".ljust(1010),
        "3-good.png": png(1000),
        "4-huge.png": png(4_600_000),
        "5-large.png": png(2_000_000),
    }.items():
        data.put(f"dogImages/test/001.Affenpinscher/{name}", body)
    assert validate()["data"]["smoke_picture"].endswith("/3-good.png")


def test_a_test_split_of_broken_pictures_falls_back_to_valid(data: Data) -> None:
    data.fill(splits=("train", "valid"))
    data.put("dogImages/test/001.Affenpinscher/1.png", b"not a picture at all")
    assert "/valid/" in validate()["data"]["smoke_picture"]


def test_data_without_a_readable_picture_is_refused(data: Data) -> None:
    for split in ("train", "valid"):
        for folder in CLASSES:
            data.put(f"dogImages/{split}/{folder}/1.png", b"not a picture at all")
    assert "no readable test or valid picture" in refusal()[0]


def test_broken_stack_defaults_are_not_blamed_on_the_input(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULTS", '{"train": {"epochs": 0}}')
    with pytest.raises(SettingsError, match=r"DEFAULTS is not valid: train\.epochs: 0 is below 1"):
        validate({"train": {"epochs": 5}})


def test_weights_that_no_package_carries_must_be_given_and_be_there(data: Data) -> None:
    data.fill()
    features = {"backbone": "resnet50"}

    assert refusal({"features": features}) == [
        "features.pretrained: is needed for resnet50, whose weights no package carries"
    ]
    features["pretrained"] = f"s3://{BUCKET}/weights"
    assert refusal({"features": features}) == [
        f"features.pretrained: s3://{BUCKET}/weights/ has neither resnet50.safetensors nor resnet50.pth"
    ]
    data.put("weights/resnet50.safetensors")
    plan = validate({"features": features})
    assert plan["features"]["pretrained"] == f"s3://{BUCKET}/weights/"
    assert "pretrained" not in plan["parameters"]


@pytest.mark.parametrize("field", ["data", "features.pretrained"])
def test_training_reads_the_data_bucket_only(data: Data, field: str) -> None:
    data.fill()
    uri = "s3://kennel-artifacts/runs/"
    run_input = {"data": uri} if field == "data" else {"features": {"pretrained": uri}}
    assert refusal(run_input) == [f"{field}: kennel-artifacts is not this stack's data bucket, {BUCKET}"]


def test_features_are_the_same_for_the_same_pictures_backbone_and_settings_only(data: Data) -> None:
    data.fill()
    key = validate()["features"]["key"]

    assert validate({"train": {"epochs": 3, "learning_rate": 0.1}}, "other")["features"]["key"] == key
    assert validate({"features": {"views": 3}})["features"]["key"] != key
    data.put("dogImages/train/001.Affenpinscher/0.png", png(101))
    assert validate()["features"]["key"] != key


def test_the_longest_names_fit_and_begin_with_the_stacks(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    data.fill()
    monkeypatch.setenv("STACK_NAME", "s" * 22)

    names = validate({"run": "r" * 22})["names"]

    for name, longest in {"features": 63, "evaluate": 63, "job": 63, "tune": 32}.items():
        assert len(names[name]) <= longest and names[name].startswith("s" * 22 + "-"), name


def test_a_stack_whose_name_leaves_no_room_is_told_so(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    data.fill()
    monkeypatch.setenv("STACK_NAME", "s" * 23)
    with pytest.raises(SettingsError, match="more than 22 characters"):
        validate()


def test_an_expiry_is_counted_from_the_start(data: Data) -> None:
    data.fill()
    assert validate()["expires"] == "never"
    assert validate({"expires_after_hours": 36})["expires"] == "2026-11-21T22:00:00Z"


def test_sagemaker_searches_what_the_input_says(data: Data) -> None:
    data.fill()
    asked = {
        "learning_rate": {"minimum": 0.001, "maximum": 0.1, "scale": "log"},
        "epochs": {"minimum": 5, "maximum": 9},
        "batch_size": {"values": [16, 32]},
    }
    tune = validate({"tune": {"strategy": "hyperband", "ranges": asked, "trials": 9}})["tune"]["config"]

    assert tune["ParameterRanges"] == {
        "CategoricalParameterRanges": [{"Name": "batch_size", "Values": ["16", "32"]}],
        "ContinuousParameterRanges": [
            {"Name": "learning_rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
        ],
        "IntegerParameterRanges": [{"Name": "epochs", "MinValue": "5", "MaxValue": "9", "ScalingType": "Linear"}],
    }
    assert (tune["TrainingJobEarlyStoppingType"], tune["StrategyConfig"]["HyperbandStrategyConfig"]) == (
        "Off",
        {"MinResource": 3, "MaxResource": 30},
    )


def test_a_grid_has_as_many_trials_as_combinations(data: Data) -> None:
    data.fill()
    grid = {"epochs": {"values": [5, 10]}, "batch_size": {"values": [16, 32, 64]}}
    tune = validate({"tune": {"strategy": "grid", "ranges": grid}})["tune"]

    assert tune["config"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 6
    refused = refusal(
        {
            "tune": {
                "strategy": "grid",
                "ranges": {"epochs": {"values": list(range(1, 30))}, **{"batch_size": {"values": [8, 16, 32, 64]}}},
            }
        }
    )
    assert refused == ["tune.ranges: a grid of 116 combinations; from 2 to 100 can be tried"]
