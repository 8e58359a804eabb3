"""Spot capacity that is taken away in the middle of a run: training goes on elsewhere, to the same weights.

A job on one instance is interrupted at many points in tests/unit/test_training_checkpoint.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
import torch

from tests.functional.conftest import wait_for
from tests.functional.stack.conftest import Deployed
from tools import pipeline
from training.torchvision_beside_cpu_torch import torchvision_models

pytestmark = pytest.mark.slow

EPOCHS = {"multi": 150, "ec2": 800}  # enough to be interrupted in the middle of them
KEPT = ("AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "HyperParameters")


def read(uri: str) -> bytes:
    """An object of S3."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def weights_of(model_data: str) -> str:
    """The SHA-256 of a model archive's weights."""
    with tarfile.open(fileobj=io.BytesIO(read(model_data))) as archive:
        member = next(name for name in archive.getnames() if name.endswith("weights.safetensors"))
        found = archive.extractfile(member)
        assert found is not None
        return hashlib.sha256(found.read()).hexdigest()


def trained_without_interruption(job: dict[str, Any]) -> str:
    """The weights that the same training job ends with when nobody takes its instances away."""
    client, name = boto3.client("sagemaker"), f"{job['TrainingJobName'][:50]}-whole"
    client.create_training_job(
        TrainingJobName=name,
        StoppingCondition={"MaxRuntimeInSeconds": 300},
        **{member: job[member] for member in KEPT},
    )
    client.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    return weights_of(client.describe_training_job(TrainingJobName=name)["ModelArtifacts"]["S3ModelArtifacts"])


def interrupt(stack: Deployed, **what: str) -> None:
    """Takes a job's instances, or an instance, away."""
    url = f"{stack.stack.endpoint_url}/_local_aws/interruptions"
    with urlopen(Request(url, json.dumps(what).encode(), method="POST")) as answer:
        assert answer.status == 200


def ended(execution: str) -> dict[str, Any]:
    """The output of an execution that succeeds."""
    client = boto3.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    found: dict[str, Any] = wait_for(look, "the run's end", 180)
    assert found["status"] == "SUCCEEDED", found.get("cause")
    output: dict[str, Any] = json.loads(found["output"])
    return output


def start(stack: Deployed, mode: str, **more: Any) -> str:
    """Starts a run on spot capacity; its label is its mode."""
    run_input = {
        **more,
        "run": mode,
        "train": {"mode": mode, "epochs": EPOCHS[mode], "spot": True},
        "gate": {"least_accuracy": 0, "largest_drop": 1},
        "endpoint": {"rollout_wait_seconds": 0},
    }
    return pipeline.start(stack.stack.state_machines["pipeline"], run_input)


def the_job(label: str) -> dict[str, Any]:
    """The run's training job, once it has kept a checkpoint."""
    client, s3 = boto3.client("sagemaker"), boto3.client("s3")

    def look() -> dict[str, Any] | None:
        found = client.list_training_jobs(NameContains=f"-{label}-", StatusEquals="InProgress")["TrainingJobSummaries"]
        jobs = [one["TrainingJobName"] for one in found if not one["TrainingJobName"].endswith("-features")]
        if not jobs:
            return None
        job: dict[str, Any] = client.describe_training_job(TrainingJobName=jobs[0])
        bucket, _, prefix = job["CheckpointConfig"]["S3Uri"].removeprefix("s3://").partition("/")
        return job if s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("KeyCount") else None

    job: dict[str, Any] = wait_for(look, "a checkpoint", 120)
    return job


def test_two_instances_that_are_interrupted_go_on_and_end_with_the_weights_of_two_that_were_not(
    deployed: Deployed, tmp_path: Path
) -> None:
    # given a run in training, with a checkpoint, on features of a backbone that no package carries
    weights = tmp_path / "mobilenet_v3_large.pth"  # random ones: what they are worth is not the point
    torch.save(torchvision_models().mobilenet_v3_large().state_dict(), weights)
    boto3.client("s3").upload_file(str(weights), deployed.stack.data_bucket, f"weights/{weights.name}")
    features = {"backbone": "mobilenet_v3_large", "pretrained": f"s3://{deployed.stack.data_bucket}/weights/"}
    execution = start(deployed, "multi", features=features)
    job = the_job("multi")
    # when its instances are taken away
    interrupt(deployed, TrainingJobName=job["TrainingJobName"])
    output = ended(execution)
    # then both have begun twice
    (trained,) = (step for step in output["steps"] if step["step"] == "Train")
    assert trained["instances"] == 2
    job = boto3.client("sagemaker").describe_training_job(TrainingJobName=job["TrainingJobName"])
    statuses = [one["Status"] for one in job["SecondaryStatusTransitions"]]
    assert "Interrupted" in statuses and statuses.count("Training") == 2
    # and one model came of it, which is that of a job that was let be, and serves
    assert weights_of(output["model_data"]) == trained_without_interruption(job)
    assert deployed.post(content=deployed.test_pictures[0].read_bytes()).json()["model"].startswith("multi-")


def in_training(but: str = "") -> Callable[[], str | None]:
    """Looks for the instance of the run on EC2 that trains, other than `but`."""

    client = boto3.client("ec2")
    wanted = [
        {"Name": "tag:kennel:run", "Values": ["ec2-*"]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]

    def look() -> str | None:
        for reservation in client.describe_instances(Filters=wanted)["Reservations"]:
            name = str(reservation["Instances"][0]["InstanceId"])
            said = client.get_console_output(InstanceId=name, Latest=True).get("Output", "")
            if name != but and "ec2: training" in said:
                return name
        return None

    return look


def test_an_interrupted_spot_instance_is_followed_by_one_that_ends_the_training(deployed: Deployed) -> None:
    # given a run in training on a spot instance
    execution = start(deployed, "ec2")
    first = wait_for(in_training(), "an instance in training", 120)
    # when it is taken back
    interrupt(deployed, InstanceId=first)
    # then another one ends the training (from which checkpoint: tests/functional/test_ec2_bootstrap.py)
    second = wait_for(in_training(but=first), "a second instance", 120)
    assert ended(execution)["run"].startswith("ec2-")
    # and no instance is left
    found = boto3.client("ec2").describe_instances(InstanceIds=[first, second])["Reservations"]
    assert {one["State"]["Name"] for reservation in found for one in reservation["Instances"]} == {"terminated"}
