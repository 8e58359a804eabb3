"""Managed spot training of the embedded AWS: jobs that lose their instances and go on from their checkpoints."""

from __future__ import annotations

import json
import urllib.request
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Stage, wait_for
from .test_local_aws_jobs import ended, lines

LIMITS = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120}


def start(stage: Stage, mode: str = "spot", **changes: Any) -> str:
    """Starts a spot job that counts to three, a second each."""
    name = f"spot-{uuid.uuid4().hex[:8]}"
    changes = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": LIMITS,
        "CheckpointConfig": {"S3Uri": f"s3://{stage.bucket}/spot/{name}"},
        **changes,
    }
    stage.aws.client("sagemaker").create_training_job(**stage.job(name, mode=mode, **changes))
    return name


def interrupt(stage: Stage, name: str) -> None:
    """What AWS does when it needs its instances for somebody who pays more."""
    body = json.dumps({"TrainingJobName": name}).encode()
    url = f"{stage.aws.info['endpoint_url']}/_local_aws/interruptions"
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")) as answer:
        assert answer.status == 200


def test_an_interrupted_job_goes_on_from_its_checkpoint_and_completes(stage: Stage) -> None:
    environment = {"LOCAL_AWS_SPOT_INTERRUPTIONS": "1", "LOCAL_AWS_SPOT_INTERRUPT_AFTER": "1.5"}

    job = ended(stage, start(stage, Environment=environment))

    assert job["TrainingJobStatus"] == "Completed"
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]] == [
        "Starting", "Downloading", "Training", "Interrupted",
        "Starting", "Downloading", "Training", "Uploading", "Completed",
    ]  # fmt: skip
    said = [line for line in lines(stage, job["TrainingJobName"]) if line.startswith("from:")]
    assert said == ["from: 0", "from: 1"]
    assert job["TrainingTimeInSeconds"] >= 3
    assert job["BillableTimeInSeconds"] == max(1, round(0.3 * job["TrainingTimeInSeconds"]))


def test_instances_can_be_taken_away_at_any_time(stage: Stage) -> None:
    name = start(stage)
    wait_for(lambda: "from: 0" in lines(stage, name), "the script's start")

    interrupt(stage, name)

    job = ended(stage, name)
    assert job["TrainingJobStatus"] == "Completed"
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]].count("Interrupted") == 1


def test_a_job_that_is_interrupted_too_often_runs_out_of_its_waiting_time(stage: Stage) -> None:
    environment = {"LOCAL_AWS_SPOT_INTERRUPTIONS": "99", "LOCAL_AWS_SPOT_INTERRUPT_AFTER": "0.2"}
    limits = {"MaxRuntimeInSeconds": 4, "MaxWaitTimeInSeconds": 4}

    job = ended(stage, start(stage, mode="wait", Environment=environment, StoppingCondition=limits))

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]].count("Interrupted") >= 2


def test_a_job_can_be_stopped_between_two_attempts(stage: Stage) -> None:
    environment = {"LOCAL_AWS_SPOT_INTERRUPTIONS": "1", "LOCAL_AWS_SPOT_INTERRUPT_AFTER": "0"}
    client = stage.aws.client("sagemaker")
    name = start(stage, mode="wait", Environment=environment)
    wait_for(
        lambda: client.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Interrupted", "interruption"
    )

    client.stop_training_job(TrainingJobName=name)

    assert ended(stage, name)["SecondaryStatus"] == "Stopped"


def test_a_job_that_is_not_a_spot_job_is_never_interrupted(stage: Stage) -> None:
    environment = {"LOCAL_AWS_SPOT_INTERRUPTIONS": "1", "LOCAL_AWS_SPOT_INTERRUPT_AFTER": "0"}
    name = f"job-{uuid.uuid4().hex[:8]}"

    stage.aws.client("sagemaker").create_training_job(**stage.job(name, Environment=environment))

    steps = [step["Status"] for step in ended(stage, name)["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60}}, "greater than or equal to MaxRuntimeInSeconds"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}}, "Invalid MaxWaitTime"),
        ({"EnableManagedSpotTraining": False}, "EnableManagedSpotTraining is false"),
        ({"Environment": {"LOCAL_AWS_SPOT_INTERRUPTIONS": "often"}}, "must be a whole number"),
        (
            {
                "ResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 1,
                    "KeepAlivePeriodInSeconds": 60,
                }
            },
            "KeepAlivePeriodInSeconds",
        ),
    ],
)
def test_a_wrong_spot_request_is_refused(stage: Stage, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        start(stage, **changes)
