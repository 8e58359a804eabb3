"""Training jobs that bring their own command instead of a script: /opt/ml, its failure file, and their end."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Stage, wait_for
from .test_local_aws_jobs import ended, lines


def start(stage: Stage, *command: str, **changes: Any) -> str:
    """The name of a new job that runs `command`; no hyperparameters, which only script mode needs."""
    name = f"own-{uuid.uuid4().hex[:8]}"
    request = stage.job(name, HyperParameters={}, **changes)
    request["AlgorithmSpecification"] |= {"ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": [*command]}
    stage.aws.client("sagemaker").create_training_job(**request)
    return name


def test_a_command_finds_its_channel_and_a_prefix_without_its_slash_is_the_folder(stage: Stage) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{stage.bucket}/data/train"}}
    name = start(
        stage, "ls /opt/ml/input/data/training", InputDataConfig=[{"ChannelName": "training", "DataSource": source}]
    )

    assert ended(stage, name)["TrainingJobStatus"] == "Completed"
    assert lines(stage, name) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo no such dog > /opt/ml/output/failure; exit 3", "AlgorithmError: no such dog, exit code: 3"),
        ("echo nothing is told of this >&2; exit 3", "AlgorithmError: , exit code: 3"),
        ("exec no-such-command", "AlgorithmError: , exit code: 127"),
    ],
    ids=["failure-file", "silent", "missing"],
)
def test_the_failure_file_is_the_reason(stage: Stage, command: str, reason: str) -> None:
    assert ended(stage, start(stage, command))["FailureReason"] == reason


def test_stop_ends_the_command_and_what_it_started(stage: Stage) -> None:
    name = start(stage, "sleep 60 & echo waiting; wait")
    wait_for(lambda: "waiting" in lines(stage, name), "the command's start")

    stage.aws.client("sagemaker").stop_training_job(TrainingJobName=name)

    assert ended(stage, name)["TrainingJobStatus"] == "Stopped"


def test_arguments_without_an_entrypoint_are_refused(stage: Stage) -> None:
    request = stage.job("own-none")
    request["AlgorithmSpecification"]["ContainerArguments"] = ["train"]

    with pytest.raises(ClientError, match="needs ContainerEntrypoint"):
        stage.aws.client("sagemaker").create_training_job(**request)
