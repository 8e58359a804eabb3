"""Lambda functions of the embedded AWS, where it differs from MiniStack's."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .conftest import ROLE, LocalAws

CODE = """
import os

calls = 0

class InvalidRun(Exception):
    pass

def handler(event, context):
    global calls
    calls += 1
    print("call", calls)
    if event.get("fail"):
        raise InvalidRun("train.epochs: 0 is below 1")
    return {"calls": calls}
"""


def function(aws: LocalAws, code: str = CODE) -> str:
    """A new function; gives its name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", code)
    name = f"f-{uuid.uuid4().hex[:8]}"
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handler",
        Timeout=20,
        Code={"ZipFile": buffer.getvalue()},
    )
    return name


def call(aws: LocalAws, name: str, **event: Any) -> tuple[str | None, Any]:
    """FunctionError and payload of a call."""
    answer = aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


def test_an_exception_is_answered_by_its_own_type_and_the_process_lives_on(local_aws: LocalAws) -> None:
    name = function(local_aws)

    first = call(local_aws, name)
    failed, answer = call(local_aws, name, fail=True)
    third = call(local_aws, name)

    assert first == (None, {"calls": 1})
    assert failed == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("InvalidRun", "train.epochs: 0 is below 1")
    assert "in handler" in answer["stackTrace"][0]
    assert third == (None, {"calls": 3})


def test_every_line_of_a_call_is_in_the_log_and_no_mark_of_ours(local_aws: LocalAws) -> None:
    name = function(local_aws)
    for _ in range(3):
        call(local_aws, name)
    call(local_aws, name, fail=True)

    events = local_aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]

    text = "\n".join(event["message"] for event in events)
    assert [f"call {number}" in text for number in (1, 2, 3, 4)] == [True] * 4
    assert "[ERROR] InvalidRun" in text
    assert "local_aws" not in text


def test_calls_and_errors_are_counted(local_aws: LocalAws) -> None:
    name = function(local_aws)
    call(local_aws, name)
    call(local_aws, name, fail=True)

    def total(metric: str) -> float:
        now = time.time()
        found = local_aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            StartTime=now - 600,
            EndTime=now + 60,
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    assert (total("Invocations"), total("Errors")) == (2, 1)
    assert total("Duration") > 0


SLOW_TO_START = """
import os, time
time.sleep(0.4)

def handler(event, context):
    time.sleep(event["seconds"])
    return os.getpid()
"""


def processes_of_calls_at_once(aws: LocalAws, name: str, calls: int, seconds: float) -> list[int]:
    """The process that answered each of `calls` calls made at the same time."""
    with ThreadPoolExecutor(calls) as pool:
        answers = list(pool.map(lambda _: call(aws, name, seconds=seconds), range(calls)))
    assert [error for error, _ in answers] == [None] * calls
    return [pid for _, pid in answers]


def test_a_burst_waits_for_what_becomes_free_instead_of_starting_a_process_for_every_call(local_aws: LocalAws) -> None:
    # given a function that takes longer to start than to answer
    name = function(local_aws, SLOW_TO_START)
    # when thirty calls come at once, and nothing is warm
    used = processes_of_calls_at_once(local_aws, name, calls=30, seconds=0.0)
    # then a few processes have answered them all
    assert len(set(used)) <= 10


def test_calls_that_last_run_side_by_side_in_processes_of_their_own(local_aws: LocalAws) -> None:
    name = function(local_aws, SLOW_TO_START)
    used = processes_of_calls_at_once(local_aws, name, calls=3, seconds=4.0)
    assert len(set(used)) == 3
