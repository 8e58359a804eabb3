"""The trials of a tuning job as the API tells of them: summaries, counters, the best one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from local_aws.sagemaker.common import chosen
from local_aws.sagemaker.job_table import ENDED
from local_aws.store import Record, Store

_FROM_JOB = (
    "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime", "TrainingEndTime", "TrainingJobStatus",
    "FailureReason",
)  # fmt: skip


def objective(job: Record, metric: str) -> float | None:
    """The last value of `metric` that the job printed, if it is a number."""
    found = [one["Value"] for one in job.get("FinalMetricDataList", []) if one["MetricName"] == metric]
    return found[0] if found and math.isfinite(found[0]) else None


class Trials:
    """Which training jobs are trials of which tuning job, and with which values."""

    def __init__(self, store: Store, job: Callable[[str], Record]) -> None:
        self.store = store
        self.job = job

    def put(self, tuning_job: str, name: str, values: dict[str, str]) -> None:
        """Remembers a trial that was just started."""
        with self.store.change():
            trial = {"TuningJobName": tuning_job, "TunedHyperParameters": values}
            self.store.table("tuning_trials")[name] = trial

    def summary(self, tuning_job: Record, name: str) -> Record:
        """HyperParameterTrainingJobSummary of one trial."""
        job = self.job(name)
        wanted = tuning_job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        definition = tuning_job["TrainingJobDefinition"].get("DefinitionName")
        found = chosen(job, _FROM_JOB)
        found["TunedHyperParameters"] = self.store.table("tuning_trials")[name]["TunedHyperParameters"]
        if definition:
            found["TrainingJobDefinitionName"] = definition
        value = objective(job, wanted["MetricName"])
        if value is not None:
            found["FinalHyperParameterTuningJobObjectiveMetric"] = {**wanted, "Value": value}
        if job["TrainingJobStatus"] not in ENDED:
            found["ObjectiveStatus"] = "Pending"
        else:
            succeeded = value is not None and job["TrainingJobStatus"] != "Failed"
            found["ObjectiveStatus"] = "Succeeded" if succeeded else "Failed"
        return found

    def summaries(self, tuning_job: Record) -> list[Record]:
        """All trials of the tuning job, oldest first."""
        name = tuning_job["HyperParameterTuningJobName"]
        found = list(self.store.table("tuning_trials").items())
        return [self.summary(tuning_job, trial) for trial, one in found if one["TuningJobName"] == name]


def value_of(summary: Record) -> float:
    """The objective of a trial that has one."""
    return float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def succeeded(summaries: list[Record]) -> list[Record]:
    """The trials whose objective counts."""
    return [one for one in summaries if one["ObjectiveStatus"] == "Succeeded"]


def best(summaries: list[Record]) -> Record | None:
    """The trial with the best objective, the earliest of equals."""
    found = succeeded(summaries)
    if not found:
        return None
    kind = found[0]["FinalHyperParameterTuningJobObjectiveMetric"]["Type"]
    return max(found, key=value_of) if kind == "Maximize" else min(found, key=value_of)


def not_improving(summaries: list[Record]) -> int:
    """How many objectives came in after the best one."""
    found = succeeded(summaries)
    found.sort(key=lambda one: one.get("TrainingEndTime", 0.0))
    top = best(found)
    return 0 if top is None else len(found) - 1 - found.index(top)


def counters(summaries: list[Record]) -> dict[str, Any]:
    """TrainingJobStatusCounters and ObjectiveStatusCounters."""
    jobs = dict.fromkeys(("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0)
    objectives = dict.fromkeys(("Succeeded", "Pending", "Failed"), 0)
    for one in summaries:
        objectives[one["ObjectiveStatus"]] += 1
        status = one["TrainingJobStatus"]
        if status == "Failed":
            own = one.get("FailureReason", "").startswith("InternalServerError")
            status = "RetryableError" if own else "NonRetryableError"
        jobs[status if status in jobs else "InProgress"] += 1
    return {"TrainingJobStatusCounters": jobs, "ObjectiveStatusCounters": objectives}
