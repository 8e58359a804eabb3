"""What an evaluation job is told: its hyperparameters, and where its channels lie."""

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from training.errors import TrainingError
from training.evaluation_shape import Split, Step
from training.shapes import conforming

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
MOST_STEPS = 50


@dataclass(frozen=True)
class Parameters:
    """Hyperparameters of an evaluation.

    run             name of the run that made the candidate
    split           the split that channel test holds: test, or valid where the data has no test split
    incumbent_run   name of the run that made the incumbent; empty: the version that the incumbent itself tells
    steps           JSON list of what ran before, {"step", "instance_type", "instances", "seconds",
                    "billable_seconds", "spot"} each
    max_bad_share   the job fails when a larger share of the files cannot be used
    """

    run: str
    split: Split
    incumbent_run: str
    steps: tuple[Step, ...]
    max_bad_share: float


@dataclass(frozen=True)
class Channels:
    """Where the job's data lies and its results go; `incumbent` and `tuning` are None where there is none."""

    test: Path
    candidate: Path
    model_dir: Path
    cpus: int
    incumbent: Path | None
    tuning: Path | None
    instance_type: str  # that the job runs on; empty where nobody says

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Channels":
        """Reads SM_*. Raises TrainingError naming the variable that is missing."""
        optional = {name: environ.get(f"SM_CHANNEL_{name.upper()}") for name in ("incumbent", "tuning")}
        cpus = environ.get("SM_NUM_CPUS", "")
        return cls(
            test=_folder(environ, "SM_CHANNEL_TEST"),
            candidate=_folder(environ, "SM_CHANNEL_CANDIDATE"),
            model_dir=Path(_needed(environ, "SM_MODEL_DIR")),
            cpus=int(cpus) if cpus.isdecimal() and int(cpus) else len(os.sched_getaffinity(0)),
            instance_type=environ.get("SM_CURRENT_INSTANCE_TYPE", ""),
            **{name: Path(place) if place else None for name, place in optional.items()},
        )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"hyperparameters: {message}")


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Parameters:
    """Hyperparameters from `--name value` pairs. Raises TrainingError naming what is unknown or out of range.

    `steps` is rather read from SM_HP_STEPS: SageMaker's toolkit decodes hyperparameters that are JSON and writes them
    on the command line as Python would print them, but as JSON into the environment.
    """
    parser = _Parser(
        prog="evaluate.py",
        description=Parameters.__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run_name", default="run")
    parser.add_argument("--split", default="test", choices=("test", "valid"))
    parser.add_argument("--incumbent_run", default="")
    parser.add_argument("--steps", default="[]")
    parser.add_argument("--max_bad_share", type=float, default=0.05)
    values = parser.parse_args(arguments)
    for name in ("run_name", "incumbent_run"):
        text = getattr(values, name)
        if (text or name == "run_name") and (not NAME.fullmatch(text) or len(text) > 63):
            raise TrainingError(f"hyperparameters: {name} {text!r} is not a name of letters, digits and inner hyphens")
    if not 0 <= values.max_bad_share <= 1:
        raise TrainingError(f"hyperparameters: max_bad_share {values.max_bad_share} is not from 0 to 1")
    return Parameters(
        run=values.run_name,
        split=values.split,
        incumbent_run=values.incumbent_run,
        steps=_steps(environ.get("SM_HP_STEPS") or values.steps),
        max_bad_share=values.max_bad_share,
    )


def _steps(text: str) -> tuple[Step, ...]:
    try:
        steps: Sequence[Step] = conforming(json.loads(text), Sequence[Step], "steps")
    except ValueError as error:  # JSON's own error is one too
        raise TrainingError(f"hyperparameters: steps is no JSON list of the pipeline's steps: {error}") from error
    for step in steps:
        if step["instances"] < 1 or step["seconds"] < 0 or (step["billable_seconds"] or 0) < 0:
            raise TrainingError(
                f"hyperparameters: steps: {step['step']!r} needs an instance and seconds from 0 upwards"
            )
    if len(steps) > MOST_STEPS:
        raise TrainingError(f"hyperparameters: steps holds {len(steps)} steps; at most {MOST_STEPS} are taken")
    return tuple(steps)


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise TrainingError(f"{name} is not set: this script runs as a SageMaker training job does")
    return value


def _folder(environ: Mapping[str, str], name: str) -> Path:
    folder = Path(_needed(environ, name))
    if not folder.is_dir():
        raise TrainingError(f"{name}: {folder} is not a folder")
    return folder
