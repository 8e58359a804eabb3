"""Runs one tuning job in its own thread: chooses values, starts trials, reads objectives, ends when it is time."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import uuid
from collections.abc import Callable, Iterable

from local_aws.errors import ApiError
from local_aws.sagemaker import search, trials, tuning_checks
from local_aws.sagemaker.common import now
from local_aws.sagemaker.hyperband import Hyperband
from local_aws.sagemaker.job_table import ENDED
from local_aws.sagemaker.jobs import TrainingJobs
from local_aws.sagemaker.trials import Trials
from local_aws.store import Record

logger = logging.getLogger("local_aws.tuning")

POLL_SECONDS = 0.05
# AWS gives a tuning job up when this many trials have ended and none was of use.
ATTEMPTS_MAX = 5
_REASON_LIMIT = 1024

Outcome = tuple[str, str]


class TuningRun:
    """One tuning job. `record` is its stored record; `update` changes and saves it."""

    def __init__(
        self,
        record: Record,
        where: search.Space,
        limit: int,
        *,
        jobs: TrainingJobs,
        known: Trials,
        tags: list[dict[str, str]],
        update: Callable[..., None],
    ) -> None:
        self.record = record
        self.name: str = record["HyperParameterTuningJobName"]
        self.config: Record = record["HyperParameterTuningJobConfig"]
        self.where = where
        self.limit = limit
        self.jobs = jobs
        self.trials = known
        self.tags = tags
        self.update = update
        self.stop_requested = threading.Event()
        self.abandoned = threading.Event()
        self.finished = threading.Event()
        self._rng = random.Random(self.config.get("RandomSeed"))  # noqa: S311 - a search, no secret
        self._tried: dict[str, search.Values] = {}
        self._histories: dict[str, list[float]] = {}
        self._grid = where.grid() if self.config["Strategy"] == "Grid" else None
        resources = tuning_checks.resources(self.config, record["TrainingJobDefinition"])
        self._hyperband = Hyperband(*resources) if resources else None

    def stop(self) -> None:
        """Asks the tuning job to stop: its trials are stopped as by StopTrainingJob."""
        self.stop_requested.set()

    def abandon(self) -> None:
        """The emulator itself is ending: no more trials, the record stays as it is."""
        self.abandoned.set()

    def run(self) -> None:
        """The whole life of the tuning job; every way it can end is in the record afterwards."""
        try:
            status, reason = self._search()
        except Exception as error:
            logger.exception("tuning job %s: the emulator itself failed", self.name)
            status, reason = "Failed", f"InternalServerError: {error!r}"
        try:
            self._stop_trials()
            found = self._summaries()
            # Only now is it certain: a trial that was stopped may have given an objective, and no search may end well
            # without one.
            if status == "Completed" and not trials.succeeded(found):
                status, reason = "Failed", _nothing_found(found)
            if not self.abandoned.is_set():
                why = {"FailureReason": reason[:_REASON_LIMIT]} if reason else {}
                self.update(HyperParameterTuningJobStatus=status, HyperParameterTuningEndTime=now(), **why)
        finally:
            self.finished.set()

    def _summaries(self) -> list[Record]:
        return [self.trials.summary(self.record, name) for name in self._tried]

    def _search(self) -> Outcome:
        ended = 0
        while not self.abandoned.is_set():
            summaries = self._summaries()
            outcome = self._outcome(summaries)
            if outcome is not None:
                return outcome
            running = [one["TrainingJobName"] for one in summaries if one["ObjectiveStatus"] == "Pending"]
            if len(summaries) - len(running) != ended:
                ended = len(summaries) - len(running)
                self.update()
            self._stop_worse(summaries)
            if (
                len(self._tried) < self.limit
                and len(running) < self.config["ResourceLimits"]["MaxParallelTrainingJobs"]
            ):
                self._launch(self._next(summaries))
            else:
                self.stop_requested.wait(POLL_SECONDS)
        return "Stopped", ""

    # When it is over

    def _outcome(self, summaries: list[Record]) -> Outcome | None:
        """How the tuning job has ended, or None while it goes on."""
        if self.stop_requested.is_set():
            return "Stopped", ""
        ended = [one for one in summaries if one["ObjectiveStatus"] != "Pending"]
        all_done = len(ended) == self.limit
        useful = trials.succeeded(ended)
        if not useful and len(ended) >= ATTEMPTS_MAX:
            return "Failed", _nothing_found(ended)
        return ("Completed", "") if all_done or self._is_enough(ended) else None

    def _is_enough(self, ended: list[Record]) -> bool:
        """Whether a completion criterion or the time limit ends the search before its last trial."""
        criteria = self.config.get("TuningJobCompletionCriteria", {})
        runtime = self.config["ResourceLimits"].get("MaxRuntimeInSeconds")
        if runtime is not None and now() - self.record["CreationTime"] >= runtime:
            return True
        patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        if patience is not None and trials.not_improving(ended) >= patience:
            return True
        target, top = criteria.get("TargetObjectiveMetricValue"), trials.best(ended)
        return target is not None and top is not None and self._loss(trials.value_of(top)) <= self._loss(target)

    def _stop_trials(self) -> None:
        """Stops what still runs, and waits until nothing does."""
        if not self.abandoned.is_set():
            self._stop(list(self._tried))
        while not self.abandoned.wait(POLL_SECONDS):
            if all(self.jobs.get(name)["TrainingJobStatus"] in ENDED for name in self._tried):
                return

    def _stop(self, names: Iterable[str]) -> None:
        for name in names:
            # A trial may end by itself at this very moment: then there is nothing to stop.
            with contextlib.suppress(ApiError):
                self.jobs.stop({"TrainingJobName": name})

    # What to try, and trying it

    def _loss(self, value: float) -> float:
        """The objective with its sign such that lower is better."""
        kind = self.config["HyperParameterTuningJobObjective"]["Type"]
        return -value if kind == "Maximize" else value

    def _next(self, summaries: list[Record]) -> search.Values:
        if self._grid is not None:
            return next(self._grid)
        if self.config["Strategy"] in ("Random", "Hyperband"):
            return self.where.random(self._rng, self._tried.values())
        useful = sorted(trials.succeeded(summaries), key=lambda one: one["TrainingEndTime"])
        observed = [(self._tried[one["TrainingJobName"]], self._loss(trials.value_of(one))) for one in useful]
        if observed:
            # A failed trial tells as much as the worst good one: do not go there.
            worst = max(loss for _, loss in observed)
            failed = [one["TrainingJobName"] for one in summaries if one["ObjectiveStatus"] == "Failed"]
            observed = [(self._tried[name], worst) for name in failed] + observed
        pending = [self._tried[one["TrainingJobName"]] for one in summaries if one["ObjectiveStatus"] == "Pending"]
        return search.bayesian(self.where, observed, pending, self._rng)

    def _launch(self, values: search.Values) -> None:
        name = f"{self.name}-{len(self._tried) + 1:03d}-{uuid.uuid4().hex[:8]}"
        metric = self.config["HyperParameterTuningJobObjective"]["MetricName"]
        history = self._histories.setdefault(name, [])

        def heard(printed: str, value: float) -> None:
            if printed == metric:
                history.append(self._loss(value))

        request = trial_request(self.record, name, values)
        request["Tags"] = self.tags
        self.jobs.launch(request, heard, TuningJobArn=self.record["HyperParameterTuningJobArn"])
        self.trials.put(self.name, name, values)
        self._tried[name] = values
        self.update()

    def _stop_worse(self, summaries: list[Record]) -> None:
        """Early stopping: Hyperband's own, or the median rule when the tuning job asks for it."""
        if self._hyperband is None and self.config.get("TrainingJobEarlyStoppingType") != "Auto":
            return
        completed = [
            self._histories[one["TrainingJobName"]] for one in summaries if one["TrainingJobStatus"] == "Completed"
        ]
        for one in summaries:
            name = one["TrainingJobName"]
            losses = list(self._histories[name])
            # Hyperband hears of ended trials too: the others are measured against them.
            worse = self._hyperband.stops(name, losses) if self._hyperband else search.stops_early(losses, completed)
            if worse and self.jobs.get(name)["SecondaryStatus"] == "Training":
                self._stop([name])


