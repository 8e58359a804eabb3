"""Plans as validate_run really makes them, and the state machines that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kennel.dataset import Dataset
from kennel.plan import Run, Weights, plan
from kennel.runs import parse_run
from kennel.s3uri import S3Uri
from kennel.settings import Secured, ValidateRunSettings

FOLDER = Path(__file__).parents[2] / "statemachine"
ROLE = "arn:aws:iam::000000000000:role/kennel"
STATES = "arn:aws:states:us-east-1:000000000000"
ARN = f"{STATES}:stateMachine:kennel"
SAGEMAKER = "arn:aws:sagemaker:us-east-1:000000000000"
SUBSTITUTIONS = {
    "TrainingRoleArn": ROLE,
    "ServingRoleArn": ROLE,
    "ServingRepository": "kennel/serving",
    "ImageBuildProject": "kennel-serving-image",
    "CpuTrainingImage": "cpu-image",
    "GpuTrainingImage": "gpu-image",
    "ArtifactBucket": "artifacts",
    "StackName": "kennel",
    "Region": "us-east-1",
    "PipelineArn": f"{ARN}-pipeline",
    "TeardownArn": f"{ARN}-teardown",
    "SageMakerArn": SAGEMAKER,
    "DeployArn": f"{ARN}-deploy",
    "BatchArn": f"{ARN}-batch",
    "PlanBatchFunctionArn": "plan",
    "CollectBatchFunctionArn": "collect",
    "TrainOnEc2Arn": f"{ARN}-train-on-ec2",
    "ApiHost": "api.execute-api.us-east-1.amazonaws.com",
    "AmiParameter": "/aws/service/ami",
    "EndpointErrorsAlarm": "errors",
    "EndpointLatencyAlarm": "latency",
    "ModelErrorsAlarm": "model-errors",
    "DriftSampleShare": "0.1",
    "SubnetId": "subnet-1",
    "SecurityGroupId": "sg-1",
    "InstanceProfileArn": "arn:aws:iam::000000000000:instance-profile/kennel",
}
SETTINGS = ValidateRunSettings(
    stack_name="kennel",
    data_bucket="data",
    artifact_bucket="artifacts",
    endpoint_name="kennel",
    code_uri="s3://artifacts/code/ab/source.tar.gz",
    code_sha256="abcdef0123456789" * 4,
    serving_repository_uri="localhost:5000/kennel/serving",
    region="us-east-1",
    defaults={"train": {"instance_type": "ml.c7i.xlarge"}},
)
PICTURES = S3Uri("data", "dogImages/")
FOUND = Dataset(
    PICTURES, 8, 2, S3Uri("data", "dogImages/test/1/a.jpg"), "c" * 64, "test", {"train": 4, "valid": 2, "test": 2}
)


def make_plan(
    run_input: dict[str, Any] | None = None, pretrained: str | None = None, secured: Secured | None = None
) -> dict[str, Any]:
    """The plan of an input, with its numbers as JSON has them; `secured` are the stack's options."""
    settings = SETTINGS._replace(secured=secured or Secured())
    weights = Weights(S3Uri("data", pretrained), "etag") if pretrained else None
    run = Run("first-1a2b3c4d", "execution", "2026-11-20T10:00:00Z")
    made: dict[str, Any] = json.loads(json.dumps(plan(run, parse_run(run_input or {}, {}), FOUND, weights, settings)))
    return made


def machine(name: str) -> dict[str, Any]:
    """A state machine, with the template's substitutions made."""
    text = (FOLDER / f"{name}.asl.json").read_text(encoding="utf-8")
    for variable, value in SUBSTITUTIONS.items():
        text = text.replace(f"${{{variable}}}", value)
    definition: dict[str, Any] = json.loads(text)
    return definition
