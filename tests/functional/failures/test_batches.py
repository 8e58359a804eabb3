"""Every row of the table of batches, on the real stack; and that what failed goes on when it is started again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tools import pipeline

from .batches import BATCH_ROWS, LATE_BATCH, STOPPED_BATCH
from .quick import Quick
from .table import STOP, Row

pytestmark = pytest.mark.slow


def begin(quick: Quick, row: Row) -> str:
    """Starts a batch of two pictures and of those that the row has; gives its execution."""
    quick.serve()
    label = f"b-{uuid.uuid4().hex[:8]}"
    for name, text in {"0.jpg": "good", "1.jpg": "good", **row.behaviour.get("pictures", {})}.items():
        quick.client("s3").put_object(Bucket=quick.stack.data_bucket, Key=f"{label}/{name}", Body=text.encode())
    if row.forbid:
        quick.forbid(*row.forbid)
    for one in row.faults:
        quick.fault(**one)
    asked = {"batch": label, "pictures": f"s3://{quick.stack.data_bucket}/{label}/", **row.input}
    return pipeline.start(quick.stack.state_machines["batch"], asked)


def running(quick: Quick) -> str:
    """The name of the transform job, once it has begun to ask."""
    sagemaker = quick.client("sagemaker")

    def look() -> str:
        found = sagemaker.list_transform_jobs(StatusEquals="InProgress")["TransformJobSummaries"]
        names = [one["TransformJobName"] for one in found]
        return next(
            (n for n in names if "TransformStartTime" in sagemaker.describe_transform_job(TransformJobName=n)), ""
        )

    return str(quick.wait_until(look, "a transform job"))


@contextmanager
def hurried(quick: Quick) -> Iterator[None]:
    """Jobs have three seconds: the least that the input may say is a minute."""
    client, arn = quick.client("stepfunctions"), quick.stack.state_machines["batch"]
    definition = client.describe_state_machine(stateMachineArn=arn)["definition"]
    changed = json.loads(definition)
    changed["States"]["Transform"]["TimeoutSeconds"] = 3
    client.update_state_machine(stateMachineArn=arn, definition=json.dumps(changed))
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=arn, definition=definition)


def check(quick: Quick, row: Row, outcome: pipeline.Outcome) -> None:
    """It ended as the row says, and nothing runs on."""
    assert outcome.error == row.error, outcome.cause
    assert row.matches(outcome.cause), outcome.cause
    assert quick.switch("GET", "faults")["faults"] == [], "a fault that nothing met"
    assert quick.left_running() == []


@pytest.mark.parametrize("row", BATCH_ROWS, ids=lambda row: row.name)
def test_a_batch_ends_as_the_table_says(quick: Quick, row: Row) -> None:
    execution = begin(quick, row)
    if row.person == STOP:
        quick.client("sagemaker").stop_transform_job(TransformJobName=running(quick))
    check(quick, row, quick.ended(execution))


def test_a_job_that_lasts_too_long_is_stopped(quick: Quick) -> None:
    with hurried(quick):
        outcome = quick.ended(begin(quick, LATE_BATCH))
    check(quick, LATE_BATCH, outcome)


def test_a_batch_that_is_stopped_ends_its_job_and_goes_on_when_it_is_started_again(quick: Quick) -> None:
    # given a batch that is stopped in its job, when two of three pictures are answered
    client, s3 = quick.client("stepfunctions"), quick.client("s3")
    execution = begin(quick, STOPPED_BATCH)
    running(quick)
    asked = json.loads(client.describe_execution(executionArn=execution)["input"])
    folder = {"Bucket": quick.stack.artifact_bucket, "Prefix": f"batches/{asked['batch']}/results/"}
    quick.wait_until(lambda: s3.list_objects_v2(**folder).get("KeyCount") == 2, "two answers")
    client.stop_execution(executionArn=execution)
    assert client.describe_execution(executionArn=execution)["status"] == STOPPED_BATCH.error
    assert quick.left_running() == []
    # when the third does not hang any more, and the batch is started again
    s3.put_object(Bucket=quick.stack.data_bucket, Key=f"{asked['batch']}/hangs.jpg", Body=b"good")
    outcome = quick.ended(pipeline.start(quick.stack.state_machines["batch"], {"batch": asked["batch"]}))
    # then only that one is asked about
    assert outcome.status == "SUCCEEDED", outcome.cause
    assert (outcome.output["lines"], outcome.output["answered"], outcome.output["asked"]) == (3, 3, 1)
