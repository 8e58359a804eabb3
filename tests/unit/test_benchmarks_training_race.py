"""The training race's sums: what is extrapolated comes from what was measured, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.baseline.hpo import Settings
from benchmarks.baseline.tuning import Trial
from benchmarks.parts.pictures import Pictures, pictures
from benchmarks.training_race import Cost, Speed
from tests.unit.training_world import CLASSES, draw_data
from training.data import scan

LOG = """Epoch 0 train: loss 3.0, accuracy 0.1000, 100 pictures in 30.000 s
Epoch 0 valid: loss 3.0, accuracy 0.1000, 40 pictures in 5.000 s
Epoch 1 train: loss 3.0, accuracy 0.1000, 100 pictures in 20.000 s
Epoch 1 valid: loss 3.0, accuracy 0.1000, 40 pictures in 4.000 s
Testing: loss 3.0, accuracy 0.1000, 40 pictures in 6.000 s
Testing Loss: 3.0
Testing Accuracy: 0.1
"""
SIZES = {"train": 800, "valid": 200, "test": 100}


def test_a_search_of_the_baseline_is_extrapolated_by_pictures_epochs_and_trials() -> None:
    # given 3 s of start and, in the last epoch, 0.2, 0.1 and 0.15 s for a picture
    cost = Cost.of(Trial(Settings(0.01, 64), 68.0, LOG))

    assert cost.of_search(SIZES, trials=1, epochs=1) == pytest.approx(3 + 160 + 20 + 15)
    assert cost.of_search(SIZES, trials=10, epochs=5) == pytest.approx(10 * (3 + 5 * (160 + 20) + 15))


def test_what_disturbed_a_measurement_does_not_count_against_the_baseline() -> None:
    assert Cost.lowest([Cost(3.0, 0.2, 0.1, 0.3), Cost(4.0, 0.1, 0.2, 0.1)]) == Cost(3.0, 0.1, 0.1, 0.1)


def test_features_are_extrapolated_by_views_of_training_pictures_alone() -> None:
    speed = Speed(start=4.0, view={5: 0.02, 1: 0.03})

    assert speed.of_features(SIZES, 5) == pytest.approx(4 + 800 * 5 * 0.02 + 200 * 0.03)
    assert speed.of_features(SIZES, 1) == pytest.approx(4 + 800 * 0.03 + 200 * 0.03)


def test_a_part_of_the_data_holds_so_many_of_every_class(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA", str(draw_data(tmp_path / "data")))
    whole: Pictures = pictures(tmp_path)

    part = scan(whole.linked(tmp_path / "part", {"train": 2, "valid": 1, "test": 1}))

    assert str(whole) == "DATA: 3 classes, 18 train, 9 valid, 9 test"
    assert part.classes == CLASSES
    assert [picture.label for picture in part.splits["train"]] == [0, 0, 1, 1, 2, 2]
    assert part.splits["test"][0].path.read_bytes() == whole.found.splits["test"][0].path.read_bytes()
