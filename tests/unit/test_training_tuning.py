"""Tuning: what may be asked for, what a trial is judged by, and what a search leaves."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.features_world import CLASSES, TRAIN, VALID
from tests.unit.training_world import arguments
from training import head, trial, tune
from training.calibrate import calibrated_loss
from training.checkpoint import Checkpoints
from training.distributed import Group
from training.errors import TrainingError
from training.extracted import Extracted, Origin
from training.features_store import write_features
from training.head import Fit, fit, starting_head
from training.parameters import Recipe, Search
from training.program import guarded
from training.ranges import TUNABLE, held_by, read_ranges
from training.search import SearchFigures, TrialFigures, search
from training.trials import objective_of

START = starting_head(TRAIN, CLASSES, None)
DRAWN = Extracted(Origin("drawn", "0" * 64, {}, 2, 1), ("a", "b", "c"), (), {"train": TRAIN, "valid": VALID}, START)
RANGES = {
    "learning_rate": {"minimum": 1e-5, "maximum": 0.1, "scale": "log"},
    "label_smoothing": {"minimum": 0, "maximum": 0.2},
    "batch_size": {"values": [16, 64]},
}
SETTINGS = Search(trials=8, epochs=5, ranges=json.dumps(RANGES))


def searched(settings: Search = SETTINGS, told: list[TrialFigures] | None = None, processes: int = 1) -> SearchFigures:
    notes: list[TrialFigures] = [] if told is None else told
    return search(DRAWN, settings, read_ranges(settings.ranges), notes.append, processes=processes)


@pytest.mark.parametrize(
    ("ranges", "complaint"),
    [
        ("", "ranges: is not JSON"),
        ("[]", "ranges: is not an object with a range for one or more of epochs, batch_size"),
        ("{}", "ranges: is not an object with a range"),
        ({"views": {"values": [1, 2]}}, "ranges: 'views' cannot be tuned; there are epochs, batch_size, learning_rate"),
        ({"epochs": [5, 10]}, "ranges: epochs is neither {minimum, maximum, scale} nor {values}"),
        ({"epochs": {"minimum": 5}}, "ranges: epochs is neither {minimum, maximum, scale} nor {values}"),
        ({"epochs": {"minimum": 2.5, "maximum": 5}}, "ranges: epochs.minimum: 2.5 is not a whole number"),
        ({"epochs": {"minimum": 0, "maximum": 5}}, "ranges: epochs.minimum: epochs 0 is not from 1 to 10000"),
        ({"learning_rate": {"minimum": "1", "maximum": 2}}, "ranges: learning_rate.minimum: '1' is not a number"),
        ({"learning_rate": {"minimum": True, "maximum": 2}}, "ranges: learning_rate.minimum: True is not a number"),
        ({"learning_rate": {"minimum": 0.1, "maximum": 0.1}}, "learning_rate.minimum 0.1 is not below its maximum 0.1"),
        ({"label_smoothing": {"minimum": 0, "maximum": 1}}, "label_smoothing.maximum: label_smoothing 1 is not from 0"),
        ({"weight_decay": {"minimum": 0, "maximum": 1, "scale": "log"}}, "a logarithmic scale begins above 0"),
        ({"weight_decay": {"minimum": 0, "maximum": 1, "scale": "cubic"}}, "weight_decay.scale 'cubic' is none of"),
        ({"batch_size": {"values": []}}, "ranges: batch_size.values is not a list of one or more values"),
        ({"batch_size": {"values": [8, 8.0]}}, "ranges: batch_size.values holds a value twice"),
        ('{"learning_rate": {"minimum": NaN, "maximum": 1}}', "ranges: learning_rate.minimum: nan is not a number"),
    ],
)
def test_a_range_that_cannot_be_searched_is_named(ranges: object, complaint: str) -> None:
    text = ranges if isinstance(ranges, str) else json.dumps(ranges)

    with pytest.raises(TrainingError, match=re.escape(complaint)):
        read_ranges(text)


def test_every_hyperparameter_of_a_head_but_its_name_and_seed_can_be_tuned() -> None:
    assert {*TUNABLE, "run_name", "seed"} == {field.name for field in fields(Recipe)}


@pytest.mark.parametrize("objective", ["validation:loss", "validation:accuracy"])
def test_the_objective_of_the_same_head_is_the_same_under_every_batch_size(objective: str) -> None:
    """Trials with other batch sizes are compared with each other, so it must be a mean per picture, over validation."""
    start = fit(TRAIN, VALID, START, Recipe(epochs=2), Group(), on_epoch=lambda _: None).head
    with torch.no_grad():
        found = start(torch.from_numpy(VALID.values[:, 0]))
    expected = {
        "validation:loss": calibrated_loss(found.numpy(), VALID.labels),
        "validation:accuracy": float((found.argmax(dim=1).numpy() == VALID.labels).mean()),
    }[objective]

    for size in (1, 7, 64, 10_000):
        # a head that does not learn
        still = replace(Recipe(), epochs=1, batch_size=size, learning_rate=1e-12, weight_decay=0)
        best = fit(TRAIN, VALID, start, still, Group(), on_epoch=lambda _: None).best

        assert objective_of(best, objective) == pytest.approx(expected, abs=1e-6)


def test_a_search_begins_with_the_given_values_and_ends_no_worse() -> None:
    told: list[TrialFigures] = []

    found = searched(told=told)

    assert found["trials"] == told
    assert told[0]["values"] == {"learning_rate": "0.002", "label_smoothing": "0.1"} | {
        "batch_size": told[0]["values"]["batch_size"]  # 32 is none of those asked for, so it is drawn
    }
    completed = [one["objective"] for one in told if one["status"] == "Completed"]
    assert found["best"]["objective"] == min(value for value in completed if value is not None)
    assert found["best"]["values"] in [one["values"] for one in told]
    # the values are hyperparameters as they are: training takes them and comes to the same objective
    values = {name: float(value) for name, value in found["best"]["values"].items()}
    recipe = replace(Recipe(epochs=5), **values | {"batch_size": int(values["batch_size"])})  # type: ignore[arg-type]
    best = fit(TRAIN, VALID, START, recipe, Group(), on_epoch=lambda _: None).best
    assert best.validation_loss == found["best"]["objective"]


def without_seconds(found: SearchFigures) -> list[Any]:
    return [(one["values"], one["objective"], one["status"]) for one in found["trials"]]


def test_the_same_seed_searches_the_same_and_another_does_not() -> None:
    one, same, other = (without_seconds(searched(replace(SETTINGS, seed=seed))) for seed in (1, 1, 2))

    assert one == same
    assert one != other


LONG = replace(SETTINGS, trials=14)  # longer than what may be under way, and some are given up


def test_a_search_comes_to_the_same_with_any_number_of_processes() -> None:
    told: list[TrialFigures] = []

    alone, together = searched(LONG), searched(LONG, told, processes=3)

    assert without_seconds(together) == without_seconds(alone)
    assert together["best"] == alone["best"]
    assert together["trials"] == told  # by number, whichever ended first
    assert "Stopped" in {one["status"] for one in told}


def test_a_search_that_was_interrupted_goes_on_and_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Checkpoints(tmp_path, "search", {}, Group(), print)
    told: list[TrialFigures] = []

    class CutOffError(Exception):
        pass

    def until_the_tenth(one: TrialFigures) -> None:
        told.append(one)
        if len(told) == 10:
            raise CutOffError

    with pytest.raises(CutOffError):
        search(DRAWN, LONG, read_ranges(LONG.ranges), until_the_tenth, checkpoints=kept)
    begun: list[Any] = []

    def counted(*given: Any, **more: Any) -> Fit:
        begun.append(given)
        return fit(*given, **more)

    monkeypatch.setattr(head, "fit", counted)
    found = search(DRAWN, LONG, read_ranges(LONG.ranges), lambda _: None, checkpoints=kept)

    assert "search goes on after 10 trials" in capsys.readouterr().out
    assert len(begun) == 4
    assert found["trials"][:10] == told  # seconds and all
    assert without_seconds(found) == without_seconds(searched(LONG))


def test_a_process_of_the_search_that_is_killed_ends_it_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "fit", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))

    with pytest.raises(TrainingError, match="was killed, perhaps for want of memory: use a smaller parallel"):
        searched(processes=2)


def test_trials_that_fall_behind_are_given_up_with_what_they_had() -> None:
    wide = {"learning_rate": {"minimum": 1e-7, "maximum": 0.1, "scale": "log"}}

    found = searched(replace(SETTINGS, trials=20, epochs=10, ranges=json.dumps(wide)))

    stopped = [one["objective"] for one in found["trials"] if one["status"] == "Stopped"]
    assert len(stopped) >= 3
    assert all(objective is not None and objective > found["best"]["objective"] for objective in stopped)


def test_a_trial_that_fails_is_told_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = iter([TrainingError("the loss is no finite number")])

    def fragile(*given: Any, **more: Any) -> Fit:
        for error in outcomes:
            raise error
        return fit(*given, **more)

    monkeypatch.setattr(head, "fit", fragile)

    found = searched(replace(SETTINGS, trials=3, batch_size=64))

    assert found["trials"][0] | {"seconds": 0} == {
        "name": "trial-1",
        "values": {"learning_rate": "0.002", "label_smoothing": "0.1", "batch_size": "64"},
        "objective": None,
        "status": "Failed",
        "seconds": 0,
    }
    assert "trial: the loss is no finite number" in capsys.readouterr().out
    assert found["best"]["name"] != "trial-1"


def test_a_search_of_which_no_trial_comes_to_its_end_fails() -> None:
    broken = replace(TRAIN, values=TRAIN.values * np.float32(np.inf))
    with_inf = replace(DRAWN, splits={"train": broken, "valid": VALID})

    with pytest.raises(TrainingError, match="none of the 2 trials came to its end"):
        search(with_inf, replace(SETTINGS, trials=2), read_ranges(SETTINGS.ranges), lambda _: None)


def test_values_out_of_the_ranges_are_not_where_a_search_begins() -> None:
    assert held_by(read_ranges(json.dumps(RANGES)), replace(SETTINGS, learning_rate=1.0, batch_size=16)) == {
        "label_smoothing": 0.1,
        "batch_size": 16,
    }


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    write_features(tmp_path / "features", DRAWN, "version")
    monkeypatch.setenv("SM_CHANNEL_FEATURES", str(tmp_path / "features"))
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path / "model"))
    return tmp_path


def test_the_program_writes_trials_json_and_tells_each_trial(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"trials": "5", "epochs": "6", "objective": "validation:accuracy", "ranges": json.dumps(RANGES)}

    assert guarded(tune.main, arguments(**settings)) == 0

    found = json.loads((stored / "model" / "trials.json").read_text())
    assert (found["strategy"], found["objective"], found["goal"]) == ("embedded", "validation:accuracy", "Maximize")
    assert [one["name"] for one in found["trials"]] == [f"trial-{n}" for n in range(1, 6)]
    log = capsys.readouterr().out
    assert len(re.findall(r"^trial: \d of 5 (?:Completed|Stopped) after ", log, re.MULTILINE)) == 5
    assert float(re.findall(r"metric tune:best=([0-9.eE+-]+)", log)[-1]) == pytest.approx(found["best"]["objective"])


def test_the_last_metrics_of_a_trial_are_those_of_the_epoch_it_would_ship(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # so fast that the first epochs are not the best and the last need not be
    assert guarded(trial.main, arguments(epochs="12", learning_rate="0.5", batch_size="8")) == 0

    recipe = Recipe(epochs=12, learning_rate=0.5, batch_size=8)
    best = fit(TRAIN, VALID, START, recipe, Group(), on_epoch=lambda _: None).best
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f"metric validation:loss={best.validation_loss:.6f} epoch={best.number}"
    assert lines[-1] == f"metric validation:accuracy={best.validation_accuracy:.6f} epoch={best.number}"
    assert not (stored / "model").exists()
