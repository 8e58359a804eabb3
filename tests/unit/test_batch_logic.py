"""The batch's decisions, walked with its real expressions: jobs until nothing is left, and where every failure ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.account import Account
from tests.unit.asl_walker import TaskError, Walk, walk
from tests.unit.plans import machine

TRANSFORM = "sagemaker:createTransformJob.sync"
SUMMARY = {"batch": "first", "lines": 5}


class Batch(Account):
    """A batch of `left` pictures, of which a job takes two; `lost`: jobs that complete and leave no result."""

    def __init__(self, fail: dict[str, Any] | None = None, left: int = 5, lost: bool = False) -> None:
        super().__init__(**(fail or {}))
        self.left, self.width, self.lost, self.answered = left, 2, lost, 0

    def known_as(self, call: str, arguments: dict[str, Any]) -> str:
        return str(arguments["FunctionName"]) if call == "lambda:invoke" else call

    def do_invoke(self, arguments: dict[str, Any]) -> Any:
        if arguments["FunctionName"] == "collect":
            return {"Payload": SUMMARY}
        part = arguments["Payload"]["part"]
        return {
            "Payload": {
                "batch": "first",
                "model": "kennel-run",
                "top_k": 3,
                "job": f"kennel-first-{part}",
                "manifest": f"s3://artifacts/batches/first/manifests/{part}.json",
                "results": "s3://artifacts/batches/first/results/",
                "taken": min(self.width, self.left),
                "left": self.left,
                "answered": self.answered,
                "instance_type": "ml.c7i.large",
                "instances": 1,
                "max_runtime_seconds": 7200,
                "tags": [{"Key": "kennel:stack", "Value": "kennel"}],
            }
        }

    def do_createTransformJob(self, _: Any) -> Any:
        taken = 0 if self.lost else min(self.width, self.left)
        self.left, self.answered = self.left - taken, self.answered + taken
        # as numbers, in milliseconds, or as text: both are seen
        return {"TransformStartTime": 1_700_000_000_000, "TransformEndTime": 1_700_000_012_340}

    def do_stopTransformJob(self, _: Any) -> Any:
        return {}


def run(world: Batch, given: dict[str, Any] | None = None) -> Walk:
    return walk(machine("batch"), given or {"pictures": "s3://data/dogs/"}, world)


def test_jobs_follow_each_other_until_nothing_is_left_and_the_summary_is_the_output() -> None:
    done = run(world := Batch())

    assert done.states[-2:] == ["Collect", "Done"] and done.output == SUMMARY
    assert [made["TransformJobName"] for call, made in world.requests if call == TRANSFORM] == [
        *("kennel-first-1", "kennel-first-2", "kennel-first-3"),
    ]
    collected = world.requests[-1][1]["Payload"]
    assert [(job["pictures"], job["seconds"]) for job in collected["jobs"]] == [(2, 12.3), (2, 12.3), (1, 12.3)]


def test_a_job_reads_its_manifest_with_the_batchs_model_and_answers_so_many_breeds() -> None:
    run(world := Batch())

    asked = world.arguments(TRANSFORM)
    assert asked["ModelName"] == "kennel-run" and asked["Environment"] == {"SERVING_TOP_K": "3"}
    source = asked["TransformInput"]["DataSource"]["S3DataSource"]
    assert source == {"S3DataType": "ManifestFile", "S3Uri": "s3://artifacts/batches/first/manifests/1.json"}


def test_times_may_be_texts() -> None:
    times = {"TransformStartTime": "2026-11-20T10:00:00Z", "TransformEndTime": "2026-11-20T10:01:00.500Z"}

    class Texts(Batch):
        def do_createTransformJob(self, _: Any) -> Any:
            super().do_createTransformJob(_)
            return times

    run(world := Texts(left=1))
    assert world.requests[-1][1]["Payload"]["jobs"][0]["seconds"] == 60.5


def test_with_nothing_left_no_job_is_started() -> None:
    done = run(world := Batch(left=0))

    assert done.states == ["Begin", "Plan", "IsAnythingLeft", "Collect", "Done"]
    assert world.requests[-1][1]["Payload"]["jobs"] == []


def job(status: str, **more: str) -> TaskError:
    return TaskError("States.TaskFailed", json.dumps({"TransformJobStatus": status, **more}))


def raised(name: str, message: str) -> TaskError:
    return TaskError(name, json.dumps({"errorMessage": message, "errorType": name}))


JOB = "kennel-first-1"
FAILURES = [
    ("plan", raised("InvalidBatch", 'top_k: 0\nrun: "x"'), "InvalidBatch", 'Plan: top_k: 0\nrun: "x"'),
    ("plan", raised("ClientError", "SlowDown"), "PlanFailed", "Plan: SlowDown"),
    ("plan", TaskError("States.Timeout"), "TimedOut", "Plan: stopped at its time limit"),
    ("plan", TaskError("Lambda.Unknown"), "PlanFailed", "Plan: Lambda.Unknown"),
    (TRANSFORM, job("Failed", FailureReason="see"), "TransformFailed", f"Transform: see (transform job {JOB})"),
    (TRANSFORM, job("Stopped"), "TransformFailed", f"Transform: somebody stopped the job (transform job {JOB})"),
    (TRANSFORM, TaskError("States.Timeout"), "TimedOut", "Transform: stopped at its time limit"),
    (TRANSFORM, TaskError("SageMaker.ResourceInUseException", "taken"), "TransformFailed", "Transform: taken"),
    ("collect", raised("KennelError", "cannot be read"), "CollectFailed", "Collect: cannot be read"),
    ("collect", TaskError("States.Timeout"), "TimedOut", "Collect: stopped at its time limit"),
]


@pytest.mark.parametrize(("call", "failure", "error", "cause"), FAILURES)
def test_every_failure_ends_by_its_name_in_a_sentence(call: str, failure: TaskError, error: str, cause: str) -> None:
    done = run(Batch({call: failure}))

    assert (done.states[-1], done.error, done.cause) == ("BatchFailed", error, cause)


@pytest.mark.parametrize(
    ("failure", "is_stopped"),
    [
        (TaskError("States.Timeout"), True),
        (TaskError("SageMaker.AmazonSageMakerException", "down"), True),
        (job("Failed", FailureReason="x"), False),
        (job("Stopped"), False),
    ],
)
def test_a_job_that_did_not_end_by_itself_is_stopped(failure: TaskError, is_stopped: bool) -> None:
    run(world := Batch({TRANSFORM: failure}))

    stopped = [made for call, made in world.requests if call == "sagemaker:stopTransformJob"]
    assert stopped == ([{"TransformJobName": "kennel-first-1"}] if is_stopped else [])


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("Could not find transform job", ""),
        ("the transform job is in status Stopped", ""),
        ("not authorized", " Cleaning up failed at StopJob: not authorized"),
    ],
)
def test_a_job_that_cannot_be_stopped_is_told_unless_it_is_over(cause: str, told: str) -> None:
    refused = TaskError("SageMaker.SageMakerException", cause)

    done = run(Batch({TRANSFORM: TaskError("States.Timeout"), "sagemaker:stopTransformJob": refused}))

    assert (done.error, done.cause) == ("TimedOut", f"Transform: stopped at its time limit{told}")


def test_a_job_that_completes_and_leaves_nothing_is_not_tried_for_ever() -> None:
    done = run(world := Batch(lost=True))

    assert world.calls.count(TRANSFORM) == 1
    assert done.error == "TransformFailed"
    assert done.cause == (
        "Transform: the job completed, but there is no result of its pictures in s3://artifacts/batches/first/results/"
    )
