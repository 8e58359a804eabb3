"""A run's plan: everything that later states of the pipeline read, decided once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kennel import costs, naming, ranges, secured
from kennel.dataset import Dataset
from kennel.runs import RUN_FIELDS, job_instance
from kennel.s3uri import S3Uri
from kennel.settings import ValidateRunSettings

_IMAGE_TAG = 16  # characters of the code's sha256
_KEY = 32  # characters of what identifies cached features
OBJECTIVE = "validation:loss"  # per picture, so that trials with different batch sizes can be compared
# What the programs take, from `features` and `train`.
_FEATURES = ("backbone", "views", "seed", "max_bad_share")
_HEAD = (*ranges.TUNABLE, "seed")
_TRAIN = (*_FEATURES, *_HEAD[:-1], "method", "unfreeze", "ema", "accumulate", "precision")
_SAGEMAKER_STRATEGIES = {"bayesian": "Bayesian", "hyperband": "Hyperband", "random": "Random", "grid": "Grid"}


@dataclass(frozen=True, slots=True)
class Run:
    """The run's unique name, and the execution that it is: its name and ISO start time."""

    name: str
    execution: str
    started: str


@dataclass(frozen=True, slots=True)
class Weights:
    """Where a backbone's weights lie, and which they are."""

    folder: S3Uri
    etags: str


def plan(
    run: Run,
    asked: Mapping[str, dict[str, Any]],
    found: Dataset,
    weights: Weights | None,
    settings: ValidateRunSettings,
) -> dict[str, Any]:
    """The plan of `run`; `asked` is `runs.parse_run`'s answer. Raises InvalidRun where the run may cost too much.

    `parameters` are training's own as text; `hyperparameters` are those of each job, as SageMaker's script mode wants
    them: JSON-encoded, with the program, the code and the job's name.
    """
    instance = job_instance(asked["train"], settings.defaults)
    cost = costs.estimate(asked, found.of_split, instance)
    costs.check(asked[""]["budget_usd"], cost)
    names = _names(run, settings)
    parameters = {name: str(value) for name, value in _parameters(run, asked).items()}
    tune = asked["tune"]
    extracted = ("run_name", *_FEATURES)
    searched = {"run_name", *_HEAD} - (set(tune["ranges"] or ()) if tune["strategy"] != "embedded" else set())
    encoded = {
        "features": ("training/extract.py", names["features"], {name: parameters[name] for name in extracted}),
        "trial": ("training/trial.py", names["tune"], {name: parameters[name] for name in sorted(searched)}),
        "tune": ("training/tune.py", names["tune"], _search(parameters, tune)),
        "train": ("training/train.py", names["job"], parameters),
        "evaluate": ("training/evaluate.py", names["evaluate"], {"run_name": run.name, "split": found.judged}),
    }
    return {
        "run": run.name,
        "names": names,
        "tags": [
            {"Key": "kennel:stack", "Value": settings.stack_name},
            {"Key": "kennel:run", "Value": run.name},
            {"Key": "kennel:execution", "Value": run.execution},
        ],
        "data": {
            "uri": str(found.folder),
            "pictures": found.pictures,
            "classes": found.classes,
            "version": found.version,
            "judged": found.judged,
            "judged_uri": f"{found.folder}{found.judged}/",
            "smoke_picture": str(found.smoke_picture),
        },
        "code": settings.code,
        "image_uri": f"{settings.serving_repository_uri}:{settings.code_sha256[:_IMAGE_TAG]}",
        "features": {
            "key": (key := _features_key(asked, found, weights, settings)),
            "marker": f"features/{key}/features.json",
            "output_uri": f"s3://{settings.artifact_bucket}/features/{key}/",
            "pretrained": str(weights.folder) if weights else None,
        },
        "tune": _tuning(tune, asked["train"]),
        "train": asked["train"] | {"job_instance_type": instance},
        "parameters": parameters,
        "hyperparameters": {name: _script_mode(*job, settings) for name, job in encoded.items()},
        "gate": asked["gate"],
        "approve": {"mode": asked[""]["approve"], "within_hours": asked[""]["approve_within_hours"]},
        "endpoint": asked["endpoint"],
        "secured": secured.of_run(settings.secured, instance, asked["endpoint"], settings.code),
        "expires": _expires(run, asked[""]["expires_after_hours"]),
        "cost": cost.document(),
        "output_uri": f"s3://{settings.artifact_bucket}/runs/{run.name}/",
        "capture_uri": f"s3://{settings.artifact_bucket}/captured/{run.name}",
    }


