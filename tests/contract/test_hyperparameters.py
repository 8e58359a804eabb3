"""The pipeline's input and the training programs agree: a plan that validates also runs."""

from __future__ import annotations

import dataclasses
import json

import pytest
from kennel.fields import Field
from kennel.runs import BACKBONES, RUN_FIELDS

from tests.unit.plans import make_plan
from training import backbones, parameters

TAKEN: dict[str, object] = {field.name: field.default for field in dataclasses.fields(parameters.Parameters)}
SHARED = [
    field
    for field in RUN_FIELDS
    if field.path.startswith(("features.", "train.")) and field.path.rpartition(".")[2] in TAKEN
]
# How confident an answer must be, and what of fine-tuning is for those who run the program themselves.
OWN = {"unknown_keep", "layer_decay", "compile"}
PROGRAMS: dict[str, tuple[str, type[parameters.Run]]] = {
    "features": ("training/extract.py", parameters.Extraction),
    "trial": ("training/trial.py", parameters.Recipe),
    "tune": ("training/tune.py", parameters.Search),
    "train": ("training/train.py", parameters.Parameters),
}


@pytest.mark.parametrize("job", PROGRAMS)
@pytest.mark.parametrize("strategy", ["random", "embedded"])
def test_what_the_plan_sends_is_what_the_program_takes(job: str, strategy: str) -> None:
    # given the hyperparameters that a plan has for a job
    plan = make_plan({"tune": {"strategy": strategy}})
    sent = {name: json.loads(value) for name, value in plan["hyperparameters"][job].items()}
    program, takes = PROGRAMS[job]
    assert sent["sagemaker_program"] == program
    own = {name: value for name, value in sent.items() if not name.startswith("sagemaker_")}
    # when SageMaker's tuner adds those that it searches
    if job == "trial" and strategy == "random":
        kinds = plan["tune"]["config"]["ParameterRanges"].values()
        own |= {one["Name"]: one.get("MinValue") or one["Values"][0] for kind in kinds for one in kind}
    # then they are all that the program knows, but for training's own
    assert set(own) == {field.name for field in dataclasses.fields(takes)} - OWN
    parameters.parse_as(takes, [word for name, value in own.items() for word in (f"--{name}", value)], program)


@pytest.mark.parametrize("field", SHARED, ids=lambda field: field.path)
def test_defaults_are_trainings_own(field: Field) -> None:
    assert field.default == TAKEN[field.path.rpartition(".")[2]]


@pytest.mark.parametrize("field", [f for f in SHARED if f.minimum is not None], ids=lambda field: field.path)
def test_training_takes_both_ends_of_every_range(field: Field) -> None:
    name = field.path.rpartition(".")[2]
    for value in (field.minimum, field.maximum):
        assert value is not None
        parsed = parameters.parse([f"--{name}", str(field.kind(value))])  # type: ignore[call-overload]
        assert getattr(parsed, name) == value


def test_backbones_are_the_same() -> None:
    assert set(BACKBONES) == set(backbones.NAMES)
