"""training/ec2_bootstrap.sh on an instance of the embedded EC2, for a Step Functions task that waits for its token."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local_aws.settings import REPOSITORY_ROOT

from .conftest import ROLE, LocalAws, emulator, packed, wait_for
from .test_local_aws_ec2 import DLAMI, console, interrupt, look, reach

pytestmark = pytest.mark.slow  # each run calls the AWS CLI about ten times

# As much of a training program as the bootstrap can tell from the real one.
TRAIN = """
import os, sys, time
from pathlib import Path
model, checkpoints = Path(os.environ["SM_MODEL_DIR"]), Path(os.environ["SM_CHECKPOINT_DIR"])
print("arguments", sys.argv[1:], "token" if "TASK_TOKEN" in os.environ else "no token", flush=True)
print("pictures", sorted(path.name for path in Path(os.environ["SM_CHANNEL_TRAINING"]).rglob("*.jpg")), flush=True)
print("features", "SM_CHANNEL_FEATURES" in os.environ, "weights", "SM_CHANNEL_PRETRAINED" in os.environ, flush=True)
if (checkpoints / "epoch").exists():
    print("going on from epoch", (checkpoints / "epoch").read_text(), flush=True)
elif "wait" in sys.argv:
    (checkpoints / "epoch").write_text("3")
    print("waiting", flush=True)
    time.sleep(600)
if "bad" in sys.argv:
    sys.exit('error: the data has only one class: "dogs"')
print("metric validation:accuracy=0.5 epoch=1")
print("metric validation:accuracy=0.75 epoch=2")
(model / "model.json").write_text("{}")
"""
MAY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*", "states:*"], "Resource": "*"}]}


@dataclass
class Place:
    """An emulator with code, data and an instance profile in it."""

    aws: LocalAws
    bucket: str
    profile: str

    def start(self, name: str, mode: str = "good", **exports: str) -> str:
        """Starts an execution whose only state is one training run in the folder `name`; gives its ARN."""
        values = {
            "AWS_DEFAULT_REGION": "us-east-1",
            "HEARTBEAT_SECONDS": "10",
            "CODE_URI": f"s3://{self.bucket}/code.tar.gz",
            "DATA_URI": f"s3://{self.bucket}/data/",
            "FEATURES_URI": "",
            "PRETRAINED_URI": f"s3://{self.bucket}/weights",
            "CHECKPOINT_URI": f"s3://{self.bucket}/{name}/checkpoints/",
            "OUTPUT_URI": f"s3://{self.bucket}/{name}/output/model.tar.gz",
            "LOG_URI": f"s3://{self.bucket}/{name}/output/training.log",
            **exports,
        }
        lines = "".join(f"export {variable}={value}\\n" for variable, value in values.items())
        hyperparameters = json.dumps({"mode": mode, "run": "a b"}).replace('"', '\\"')
        script = (
            f"'#!/bin/bash\\nshutdown -h +10\\n{lines}export TASK_TOKEN=' & $states.context.Task.Token & "
            f"'\\nexport HYPERPARAMETERS_B64=' & $base64encode(\"{hyperparameters}\") & "
            '\'\\ncd "$(mktemp -d)" && aws s3 cp --quiet "$CODE_URI" code.tar.gz && tar xzf code.tar.gz && '
            "exec bash training/ec2_bootstrap.sh\\n'"
        )
        request = {
            "ImageId": f"resolve:ssm:{DLAMI}",
            "InstanceType": "c7i.large",
            "MinCount": 1,
            "MaxCount": 1,
            "IamInstanceProfile": {"Name": self.profile},
            "InstanceInitiatedShutdownBehavior": "terminate",
            "InstanceMarketOptions": {"MarketType": "spot"},
            "UserData": f"{{% $base64encode({script}) %}}",
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "run", "Value": name}]}],
        }
        resource = "arn:aws:states:::aws-sdk:ec2:runInstances.waitForTaskToken"
        state = {"Type": "Task", "Resource": resource, "Arguments": request, "End": True, "TimeoutSeconds": 120}
        definition = {"QueryLanguage": "JSONata", "StartAt": "Train", "States": {"Train": state}}
        client = self.aws.client("stepfunctions")
        machine = client.create_state_machine(
            name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
        )
        return str(client.start_execution(stateMachineArn=machine["stateMachineArn"], input="{}")["executionArn"])

    def ended(self, execution: str) -> dict[str, Any]:
        """The execution once it has ended."""
        client = self.aws.client("stepfunctions")

        def over() -> dict[str, Any] | None:
            found: dict[str, Any] = client.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        found: dict[str, Any] = wait_for(over, "the execution's end", 120)
        return found

    def instance(self, name: str) -> str:
        """The first instance of a run."""
        asked = [{"Name": "tag:run", "Values": [name]}]

        def found() -> list[Any]:
            groups = self.aws.client("ec2").describe_instances(Filters=asked)["Reservations"]
            return [one for group in groups for one in group["Instances"]]

        first: str = wait_for(found, "the instance")[0]["InstanceId"]
        return first

    def read(self, key: str) -> bytes:
        """An object."""
        data: bytes = self.aws.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An emulator of its own, in which a spot instance has 24 seconds' notice."""
    state = tmp_path_factory.mktemp("ec2-bootstrap")
    with emulator(state, LOCAL_AWS_TIME_FACTOR="5", LOCAL_AWS_STOP_GRACE="1") as aws:
        yield prepare(aws)