def _names(run: Run, settings: ValidateRunSettings) -> dict[str, str]:
    resource = naming.run_resource(settings.stack_name, run.name)
    return {
        "job": resource,
        "features": f"{resource}-features",
        "tune": naming.tuning_job(settings.stack_name, run.name),
        "evaluate": f"{resource}-evaluate",
        "model": resource,
        "endpoint_config": resource,
        "endpoint": settings.endpoint_name,
        "package_group": settings.stack_name,
    }


def _parameters(run: Run, asked: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    both = {**asked["features"], **asked["train"]}
    return {"run_name": run.name, **{name: both[name] for name in _TRAIN}}


def _search(parameters: Mapping[str, str], tune: Mapping[str, Any]) -> dict[str, str]:
    fixed = {name: parameters[name] for name in ("run_name", *_HEAD)}
    return {
        **fixed,
        "trials": str(tune["trials"]),
        "parallel": str(tune["parallel"]),
        "objective": OBJECTIVE,
        "ranges": json.dumps(tune["ranges"] or {}, sort_keys=True),
    }


def _tuning(tune: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """How values are searched: `by` is nothing, one job of ours (`embedded`) or SageMaker."""
    strategy = tune["strategy"]
    if strategy is None:
        return {"by": "nothing"}
    if strategy == "embedded":
        return {"by": "embedded", "strategy": strategy, "trials": tune["trials"], "objective": OBJECTIVE}
    fields = {field.path.removeprefix("train."): field for field in RUN_FIELDS if field.path.startswith("train.")}
    config: dict[str, Any] = {
        "Strategy": _SAGEMAKER_STRATEGIES[strategy],
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": OBJECTIVE},
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": tune["trials"],
            "MaxParallelTrainingJobs": tune["parallel"],
        },
        "ParameterRanges": ranges.to_sagemaker(tune["ranges"], fields),
        # Hyperband stops trials itself and refuses to share that.
        "TrainingJobEarlyStoppingType": "Off" if strategy == "hyperband" else "Auto",
        "RandomSeed": train["seed"],
    }
    if strategy == "hyperband":
        epochs = {"MinResource": max(1, train["epochs"] // 10), "MaxResource": train["epochs"]}
        config["StrategyConfig"] = {"HyperbandStrategyConfig": epochs}
    return {"by": "sagemaker", "strategy": strategy, "trials": tune["trials"], "objective": OBJECTIVE, "config": config}


def _features_key(
    asked: Mapping[str, dict[str, Any]], found: Dataset, weights: Weights | None, settings: ValidateRunSettings
) -> str:
    """The same for runs that would compute the same features: same pictures, weights, settings and code."""
    both = {**asked["features"], **asked["train"]}
    parts = [found.version, str(found.folder), weights.etags if weights else "", settings.code_sha256]
    parts += [f"{name}={both[name]}" for name in _FEATURES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_KEY]


def _script_mode(
    program: str, job: str, parameters: Mapping[str, str], settings: ValidateRunSettings
) -> dict[str, str]:
    """Hyperparameters as the SageMaker SDK writes them; unquoted, the toolkit would read "true" as a boolean."""
    own = {
        "sagemaker_program": program,
        "sagemaker_submit_directory": secured.submit_directory(settings.secured, settings.code),
        "sagemaker_region": settings.region,
        "sagemaker_job_name": job,
    }
    return {name: json.dumps(value) for name, value in {**parameters, **own}.items()}


def _expires(run: Run, hours: int) -> str:
    """When the deployment expires (ISO, UTC), or never: as a tag's value, which may not be empty."""
    if not hours:
        return "never"
    return f"{datetime.fromisoformat(run.started) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
