"""Faults on demand: which call fails, how often, and in which protocol; and what a request for one must say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from local_aws import faults
from local_aws.errors import ApiError, Response


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    faults.clear()


async def _fine(*_: Any) -> Response:
    return 200, {}, b"done"


def called(service: str, target: str = "", body: bytes = b"", content_type: str = "") -> Response:
    """The answer to a call of `service`."""
    headers = {"x-amz-target": target, "content-type": content_type}
    return asyncio.run(faults.guarded(service, _fine)("POST", "/", headers, body, {}))  # type: ignore[arg-type]


def test_the_next_calls_of_an_operation_fail_and_then_no_more() -> None:
    faults.add({"service": "sagemaker", "operation": "CreateModel", "times": 2})

    statuses = [
        called("sagemaker", target)[0] for target in ("SageMaker.CreateEndpoint", *["SageMaker.CreateModel"] * 3)
    ]

    assert statuses == [200, 400, 400, 200]
    assert faults.waiting() == []


def test_a_fault_may_let_calls_through_first() -> None:
    faults.add({"service": "sagemaker", "operation": "CreateModel", "skip": 1})

    assert [called("sagemaker", "SageMaker.CreateModel")[0] for _ in range(3)] == [200, 400, 200]


def test_what_was_asked_for_is_done_when_only_the_answer_is_to_be_lost() -> None:
    faults.add({"service": "sagemaker", "operation": "CreateModel", "done": True})
    done: list[str] = []

    async def handler(*_: Any) -> Response:
        done.append("once")
        return 200, {}, b"done"

    headers = {"x-amz-target": "SageMaker.CreateModel"}
    answer: Any = asyncio.run(faults.guarded("sagemaker", handler)("POST", "/", headers, b"", {}))  # type: ignore[arg-type]

    assert (answer[0], done) == (400, ["once"])


def test_a_fault_says_what_it_was_told_to_in_the_services_protocol() -> None:
    fault = {"error": "ServiceUnavailable", "message": "busy", "status": 503}
    faults.add({"service": "sagemaker", "operation": "*", **fault})
    faults.add({"service": "sts", "operation": "AssumeRole", **fault})

    status, headers, body = called("sagemaker", "SageMaker.ListModels")
    assert (status, headers["x-amzn-ErrorType"], b"busy" in body) == (503, "ServiceUnavailable", True)
    form = "application/x-www-form-urlencoded"
    status, _, body = called("sts", body=b"Action=AssumeRole&Version=2011-06-15", content_type=form)
    assert (status, b"<Code>ServiceUnavailable</Code>" in body) == (503, True)


@pytest.mark.parametrize(
    "request_",
    [{}, {"service": "s3"}, {"service": "s3", "operation": "*", "often": 1}, {"service": "s3", "operation": 1}],
)
def test_a_fault_that_is_no_fault_is_refused(request_: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="A fault has service and operation"):
        faults.add(request_)
