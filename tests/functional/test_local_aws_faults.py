"""Faults on demand, as boto3 and a state machine see them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from . import machines
from .conftest import Stage


def control(stage: Stage, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to the local AWS's own switches."""
    url = f"{stage.aws.info['endpoint_url']}/_local_aws/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body or {}).encode(), method=method)) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(autouse=True)
def _none_left(stage: Stage) -> Iterator[None]:
    yield
    control(stage, "DELETE", "faults")


@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        ("sagemaker", "ListModels", lambda aws: aws.client("sagemaker").list_models()),
        ("s3", "GetObject", lambda aws: aws.client("s3").get_object(Bucket="stage", Key="code/source.tar.gz")),
        ("logs", "DescribeLogGroups", lambda aws: aws.client("logs").describe_log_groups()),
        ("lambda", "*", lambda aws: aws.client("lambda").list_functions()),
        ("ec2", "DescribeInstances", lambda aws: aws.client("ec2").describe_instances()),
    ],
)
def test_a_call_fails_as_told_and_the_next_one_does_not(stage: Stage, service: str, operation: str, call: Any) -> None:
    waiting = control(stage, "POST", "faults", {"service": service, "operation": operation})

    assert [one["times"] for one in waiting["faults"]] == [1]
    with pytest.raises(ClientError) as caught:
        call(stage.aws)
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert caught.value.response["Error"]["Message"] == "Rate exceeded"
    assert call(stage.aws)


def test_a_state_that_retries_throttling_gets_through(stage: Stage) -> None:
    control(stage, "POST", "faults", {"service": "sagemaker", "operation": "ListModels", "times": 2})
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sagemaker:listModels",
        "Arguments": {},
        "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 2, "BackoffRate": 1}],
        "End": True,
    }

    assert machines.run(stage, {"List": task})["status"] == "SUCCEEDED"
    assert control(stage, "GET", "faults") == {"faults": []}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("faults", {"service": "s3"}, 400), ("nothing", {}, 404), ("interruptions", {"TrainingJobName": "gone"}, 400)],
)
def test_a_wrong_request_is_refused(stage: Stage, path: str, body: dict[str, Any], status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(stage, "POST", path, body)

    assert caught.value.code == status
