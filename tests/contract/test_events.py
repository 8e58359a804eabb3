"""Every file in events/ is accepted or refused as its name says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from kennel import served
from kennel.batches import BATCH_FIELDS
from kennel.errors import InvalidBatch, InvalidRun
from kennel.settings import (
    classify_settings,
    plan_batch_settings,
    site_settings,
    validate_run_settings,
    watch_drift_settings,
)
from moto import mock_aws

from functions.classify import app as classify
from functions.plan_batch import app as plan_batch
from functions.site import app as site
from functions.validate_run import app as validate_run
from functions.watch_drift import app as watch_drift
from tests.unit.fakes import BUCKET, ENDPOINT, LambdaContext, Runtime, png

EVENTS = Path(__file__).parents[2] / "events"
NAMES = sorted(path.stem for path in EVENTS.glob("*.json"))
PIPELINE = [name for name in NAMES if name.removeprefix("bad_").startswith("pipeline_")]
BATCH = [name for name in NAMES if name.removeprefix("bad_").startswith("batch_")]
SITE = [name for name in NAMES if name.startswith("site_")]
DRIFT = [name for name in NAMES if name.startswith("drift_")]
REQUESTS = [name for name in NAMES if name not in (*PIPELINE, *BATCH, *SITE, *DRIFT)]

# Event -> (status, slug, a part of the detail). Every bad_*.json must be here.
REFUSED = {
    "bad_no_source": (400, "bad-request", "exactly one of url, image, s3 and pictures must be given; found none"),
    "bad_two_sources": (400, "bad-request", "found url and image"),
    "bad_unknown_field": (400, "invalid-field", "topk: there is no such field"),
    "bad_event_not_an_object": (400, "bad-request", "not a JSON object"),
    "bad_url_scheme_file": (400, "bad-url", "scheme"),
    "bad_url_port_22": (400, "bad-url", "port"),
    "bad_url_user_and_password": (400, "bad-url", "user or a password"),
    "bad_url_not_a_url": (400, "bad-url", "scheme"),
    "bad_url_metadata_service": (403, "address-not-allowed", "public address"),
    "bad_url_metadata_service_ipv6": (403, "address-not-allowed", "public address"),
    "bad_url_loopback": (403, "address-not-allowed", "public address"),
    "bad_url_loopback_decimal": (403, "address-not-allowed", "public address"),
    "bad_url_loopback_octal": (403, "address-not-allowed", "public address"),
    "bad_url_loopback_ipv4_mapped": (403, "address-not-allowed", "public address"),
    "bad_image_not_base64": (400, "invalid-field", "image: is not base64"),
    "bad_image_not_a_picture": (415, "unsupported-media-type", "first bytes"),
    "bad_image_gif": (415, "unsupported-media-type", "first bytes"),
    "bad_image_empty": (400, "invalid-field", "image: 0 characters is below 1"),
    "bad_s3_foreign_bucket": (403, "forbidden", "own"),
    "bad_s3_no_key": (400, "invalid-field", "s3: names no object"),
    "bad_s3_not_an_s3_uri": (400, "invalid-field", "s3: is not of the form"),
    "bad_top_k_zero": (400, "invalid-field", "top_k: 0 is below 1"),
    "bad_top_k_1001": (400, "invalid-field", "top_k: 1001 is above 1000"),
    "bad_top_k_text": (400, "invalid-field", "top_k: is not a whole number"),
    "bad_top_k_true": (400, "invalid-field", "top_k: is not a whole number"),
    "bad_output_unknown": (400, "invalid-field", "output: is not one of"),
    "bad_pictures_empty": (400, "invalid-field", "pictures: 0 entries is below 1"),
    "bad_pictures_17": (400, "invalid-field", "pictures: 17 entries is above 16"),
    "bad_pictures_not_a_list": (400, "invalid-field", "pictures: is not a list"),
    "bad_pictures_of_texts": (400, "invalid-field", "pictures[0]: is not an object"),
    "bad_pictures_two_sources_in_one": (400, "bad-request", "pictures[1]: exactly one of url, image and s3"),
    "bad_pictures_and_image": (400, "bad-request", "found image and pictures"),
    "bad_pictures_explain": (400, "invalid-field", "explain: is for one picture"),
    "bad_timing_with_logits": (400, "invalid-field", "timing: goes with output predictions only"),
    "bad_explain_text": (400, "invalid-field", "explain: is not true or false"),
    "bad_endpoint_name_of_another_stack": (403, "forbidden", "endpoint_name"),
    "bad_endpoint_name_without_request_dict": (400, "invalid-field", "request_dict: is missing"),
    "bad_request_dict_not_json": (400, "bad-request", "request_dict is not JSON"),
    "bad_api_empty_body": (400, "bad-request", "the body is empty"),
    "bad_api_broken_json": (400, "bad-request", "the body is not JSON"),
    "bad_api_text": (415, "unsupported-media-type", "neither a JPEG"),
    "bad_api_method_get": (405, "method-not-allowed", "GET"),
    "bad_api_unknown_route": (404, "not-found", "no such route"),
    "bad_api_body_not_base64": (400, "bad-request", "not base64"),
    "bad_api_unknown_query_parameter": (400, "invalid-field", "topk: there is no such query parameter"),
    "bad_api_top_k_twice": (400, "invalid-field", "top_k: is given twice"),
    "bad_api_timing_text": (400, "invalid-field", "timing: is not true or false"),
    "bad_api_form_without_boundary": (400, "bad-request", "names no boundary"),
    "bad_api_form_cut_off": (400, "bad-request", "the form is cut off"),
    "bad_api_form_with_a_field": (400, "invalid-field", "top_k: is a field of the form, not a file"),
    "bad_api_form_empty": (400, "bad-request", "the form has no picture"),
    "bad_api_form_of_17": (400, "bad-request", "more than 16 parts"),
    "bad_api_form_explain": (400, "invalid-field", "explain: is for one picture"),
    "bad_api_called_jpeg_but_pdf": (415, "unsupported-media-type", "neither a JPEG"),
    "bad_api_endpoint_name": (400, "invalid-field", "endpoint_name: there is no such field"),
    "bad_pipeline_unknown_field": (0, "", "train.epoch: there is no such field"),
    "bad_pipeline_unknown_section": (0, "", "training: there is no such field"),
    "bad_pipeline_epochs_zero": (0, "", "train.epochs: 0 is below 1"),
    "bad_pipeline_epochs_text": (0, "", "train.epochs: is not a whole number"),
    "bad_pipeline_epochs_fraction": (0, "", "train.epochs: is not a whole number"),
    "bad_pipeline_backbone_unknown": (0, "", "features.backbone: is not one of resnet50"),
    "bad_pipeline_instance_type_not_ml": (
        0,
        "",
        "train.instance_type: m5.large is EC2's name; with mode single it is ml.m5.large",
    ),
    "bad_pipeline_spot_text": (0, "", "train.spot: is not true or false"),
    "bad_pipeline_minimum_above_maximum": (0, "", "endpoint.minimum: 5 is above endpoint.maximum, 2"),
    "bad_pipeline_initial_instances_outside": (0, "", "endpoint.initial_instances: 9 is outside"),
    "bad_pipeline_run_name_with_spaces": (0, "", "run: is not of the form"),
    "bad_pipeline_section_not_an_object": (0, "", "train: is not an object"),
    "bad_pipeline_input_not_an_object": (0, "", "input: is not an object"),
    "bad_pipeline_data_of_another_account": (0, "", "data: somebody-elses-bucket is not this stack's data bucket"),
    "bad_pipeline_data_missing": (0, "", "data: s3://kennel-data/no-such-folder/train/ has no picture"),
    "bad_pipeline_data_not_an_s3_uri": (0, "", "data: is not of the form"),
    "bad_pipeline_weights_missing": (0, "", "features.pretrained: is needed for resnet50"),
    "bad_pipeline_grid_of_ranges": (0, "", "tune.ranges.learning_rate: grid tries values"),
    "bad_pipeline_ranges_upside_down": (0, "", "tune.ranges.epochs: minimum 50 is not below maximum 5"),
    "bad_pipeline_several_instances_without_multi": (0, "", "train.instances: is 3, but mode single takes 1"),
    "bad_pipeline_canary_with_one_instance": (0, "", "endpoint.rollout: canary moves some of 2 or more instances"),
    "bad_pipeline_budget_too_small": (0, "", "budget_usd: the run may cost $0.1"),
    "bad_pipeline_budget_without_a_price": (0, "", "budget_usd: cannot be held: there is no price for ml.p3.2xlarge"),
    "bad_pipeline_execution_name_not_a_tag": (0, "", "the execution's name"),
    "bad_pipeline_two_problems": (0, "", "train.seed: -1 is below 0"),
    "bad_batch_pictures_not_given": (0, "", "pictures: is not given, and no batch never-begun was begun"),
    "bad_batch_pictures_of_another_account": (0, "", "pictures: somebody-elses-bucket is not this stack's data bucket"),
    "bad_batch_pictures_not_an_s3_uri": (0, "", "pictures: is not of the form"),
    "bad_batch_folder_empty": (0, "", "pictures: s3://kennel-data/no-such-folder/ has no pictures"),
    "bad_batch_run_without_model": (0, "", "run: there is no model kennel-never-deployed"),
    "bad_batch_begun_with_other_pictures": (0, "", "pictures: the batch begun-before was begun with s3://kennel-data/"),
    "bad_batch_name_with_spaces": (0, "", "batch: is not of the form"),
    "bad_batch_unknown_field": (0, "", "topk: there is no such field"),
    "bad_batch_top_k_zero": (0, "", "top_k: 0 is below 1"),
    "bad_batch_two_problems": (0, "", "instances: 0 is below 1"),
    "bad_batch_input_not_an_object": (0, "", "input: is not an object"),
    "bad_batch_execution_name_not_a_tag": (0, "", "the execution's name"),
}


def load(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


ENVIRONMENT = {
    "ENDPOINT_NAME": ENDPOINT,
    "OWN_BUCKETS": BUCKET,
    "STACK_NAME": "kennel",
    "DATA_BUCKET": BUCKET,
    "ARTIFACT_BUCKET": "kennel-artifacts",
    "CODE_URI": "s3://kennel-artifacts/code/x/source.tar.gz",
    "CODE_SHA256": "0" * 64,
    "SERVING_REPOSITORY_URI": "000000000000.dkr.ecr.us-east-1.amazonaws.com/kennel",
    "DEFAULTS": "{}",
    "API_AUTH": "API_KEY",
    "LOG_GROUP": "/aws/sagemaker/Endpoints/kennel",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


@pytest.fixture(scope="module")
def deployed() -> Iterator[None]:
    """The environment and the data bucket that the events are written for. No event changes either."""
    settings = (classify_settings, plan_batch_settings, site_settings, validate_run_settings, watch_drift_settings)
    clients = (classify._s3, classify._session, plan_batch._client, site._client, validate_run._s3, watch_drift._client)
    caches = (*settings, *clients)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setattr(classify.metrics, "namespace", "Kennel")
        for cached in caches:
            cached.cache_clear()
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for split in ("train", "valid", "test"):
            for breed in ("001.Affenpinscher/Affenpinscher_00003.jpg", "002.Afghan_hound/Afghan_hound_00001.jpg"):
                s3.put_object(Bucket=BUCKET, Key=f"dogImages/{split}/{breed}", Body=png())
        s3.put_object(Bucket=BUCKET, Key="weights/resnet50.safetensors", Body=b"weights")
        deploy_for_batches(s3)
        yield
        for cached in caches:
            cached.cache_clear()


def deploy_for_batches(s3: Any) -> None:
    """A model in service, that of another run, and a batch that was begun."""
    sagemaker, runs = boto3.client("sagemaker"), ("run-20261120-090000-0a1b2c3d", "run-20261119-090000-0a1b2c3d")
    for run in runs:
        container = {"Image": f"{ENVIRONMENT['SERVING_REPOSITORY_URI']}:1", "ModelDataUrl": f"s3://{BUCKET}/model"}
        role = "arn:aws:iam::000000000000:role/serving"
        sagemaker.create_model(ModelName=f"kennel-{run}", PrimaryContainer=container, ExecutionRoleArn=role)
    begun = {"pictures": f"s3://{BUCKET}/dogImages/test/", "run": runs[0], "model": f"kennel-{runs[0]}", "top_k": 5}
    s3.create_bucket(Bucket="kennel-artifacts")
    s3.put_object(Bucket="kennel-artifacts", Key="batches/begun-before/settings.json", Body=json.dumps(begun))


@pytest.fixture
def in_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """What DescribeEndpoint would say."""
    found = served.Served("run-20261120-090000-0a1b2c3d", "kennel-run-20261120-090000-0a1b2c3d", "InService")
    monkeypatch.setattr(served, "look", lambda client, name: found)


@pytest.fixture
def stack(deployed: None, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """The endpoint behind classify, which remembers what it was asked."""
    runtime = Runtime()
    monkeypatch.setattr(classify, "_runtime", lambda: runtime)
    return runtime


@pytest.mark.parametrize("name", [name for name in REQUESTS if not name.startswith("bad_")])
def test_good_requests_are_answered(stack: Runtime, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # The internet is not there: what a URL leads to is tested in tests/unit/test_fetch.py.
    monkeypatch.setattr("kennel.fetch.fetch_image", lambda url, **limits: png())

    answer: Any = classify.handler(load(name), LambdaContext())

    assert answer["statusCode"] == 200, answer["body"]
    (call,) = stack.calls
    body = json.loads(answer["body"])
    if name.endswith("logits"):
        assert isinstance(body[0], list)
    elif name.endswith("argmax"):
        assert isinstance(body[0], int)
    elif "pictures" in name:
        assert all(result["predictions"] for result in body["results"])
    else:
        assert body["predictions"]
    assert ("explanation" in body) == name.endswith("explain")
    assert ("timing_ms" in body) == name.endswith(("explain", "json_pictures"))
    assert ("trace=" in call.get("CustomAttributes", "")) == name.endswith("ids")
    assert ("top_k" in call.get("CustomAttributes", "")) == name.endswith(("top_k", "argmax", "json_s3"))


@pytest.mark.parametrize("name", [name for name in REQUESTS if name.startswith("bad_")])
def test_bad_requests_are_refused_for_what_their_name_says(stack: Runtime, name: str) -> None:
    """With the real URL reader: none of these needs a network to be refused."""
    status, slug, part = REFUSED[name]

    answer: Any = classify.handler(load(name), LambdaContext())

    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["type"]) == (status, f"about:blank#{slug}"), body["detail"]
    assert part in body["detail"]
    assert not stack.calls


@pytest.mark.parametrize("name", [name for name in PIPELINE if not name.startswith("bad_")])
def test_good_pipeline_inputs_become_plans(stack: Runtime, name: str) -> None:
    plan = validate_run.handler(load(name), LambdaContext())

    assert plan["data"]["classes"] == 2
    for section in ("train", "endpoint", "gate"):
        for field, value in load(name)["input"].get(section, {}).items():
            assert plan[section][field] == value


@pytest.mark.parametrize("name", [name for name in PIPELINE if name.startswith("bad_")])
def test_bad_pipeline_inputs_are_refused_for_what_their_name_says(stack: Runtime, name: str) -> None:
    with pytest.raises(InvalidRun) as caught:
        validate_run.handler(load(name), LambdaContext())
    assert REFUSED[name][2] in str(caught.value)


@pytest.mark.parametrize("name", [name for name in BATCH if not name.startswith("bad_")])
def test_good_batch_inputs_become_plans(stack: Runtime, in_service: None, name: str) -> None:
    plan = plan_batch.handler(load(name), LambdaContext())

    given = load(name)["input"]
    assert (plan["left"], plan["taken"]) == (2, 2)
    assert plan["model"] == f"kennel-{given.get('run', 'run-20261120-090000-0a1b2c3d')}"
    assert {field: plan[field] for field in given if field in plan} == {f: v for f, v in given.items() if f in plan}


@pytest.mark.parametrize("name", [name for name in BATCH if name.startswith("bad_")])
def test_bad_batch_inputs_are_refused_for_what_their_name_says(stack: Runtime, in_service: None, name: str) -> None:
    with pytest.raises(InvalidBatch) as caught:
        plan_batch.handler(load(name), LambdaContext())
    assert REFUSED[name][2] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "status", "part"),
    [
        ("site_page", 200, "<h1>What does the picture show?</h1>"),
        ("site_health", 200, '"status":"ok"'),
        ("site_openapi", 200, '"openapi":"3.1.0"'),
        ("site_model", 503, "no model is in service"),  # in this account nothing was deployed
    ],
)
def test_what_the_site_tells_is_what_the_events_name_says(stack: Runtime, name: str, status: int, part: str) -> None:
    answer: Any = site.handler(load(name), LambdaContext())

    assert answer["statusCode"] == status, answer["body"]
    assert part in answer["body"]
    assert not stack.calls


def test_every_bad_event_is_in_the_table_and_the_other_way_round() -> None:
    assert {name for name in NAMES if name.startswith("bad_")} == set(REFUSED)


def test_every_form_and_every_field_has_a_good_event(stack: Runtime) -> None:
    texts = [json.dumps(load(name)) for name in REQUESTS if not name.startswith("bad_")]
    from kennel.requests import BASELINE_FIELDS, REQUEST_FIELDS  # noqa: PLC0415

    for form in (field.path for field in (*REQUEST_FIELDS, *BASELINE_FIELDS)):
        assert any(form in text for text in texts), form
    from kennel.runs import RUN_FIELDS  # noqa: PLC0415

    given: set[str] = set()
    for event in (load(name)["input"] for name in PIPELINE if not name.startswith("bad_")):
        given |= {f"{section}.{name}" for section, value in event.items() if isinstance(value, dict) for name in value}
        given |= {name for name, value in event.items() if not isinstance(value, dict)} - {"tune"}
    assert given == {field.path for field in RUN_FIELDS}
    assert load("batch_every_field")["input"].keys() == {field.path for field in BATCH_FIELDS}


def test_the_carolina_dog_is_the_very_event_people_know() -> None:
    assert load("carolina_dog") == {
        "url": "https://s3.amazonaws.com/cdn-origin-etr.akc.org/wp-content/uploads/2017/11/20113314/"
        "Carolina-Dog-standing-outdoors.jpg"
    }


@pytest.mark.parametrize("name", DRIFT)
def test_hours_are_looked_at_for_drift(stack: Runtime, in_service: None, name: str) -> None:
    boto3.client("logs").create_log_group(logGroupName=ENVIRONMENT["LOG_GROUP"])

    found = watch_drift.handler(load(name), LambdaContext())

    assert (found["event"], found["until"][:16]) == ("no samples", load(name)["time"][:16])
