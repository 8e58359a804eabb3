"""The pipeline's input and the training script agree: a plan that validates also trains."""

from __future__ import annotations

import dataclasses

import pytest
from kennel.contracts import BACKBONES, RUN_FIELDS
from kennel.fields import Field

from functions.validate_run import app
from training import backbones, parameters

TAKEN = {field.name: field.default for field in dataclasses.fields(parameters.Parameters)}
SHARED = [field for field in RUN_FIELDS if field.path.rpartition(".")[2] in TAKEN and field.path != "run"]


def test_what_the_plan_sends_is_what_training_takes() -> None:
    sent = {"run", *(field.path.rpartition(".")[2] for field in SHARED)}

    assert set(app._HYPERPARAMETERS) <= sent
    # the one that is training's own: how confident an answer must be is no matter of a run's size
    assert set(TAKEN) - sent == {"unknown_keep"}


@pytest.mark.parametrize("field", SHARED, ids=lambda field: field.path)
def test_defaults_are_trainings_own(field: Field) -> None:
    assert field.default == TAKEN[field.path.rpartition(".")[2]]


@pytest.mark.parametrize("field", [f for f in SHARED if f.minimum is not None], ids=lambda field: field.path)
def test_training_takes_both_ends_of_every_range(field: Field) -> None:
    name = field.path.rpartition(".")[2]
    for value in (field.minimum, field.maximum):
        assert value is not None
        parsed = parameters.parse([f"--{name}", str(field.kind(value))])
        assert getattr(parsed, name) == value


def test_backbones_are_the_same() -> None:
    assert set(BACKBONES) == set(backbones.NAMES)
