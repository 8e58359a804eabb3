"""One emulator for all functional tests, in a state directory of its own, and helpers to put things into it."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_aws import supervisor
from local_aws.processes import marked

BUNDLE = Path(__file__).parent / "fixtures" / "bundle"
ROLE = "arn:aws:iam::000000000000:role/test"


def packed(folder: Path | None = None, **files: str) -> bytes:
    """A .tar.gz of `folder` and of `files` (name -> text)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        if folder is not None:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.add(path, arcname=str(path.relative_to(folder)))
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def came(check: Callable[[], Any], seconds: float) -> Any:
    """The first true answer of `check`, the last false one when none came in time.

    It asks more seldom the longer it waits, because asking takes the cores' time from what is waited for.
    """
    began = time.monotonic()
    while not (found := check()) and (waited := time.monotonic() - began) < seconds:
        time.sleep(min(0.25, max(0.02, waited / 10)))
    return found


def wait_for(check: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """The first true answer of `check`."""
    found = came(check, seconds)
    assert found, f"never came: {what}"
    return found


@dataclass
class LocalAws:
    """A started emulator, with ROLE in it."""

    state: Path
    info: dict[str, Any]
    _clients: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        make_role(self)

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client of it, made once, without retries: a test wants to see every answer."""
        key = self.info["endpoint_url"], service, *sorted(config.items())
        if key not in self._clients:
            self._clients[key] = boto3.client(
                service,
                endpoint_url=self.info["endpoint_url"],
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}, **config),
            )
        return self._clients[key]


@dataclass
class Stage:
    """An emulator with a bucket, code, data and an image in it."""

    aws: LocalAws
    bucket: str
    image: str

    def job(self, name: str, **changes: Any) -> dict[str, Any]:
        """A right CreateTrainingJob request; `mode` chooses what the script does."""
        mode = changes.pop("mode", "good")
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.13-cpu-amzn2023-sagemaker",
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": "validation:accuracy", "Regex": "metric validation:accuracy=([0-9.eE+-]+)"}
                ],
            },
            "HyperParameters": {
                "sagemaker_program": "training/train.py",
                "sagemaker_submit_directory": f'"s3://{self.bucket}/code/source.tar.gz"',
                "mode": f'"{mode}"',
                "epochs": "3",
            },
            "InputDataConfig": [
                {
                    "ChannelName": "training",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/data/"}},
                }
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/runs"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        return {**request, **changes}

    def model(self, name: str, **files: str) -> None:
        """Creates a model whose artifact holds `files`."""
        key = f"models/{name}/model.tar.gz"
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=packed(None, **files))
        container = {
            "Image": self.image,
            "ModelDataUrl": f"s3://{self.bucket}/{key}",
            "Environment": {"GREETING": "woof"},
        }
        self.aws.client("sagemaker").create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)

    def config(self, name: str, model: str, instances: int = 1) -> None:
        """Creates an endpoint configuration with one variant."""
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": model,
            "InstanceType": "ml.c7i.large",
            "InitialInstanceCount": instances,
        }
        self.aws.client("sagemaker").create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])

    def endpoint(self, instances: int = 1, **files: str) -> str:
        """A new endpoint in service; gives its name, which is its model's and configuration's too."""
        name = f"e-{uuid.uuid4().hex[:8]}"
        self.model(name, **{"version.txt": "1", **files})
        self.config(name, name, instances)
        client = self.aws.client("sagemaker")
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
        client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        return name


def make_role(aws: LocalAws) -> None:
    """ROLE: every service may take it on and it may do everything, for tests that are not about IAM."""
    services = ("sagemaker", "lambda", "states", "codebuild", "ec2", "events", "scheduler")
    trust = {"Effect": "Allow", "Principal": {"Service": [f"{one}.amazonaws.com" for one in services]}}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    iam = aws.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(
            RoleName="test", AssumeRolePolicyDocument=json.dumps({"Statement": [{**trust, "Action": "sts:AssumeRole"}]})
        )
        iam.put_role_policy(
            RoleName="test", PolicyName="everything", PolicyDocument=json.dumps({"Statement": [everything]})
        )


def build_stage(aws: LocalAws) -> Stage:
    """Puts bucket, code, data and image into a fresh emulator."""
    s3, codebuild = aws.client("s3"), aws.client("codebuild")
    s3.create_bucket(Bucket="stage")
    s3.put_object(Bucket="stage", Key="code/source.tar.gz", Body=packed(BUNDLE))
    for number in range(4):
        s3.put_object(Bucket="stage", Key=f"data/train/{number}.jpg", Body=b"picture")
    aws.client("ecr").create_repository(repositoryName="kennel/serving")
    codebuild.create_project(
        name="image",
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=ROLE,
    )
    image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/kennel/serving:v1"
    override = [{"name": "CODE_URI", "value": "s3://stage/code/source.tar.gz"}, {"name": "IMAGE_URI", "value": image}]
    build = codebuild.start_build(projectName="image", environmentVariablesOverride=override)["build"]["id"]

    def done() -> str | None:
        status: str = codebuild.batch_get_builds(ids=[build])["builds"][0]["buildStatus"]
        return None if status == "IN_PROGRESS" else status

    assert wait_for(done, "the build's end") == "SUCCEEDED"
    return Stage(aws, "stage", image)


def assert_all_written(state: Path) -> None:
    """An emulator that has ended has written every record of our own services as it was (local_aws/store.py)."""
    assert "changed and not written" not in (state / "local_aws.log").read_text()


@contextlib.contextmanager
def emulator(state: Path, **settings: str) -> Iterator[LocalAws]:
    """An emulator of one's own, started under the settings; at the end no process of it is left."""
    state = state.resolve()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"LOCAL_AWS_STARTUP_TIMEOUT": "20", **settings}.items():
            patch.setenv(name, value)
        info = supervisor.up(state, 0)
    try:
        yield LocalAws(state, info)
    finally:
        supervisor.down(state)
    assert marked(state) == []
    assert_all_written(state)


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The session's emulator. Waits are short where AWS's are long."""
    state = tmp_path_factory.mktemp("local-aws")
    with emulator(state, LOCAL_AWS_STOP_GRACE="1", LOCAL_AWS_INVOKE_TIMEOUT="3") as aws:
        yield aws


@pytest.fixture(scope="session")
def stage(local_aws: LocalAws) -> Stage:
    """The session's emulator with things in it."""
    return build_stage(local_aws)
