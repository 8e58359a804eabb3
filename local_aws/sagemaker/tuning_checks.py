"""What botocore's model does not say of a CreateHyperParameterTuningJob request: AWS's rules, and what is not here."""

from __future__ import annotations

from typing import Any

from local_aws.errors import ApiError, validation
from local_aws.sagemaker import hyperband, search
from local_aws.sagemaker.resources import refuse
from local_aws.store import Record

JOBS_MAX = {"Bayesian": 750, "Random": 10_000, "Grid": 10_000, "Hyperband": 10_000}
PARALLEL_MAX = 100
RANGES_MAX = 30
_UNSUPPORTED = ("TrainingJobDefinitions", "WarmStartConfig", "Autotune")
_DEFINITION_UNSUPPORTED = ("TuningObjective", "HyperParameterRanges", "HyperParameterTuningResourceConfig")


def checked(request: dict[str, Any]) -> tuple[search.Space, int]:
    """The space and the number of trials of a request. Raises what AWS would, and refuses what is not here."""
    refuse(request, _UNSUPPORTED, "CreateHyperParameterTuningJob")
    definition, config = request.get("TrainingJobDefinition"), request["HyperParameterTuningJobConfig"]
    if not definition:
        raise validation("TrainingJobDefinition must be specified.")
    refuse(definition, _DEFINITION_UNSUPPORTED, "TrainingJobDefinition")
    converged = config.get("TuningJobCompletionCriteria", {}).get("ConvergenceDetected", {})
    if converged.get("CompleteOnConvergence") == "Enabled":
        refuse(converged, ("CompleteOnConvergence",), "ConvergenceDetected")
    resources(config, definition)
    _objective(config, definition)
    where = _space(config, definition)
    return where, _limit(config, where)


def resources(config: Record, definition: Record) -> tuple[int, int] | None:
    """MinResource and MaxResource of a Hyperband search, None for another strategy. Raises ValidationException."""
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig")
    if config["Strategy"] != "Hyperband":
        if given is not None:
            raise validation("HyperbandStrategyConfig can only be specified with the Hyperband strategy.")
        return None
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise validation(
            "TrainingJobEarlyStoppingType must be Off with the Hyperband strategy, which has its own early stopping."
        )
    try:
        return hyperband.resources(given or {}, definition.get("StaticHyperParameters", {}))
    except search.RangeError as error:
        raise validation(str(error)) from None


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