def prepare(aws: LocalAws) -> Place:
    """Code, data and an instance profile."""
    bucket, s3, iam = "training", aws.client("s3"), aws.client("iam")
    real = REPOSITORY_ROOT / "training"
    shipped = {f"training/{name}": (real / name).read_text() for name in ("ec2_bootstrap.sh", "ec2_tools.py")}
    code = {"training/__init__.py": "", "training/train.py": TRAIN, "requirements.txt": "pytest==1.0\n", **shipped}
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="code.tar.gz", Body=packed(None, **code))
    s3.put_object(Bucket=bucket, Key="data/train/beagle/a b.jpg", Body=b"picture")
    s3.put_object(Bucket=bucket, Key="weights/weights.safetensors", Body=b"weights")
    iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=json.dumps(_trust("ec2")))
    iam.put_role_policy(RoleName="trainer", PolicyName="all", PolicyDocument=json.dumps(MAY))
    iam.create_instance_profile(InstanceProfileName="trainer")
    iam.add_role_to_instance_profile(InstanceProfileName="trainer", RoleName="trainer")
    return Place(aws, bucket, "trainer")


def _trust(service: str) -> dict[str, Any]:
    principal = {"Service": f"{service}.amazonaws.com"}
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }


def test_a_run_reports_its_model_and_ends_its_instance(place: Place) -> None:
    ended = place.ended(place.start("good"))

    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    output, instance, log = json.loads(ended["output"]), place.instance("good"), place.read("good/output/training.log")
    assert output.pop("seconds") > 0
    assert output == {
        "model_data": "s3://training/good/output/model.tar.gz",
        "instance_id": instance,
        "metrics": {"validation:accuracy": 0.75},
    }
    with tarfile.open(fileobj=io.BytesIO(place.read("good/output/model.tar.gz"))) as archive:
        assert archive.getnames() == ["model.json"]
    assert b"arguments ['--mode', 'good', '--run', 'a b'] no token" in log
    assert b"pictures ['a b.jpg']\nfeatures False weights True" in log
    reach(place.aws, instance, "terminated", 60)
    assert look(place.aws, instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_failed_run_says_why_in_the_programs_own_words(place: Place) -> None:
    ended = place.ended(place.start("bad", "bad"))

    assert (ended["status"], ended["error"]) == ("FAILED", "TrainingFailed")
    assert ended["cause"] == 'error: the data has only one class: "dogs"'
    assert b"only one class" in place.read("bad/output/training.log")
    reach(place.aws, place.instance("bad"), "terminated", 60)


def test_a_step_before_training_that_fails_is_named(place: Place) -> None:
    ended = place.ended(place.start("nodata", DATA_URI="s3://no-such-bucket/data"))

    assert ended["error"] == "TrainingFailed"
    assert ended["cause"].startswith("error: fetching the data failed: fatal error: An error occurred (NoSuchBucket)")
    reach(place.aws, place.instance("nodata"), "terminated", 60)


def test_a_spot_interruption_keeps_the_checkpoint_and_a_new_instance_goes_on_from_it(place: Place) -> None:
    execution = place.start("spot", "wait")
    instance = place.instance("spot")
    wait_for(lambda: _is_training(place, instance), "training", 60)
    interrupt(place.aws, instance)

    interrupted = place.ended(execution)
    again = place.ended(place.start("spot", "wait"))

    assert (interrupted["error"], interrupted["cause"]) == (
        "SpotInterrupted",
        "error: the spot instance was taken back",
    )
    assert again["status"] == "SUCCEEDED"
    assert b"going on from epoch 3" in place.read("spot/output/training.log")


def test_when_nobody_waits_any_more_the_instance_ends_itself(place: Place) -> None:
    execution = place.start("alone", "wait", HEARTBEAT_SECONDS="2")
    instance = place.instance("alone")
    wait_for(lambda: _is_training(place, instance), "training", 60)

    place.aws.client("stepfunctions").stop_execution(executionArn=execution)

    reach(place.aws, instance, "terminated", 60)
    assert "(nobody)" in console(place.aws, instance)


def _is_training(place: Place, instance: str) -> bool:
    folders = (place.aws.state / "instances" / instance / "tmp").glob("tmp.*/training.log")
    return any("waiting" in path.read_text() for path in folders)
