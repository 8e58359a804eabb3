"""The life of a tuning job with trials that are none: what no functional test can wait for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_aws.errors import ApiError
from local_aws.sagemaker import search, tuning_run
from local_aws.sagemaker.trials import Trials
from local_aws.sagemaker.tuning_run import TuningRun, trial_request
from local_aws.store import Record, Store


class Jobs:
    """Training jobs that `behave` at their start and then run until they are stopped."""

    def __init__(self, behave: Callable[[Record], None]) -> None:
        self.records: dict[str, Record] = {}
        self.requests: list[Record] = []
        self.behave = behave

    def launch(self, request: Record, on_metric: Callable[[str, float], None], **members: Any) -> None:
        self.requests.append(request)
        job = {
            "TrainingJobName": request["TrainingJobName"],
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Training",
            "TrainingEndTime": float(len(self.requests)),
            **members,
        }
        self.records[request["TrainingJobName"]] = job
        self.behave(job)
        for metric in job.get("FinalMetricDataList", []):
            on_metric(metric["MetricName"], metric["Value"])

    def get(self, name: str) -> Record:
        return self.records[name]

    def stop(self, request: dict[str, str]) -> None:
        job = self.records[request["TrainingJobName"]]
        if job["TrainingJobStatus"] != "InProgress":
            raise ApiError("ValidationException", "it has ended")
        job["TrainingJobStatus"] = "Stopped"


def ran(folder: Path, behave: Callable[[Record], None], limit: int = 6, **config: Any) -> tuple[Record, Jobs]:
    """A tuning job's record after its run, and the jobs it started."""
    ranges = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}
    record: Record = {
        "HyperParameterTuningJobName": "t",
        "HyperParameterTuningJobArn": "arn",
        "CreationTime": 0.0,
        "TrainingJobDefinition": {"AlgorithmSpecification": {}, "StaticHyperParameters": {"epochs": "3"}},
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "RandomSeed": 1,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 2},
            **config,
        },
    }
    jobs: Any = Jobs(behave)
    known = Trials(Store(folder / "store.json"), jobs.get)
    run = TuningRun(
        record, search.space(ranges), limit, jobs=jobs, known=known, tags=[], update=lambda **new: record.update(new)
    )
    run.run()
    assert run.finished.is_set()
    return record, jobs


def prints(job: Record, *values: float) -> None:
    """The objective, as the job's record has it."""
    for value in values:
        job["FinalMetricDataList"] = [{"MetricName": "loss", "Value": value}]


@pytest.fixture
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 10_000, 50))
    monkeypatch.setattr(tuning_run, "now", lambda: float(next(times)))


LIMITS = {"MaxParallelTrainingJobs": 2, "MaxRuntimeInSeconds": 200}


@pytest.mark.usefixtures("_clock")
def test_the_time_limit_stops_the_running_trials_and_keeps_what_they_found(tmp_path: Path) -> None:
    record, jobs = ran(tmp_path, lambda job: prints(job, 0.5), ResourceLimits=LIMITS)

    assert record["HyperParameterTuningJobStatus"] == "Completed"
    assert [job["TrainingJobStatus"] for job in jobs.records.values()] == ["Stopped", "Stopped"]


@pytest.mark.usefixtures("_clock")
def test_a_time_limit_before_any_objective_fails_the_search(tmp_path: Path) -> None:
    record, _ = ran(tmp_path, lambda _: None, ResourceLimits=LIMITS)

    assert record["HyperParameterTuningJobStatus"] == "Failed"
    assert record["FailureReason"].startswith("No objective metrics found after running 2 training jobs")


def test_an_objective_that_is_no_number_does_not_count(tmp_path: Path) -> None:
    def nan(job: Record) -> None:
        prints(job, float("nan"))
        job["TrainingJobStatus"] = "Completed"

    record, jobs = ran(tmp_path, nan, limit=9)

    assert record["HyperParameterTuningJobStatus"] == "Failed"
    assert len(jobs.records) <= tuning_run.ATTEMPTS_MAX + 1


def test_a_search_goes_on_after_failed_trials(tmp_path: Path) -> None:
    seen: list[Record] = []

    def half(job: Record) -> None:
        seen.append(job)
        job["TrainingJobStatus"] = "Failed" if len(seen) % 2 else "Completed"
        if len(seen) % 2 == 0:
            prints(job, 1 / len(seen))

    record, jobs = ran(tmp_path, half, limit=8)

    assert record["HyperParameterTuningJobStatus"] == "Completed"
    assert len(jobs.records) == 8


def test_a_fault_of_the_emulator_fails_the_search_and_stops_its_trials(tmp_path: Path) -> None:
    started: list[Record] = []

    def second_breaks(job: Record) -> None:
        started.append(job)
        if len(started) == 2:
            job["TrainingJobStatus"] = "Failed"
            raise RuntimeError("disk full")

    record, jobs = ran(tmp_path, second_breaks)

    assert record["HyperParameterTuningJobStatus"] == "Failed"
    assert "disk full" in record["FailureReason"]
    assert next(iter(jobs.records.values()))["TrainingJobStatus"] == "Stopped"


def test_a_trials_request_has_static_and_tuned_values_and_checkpoints_of_its_own() -> None:
    definition = {
        "StaticHyperParameters": {"epochs": "3"},
        "CheckpointConfig": {"S3Uri": "s3://b/c/", "LocalPath": "/opt/ml/checkpoints"},
        "RoleArn": "role",
    }
    objective = {"MetricName": "loss", "Type": "Minimize"}
    config = {"HyperParameterTuningJobObjective": objective}

    request = trial_request(
        {"TrainingJobDefinition": definition, "HyperParameterTuningJobConfig": config}, "t-001", {"x": "0.5"}
    )

    assert request["HyperParameters"] == {"epochs": "3", "x": "0.5", "_tuning_objective_metric": "loss"}
    assert request["CheckpointConfig"] == {"S3Uri": "s3://b/c/t-001", "LocalPath": "/opt/ml/checkpoints"}
    assert request["RoleArn"] == "role"
