"""Tuning jobs: the five operations of SageMaker's automatic model tuning."""

from __future__ import annotations

from typing import Any

from local_aws.errors import ApiError
from local_aws.sagemaker import job_checks, trials, tuning_checks
from local_aws.sagemaker.common import Tags, page
from local_aws.sagemaker.job_table import JobTable
from local_aws.sagemaker.jobs import TrainingJobs
from local_aws.sagemaker.trials import Trials
from local_aws.sagemaker.tuning_run import TuningRun, trial_request
from local_aws.store import Store

_SUMMARY = (
    "HyperParameterTuningJobName", "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus", "CreationTime",
    "HyperParameterTuningEndTime", "LastModifiedTime",
)  # fmt: skip


class TuningJobs(JobTable[TuningRun]):
    """The tuning jobs of this local AWS."""

    kind, noun, table = "HyperParameterTuningJob", "tuning job", "tuning_jobs"
    end_member = "HyperParameterTuningEndTime"

    def __init__(self, store: Store, tags: Tags, jobs: TrainingJobs) -> None:
        super().__init__(store, tags)
        self.jobs = jobs
        self.trials = Trials(store, jobs.get)

    def not_found(self, name: str) -> ApiError:
        """The error for a name that is not there."""
        return ApiError("ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {name}.")

    def in_use(self, name: str, job_arn: str) -> str:
        """The message for a name that is taken."""
        return f"A hyperparameter tuning job with the name, {name}, already exists. Choose a different name."

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateHyperParameterTuningJob: answers at once, the search runs in its thread."""
        name = request["HyperParameterTuningJobName"]
        where, limit = tuning_checks.checked(request)
        job_checks.check(trial_request(request, name, where.at([0.0] * len(where.ranges))))
        record, tags = self.add(request)
        run = TuningRun(
            record,
            where,
            limit,
            jobs=self.jobs,
            known=self.trials,
            tags=tags,
            update=lambda **members: self.update(record, **members),
        )
        self.start(name, run)
        return {"HyperParameterTuningJobArn": record["HyperParameterTuningJobArn"]}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeHyperParameterTuningJob."""
        record = self.get(request["HyperParameterTuningJobName"])
        # The record first: once it says that the job has ended, the trials read after it have ended too.
        described = dict(record)
        found = self.trials.summaries(record)
        top = trials.best(found)
        if top is not None:
            described["BestTrainingJob"] = top
            described["OverallBestTrainingJob"] = {**top, "TuningJobName": record["HyperParameterTuningJobName"]}
        spent = sum(self.jobs.get(one["TrainingJobName"]).get("TrainingTimeInSeconds", 0) for one in found)
        return {
            **described,
            **trials.counters(found),
            "TuningJobCompletionDetails": {"NumberOfTrainingJobsObjectiveNotImproving": trials.not_improving(found)},
            "ConsumedResources": {"RuntimeInSeconds": spent},
        }

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListHyperParameterTuningJobs."""
        found, more = self.summaries({"SortBy": "Name", **request}, _SUMMARY, "Ascending")
        summaries = [
            {
                **summary,
                **trials.counters(self.trials.summaries(one)),
                "Strategy": one["HyperParameterTuningJobConfig"]["Strategy"],
                "ResourceLimits": one["HyperParameterTuningJobConfig"]["ResourceLimits"],
            }
            for one, summary in found
        ]
        return {"HyperParameterTuningJobSummaries": summaries, **more}

    def list_trials(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobsForHyperParameterTuningJob. By objective, trials without one are left out, as on AWS."""
        asked = {"SortBy": "Name", **request}
        found = self.trials.summaries(self.get(request["HyperParameterTuningJobName"]))
        sort_keys: dict[str, float] = {}
        if asked["SortBy"] == "FinalObjectiveMetricValue":
            found = [one for one in found if "FinalHyperParameterTuningJobObjectiveMetric" in one]
            sort_keys = {one["TrainingJobName"]: trials.value_of(one) for one in found}
        keyed = [{**one, "FinalObjectiveMetricValue": sort_keys.get(one["TrainingJobName"])} for one in found]
        kept, more = page(keyed, asked, "TrainingJobName", "TrainingJobStatus", "Ascending")
        for one in kept:
            del one["FinalObjectiveMetricValue"]
        return {"TrainingJobSummaries": kept, **more}
