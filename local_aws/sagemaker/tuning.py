"""Tuning jobs: the five operations of SageMaker's automatic model tuning."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

from local_aws.errors import ApiError, validation
from local_aws.sagemaker import search, trials
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.sagemaker.jobs import ENDED, TrainingJobs
from local_aws.sagemaker.resources import refuse
from local_aws.sagemaker.trials import Trials
from local_aws.sagemaker.tuning_run import TuningRun, trial_request
from local_aws.store import Record, Store

JOBS_MAX = {"Bayesian": 750, "Random": 10_000, "Grid": 10_000}
PARALLEL_MAX = 100
RANGES_MAX = 30
_UNSUPPORTED = ("TrainingJobDefinitions", "WarmStartConfig", "Autotune")
_DEFINITION_UNSUPPORTED = ("TuningObjective", "HyperParameterRanges", "HyperParameterTuningResourceConfig")
_SUMMARY = (
    "HyperParameterTuningJobName", "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus", "CreationTime",
    "HyperParameterTuningEndTime", "LastModifiedTime",
)  # fmt: skip


def _objective(config: Record, definition: Record) -> None:
    """Checks that the objective is a metric of the trials."""
    wanted = config.get("HyperParameterTuningJobObjective")
    if not wanted:
        raise validation("HyperParameterTuningJobObjective must be specified in HyperParameterTuningJobConfig.")
    metrics = [one["Name"] for one in definition["AlgorithmSpecification"].get("MetricDefinitions", [])]
    if wanted["MetricName"] not in metrics:
        raise validation(
            f"The objective metric {wanted['MetricName']} must be one of the MetricDefinitions: [{', '.join(metrics)}]"
        )


def _space(config: Record, definition: Record) -> search.Space:
    ranges = config.get("ParameterRanges") or {}
    refuse(ranges, ("AutoParameters",), "ParameterRanges")
    try:
        where = search.space(ranges)
        if config["Strategy"] == "Grid":
            where.grid_size()
    except search.RangeError as error:
        raise validation(str(error)) from None
    if len(where.ranges) > RANGES_MAX:
        raise _exceeded("hyperparameters that can be searched", len(where.ranges), RANGES_MAX)
    both = where.names & set(definition.get("StaticHyperParameters", {}))
    if both:
        raise validation(f"Hyperparameters cannot be both static and tuned: {', '.join(sorted(both))}")
    return where


def _exceeded(what: str, asked: int, limit: int) -> ApiError:
    return ApiError("ResourceLimitExceeded", f"The limit of {what} in one tuning job is {limit}; asked for: {asked}.")


def _limit(config: Record, where: search.Space) -> int:
    """How many trials there will be at most."""
    limits, strategy = config["ResourceLimits"], config["Strategy"]
    asked, highest = limits.get("MaxNumberOfTrainingJobs"), JOBS_MAX[strategy]
    if strategy == "Grid":
        size = where.grid_size()
        if asked not in (None, size):
            raise validation(
                f"MaxNumberOfTrainingJobs must be {size}, the number of combinations of the grid, or absent."
            )
        asked = size
    elif asked is None:
        if not config.get("TuningJobCompletionCriteria") and not limits.get("MaxRuntimeInSeconds"):
            raise validation(
                "MaxNumberOfTrainingJobs, MaxRuntimeInSeconds or TuningJobCompletionCriteria must be specified."
            )
        asked = highest
    parallel = limits["MaxParallelTrainingJobs"]
    if asked > highest:
        raise _exceeded("training jobs", asked, highest)
    if parallel > PARALLEL_MAX:
        raise _exceeded("parallel training jobs", parallel, PARALLEL_MAX)
    if parallel > asked:
        raise validation("MaxParallelTrainingJobs cannot be greater than MaxNumberOfTrainingJobs.")
    return int(asked)


class TuningJobs:
    """The tuning jobs of this local AWS; each running one has a thread."""

    def __init__(self, store: Store, tags: Tags, jobs: TrainingJobs) -> None:
        self.store = store
        self.tags = tags
        self.jobs = jobs
        self.trials = Trials(store, jobs.get)
        self.runs: dict[str, TuningRun] = {}

    def get(self, name: str) -> Record:
        """The tuning job's record. Raises ResourceNotFound as AWS does."""
        record = self.store.table("tuning_jobs").get(name)
        if record is None:
            raise ApiError("ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {name}.")
        return record

    def fail_interrupted(self) -> None:
        """At start: a tuning job that was running when the emulator ended has failed."""
        for record in self.store.table("tuning_jobs").values():
            if record["HyperParameterTuningJobStatus"] not in ENDED:
                reason = "InternalServerError: the local AWS was stopped while the tuning job was running."
                ended = {"HyperParameterTuningJobStatus": "Failed", "HyperParameterTuningEndTime": now()}
                self._update(record, FailureReason=reason, **ended)

    def _update(self, record: Record, **members: Any) -> None:
        with self.store.change():
            record.update(members)
            record["LastModifiedTime"] = now()

    def _checked(self, request: dict[str, Any]) -> tuple[search.Space, int]:
        """The space and the number of trials of a request. Raises what AWS would, and refuses what is not here."""
        refuse(request, _UNSUPPORTED, "CreateHyperParameterTuningJob")
        definition, config = request.get("TrainingJobDefinition"), request["HyperParameterTuningJobConfig"]
        if not definition:
            raise validation("TrainingJobDefinition must be specified.")
        refuse(definition, _DEFINITION_UNSUPPORTED, "TrainingJobDefinition")
        if config["Strategy"] == "Hyperband":
            raise validation("The Hyperband strategy is not there in the local AWS: see local_aws/COVERAGE.md")
        refuse(config, ("StrategyConfig",), "HyperParameterTuningJobConfig")
        converged = config.get("TuningJobCompletionCriteria", {}).get("ConvergenceDetected", {})
        if converged.get("CompleteOnConvergence") == "Enabled":
            refuse(converged, ("CompleteOnConvergence",), "ConvergenceDetected")
        _objective(config, definition)
        where = _space(config, definition)
        limit = _limit(config, where)
        self.jobs.check(
            trial_request(request, request["HyperParameterTuningJobName"], where.at([0.0] * len(where.ranges)))
        )
        return where, limit

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateHyperParameterTuningJob: answers at once, the search runs in its thread."""
        name = request["HyperParameterTuningJobName"]
        where, limit = self._checked(request)
        job_arn = arn("hyper-parameter-tuning-job", name)
        record: Record = {key: value for key, value in request.items() if key != "Tags"}
        record |= {
            "HyperParameterTuningJobArn": job_arn,
            "HyperParameterTuningJobStatus": "InProgress",
            "CreationTime": now(),
            "LastModifiedTime": now(),
        }
        with self.store.change():
            if name in self.store.table("tuning_jobs"):
                raise ApiError(
                    "ResourceInUse",
                    f"A hyperparameter tuning job with the name, {name}, already exists. Choose a different name.",
                )
            self.store.table("tuning_jobs")[name] = record
            tags = self.tags.put(job_arn, request.get("Tags", []))
        run = TuningRun(
            record,
            where,
            limit,
            jobs=self.jobs,
            known=self.trials,
            tags=tags,
            update=lambda **members: self._update(record, **members),
        )
        self.runs[name] = run
        # As for a job: the thread, and the trials it starts, act for the caller's account and region.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run, name, run), name=f"tuning-{name}", daemon=True).start()
        return {"HyperParameterTuningJobArn": job_arn}

    def _run(self, name: str, run: TuningRun) -> None:
        try:
            run.run()
        finally:
            self.runs.pop(name, None)

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
        records = list(self.store.table("tuning_jobs").values())
        found, more = page(
            records,
            {"SortBy": "Name", **request},
            "HyperParameterTuningJobName",
            "HyperParameterTuningJobStatus",
            "Ascending",
        )
        summaries = [
            {
                **chosen(one, _SUMMARY),
                **trials.counters(self.trials.summaries(one)),
                "Strategy": one["HyperParameterTuningJobConfig"]["Strategy"],
                "ResourceLimits": one["HyperParameterTuningJobConfig"]["ResourceLimits"],
            }
            for one in found
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

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """StopHyperParameterTuningJob: its running trials are stopped with it."""
        record = self.get(request["HyperParameterTuningJobName"])
        with self.store.change():
            status = record["HyperParameterTuningJobStatus"]
            if status in ENDED:
                raise validation(f"The request was rejected because the tuning job is in status {status}.")
            run = self.runs.get(request["HyperParameterTuningJobName"])
            if run is not None:
                self._update(record, HyperParameterTuningJobStatus="Stopping")
                run.stop()
        return {}

    def abandon(self) -> None:
        """The emulator is ending: no tuning job starts another trial from here on."""
        running = list(self.runs.values())
        for run in running:
            run.abandon()
        for run in running:
            run.finished.wait(timeout=5)
