"""Requests checked against botocore's model, in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws import models
from local_aws.validation import problems

SHAPE = (
    models.service_model("sagemaker", ("CreateModel", "CreateTrainingJob")).operation_model("CreateModel").input_shape
)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "Value null at 'modelName' failed to satisfy constraint: Member must not be null"),
        ({"ModelName": 1}, "Value at 'modelName' has type int, expected string"),
        ({"ModelName": "a", "Colour": 1}, "Unknown parameter 'colour'"),
        ({"ModelName": "a" * 64}, "Member must have length less than or equal to 63"),
        ({"ModelName": "a_b"}, "Member must satisfy regular expression pattern"),
        ({"ModelName": "a", "PrimaryContainer": {"Mode": "Some"}}, "Value 'Some' at 'primaryContainer.mode'"),
        ({"ModelName": "a", "Tags": [{"Key": "k"}]}, "at 'tags.1.member.value'"),
        ({"ModelName": "a", "EnableNetworkIsolation": "yes"}, "expected boolean"),
    ],
)
def test_a_wrong_member_is_named_by_its_path(request_: dict[str, Any], expected: str) -> None:
    found = problems(SHAPE, request_)

    assert len(found) == 1
    assert expected in found[0]


def test_a_right_request_has_no_problems() -> None:
    container = {"Image": "registry/repository:tag", "ModelDataUrl": "s3://b/k", "Environment": {"A": "b"}}

    assert (
        problems(
            SHAPE,
            {"ModelName": "a-1", "PrimaryContainer": container, "ExecutionRoleArn": "arn:aws:iam::000000000000:role/r"},
        )
        == []
    )


def test_only_the_operations_asked_for_are_kept() -> None:
    model = models.service_model("sagemaker", ("DeleteModel",))

    assert model.operation_names == ["DeleteModel"]
    assert len(model.shape_names) < 5