def _nothing_found(ended: list[Record]) -> str:
    """Why no trial was of use, in AWS's words."""
    if ended and all(one["TrainingJobStatus"] == "Failed" for one in ended):
        return (
            f"No training job succeeded after {len(ended)} attempts. "
            "Please take a look at the training job failures to get more details."
        )
    return (
        f"No objective metrics found after running {len(ended)} training jobs. Please ensure that the custom algorithm "
        "is emitting the objective metric as defined by the regular expression provided."
    )


_FROM_DEFINITION = (
    "AlgorithmSpecification", "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "ResourceConfig",
    "StoppingCondition", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining",
    "RetryStrategy", "Environment",
)  # fmt: skip


def trial_request(tuning_job: Record, name: str, values: search.Values) -> Record:
    """The CreateTrainingJob request of one trial."""
    definition = tuning_job["TrainingJobDefinition"]
    wanted = tuning_job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    request: Record = {key: definition[key] for key in _FROM_DEFINITION if definition.get(key) is not None}
    if definition.get("CheckpointConfig"):
        # Trials that shared a folder would go on from each other's checkpoints.
        checkpoints = definition["CheckpointConfig"]
        request["CheckpointConfig"] = {**checkpoints, "S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{name}"}
    request["TrainingJobName"] = name
    request["HyperParameters"] = {
        **definition.get("StaticHyperParameters", {}),
        **values,
        "_tuning_objective_metric": wanted["MetricName"],
    }
    return request
