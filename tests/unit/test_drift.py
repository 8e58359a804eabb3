"""Drift: what an unshifted hour says and a shifted one, of how few pictures nothing is said, what a log line is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from kennel.drift import LEAST_PICTURES, Drift, Sample, compare, of_one_kind, parse_sample

from serving.sampled import features, look
from training.calibrate import softmax
from training.drift import drift_baseline

CLASSES = 6
NAMES = [f"Class {number}" for number in range(CLASSES)]
Stream = tuple[np.ndarray, np.ndarray]  # logits, looks


def stream(pictures: int, seed: int, shares: Sequence[float] | None = None) -> Stream:
    """Answers to pictures of all classes, some surer than others; looks around the middle."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1, (pictures, CLASSES))
    logits[np.arange(pictures), draw.choice(CLASSES, pictures, p=shares)] += draw.normal(6, 2, pictures)
    return logits.astype(np.float32), draw.normal(0.5, 0.1, (pictures, 4)).astype(np.float32)


def baseline(of: Stream) -> Any:
    """What training writes of it, through JSON."""
    return json.loads(json.dumps(drift_baseline(of[0], softmax(of[0]), of[1])))


def samples(of: Stream) -> list[Sample]:
    """What serving logs of it."""
    logits, looks = of
    numbers = features(logits, looks)
    confidence = softmax(logits).max(axis=1).round(6)
    answers = zip(logits.argmax(axis=1).tolist(), confidence.tolist(), numbers.round(4).tolist(), strict=True)
    return [Sample("m", "f32", index, confidence, row) for index, confidence, row in answers]


def compared(of: Stream, against: Any) -> Drift:
    found = compare(samples(of), against, NAMES)
    assert found is not None
    return found


@pytest.mark.parametrize("pictures", [LEAST_PICTURES, 100, 1000])
def test_hours_of_the_same_pictures_stay_within_the_limit_of_chance(pictures: int) -> None:
    found = [
        compared(stream(pictures, seed), baseline(stream(200, 1000 + seed))).largest
        for seed in range(60 if pictures < 1000 else 10)
    ]
    assert max(found) < 1
    assert min(found) > 0


def moved(change: Callable[[Stream], Stream]) -> Stream:
    return change(stream(100, 2))


SHIFTS = {
    "classes": (stream(100, 2, [0.75, 0.05, 0.05, 0.05, 0.05, 0.05]), "Class 0: "),
    "confidence": (moved(lambda of: (of[0] * np.float32(0.4), of[1])), "0 to "),
    "features": (
        moved(lambda of: (of[0], of[1] - np.array([0.1, 0, 0, 0], dtype=np.float32))),
        "brightness: mean -0.9",
    ),
}


@pytest.mark.parametrize("part", SHIFTS)
def test_a_shifted_hour_is_told_by_the_part_that_shifted_and_what_of_it_did(part: str) -> None:
    shifted, says = SHIFTS[part]

    found = compared(shifted, baseline(stream(200, 1)))

    assert getattr(found, part) > 1
    assert found.shifted[part].startswith(says)


def test_another_spread_is_drift_too() -> None:
    logits, looks = stream(100, 2)
    wider = 0.5 + 2 * (looks - 0.5)

    found = compared((logits, wider), baseline(stream(200, 1)))

    assert found.features > 1
    assert "spread" in found.shifted["features"]


def test_the_same_shift_says_more_of_many_pictures_than_of_few() -> None:
    against = baseline(stream(200, 1))

    few, many = (
        compared((logits, looks - np.array([0.05, 0, 0, 0], dtype=np.float32)), against).features
        for logits, looks in (stream(40, 3), stream(400, 3))
    )

    assert few < 1 < many


@pytest.mark.parametrize(("hour", "before"), [(LEAST_PICTURES - 1, 200), (200, LEAST_PICTURES - 1)])
def test_of_too_few_pictures_nothing_is_said(hour: int, before: int) -> None:
    against = baseline(stream(before, 1))
    assert compare(samples(stream(hour, 2)), against, NAMES) is None


def test_answers_that_never_differ_are_no_drift() -> None:
    # given one class, always as sure
    same = (np.tile(np.array([[9, 0]], dtype=np.float32), (50, 1)), np.full((50, 4), 0.5, dtype=np.float32))
    against = baseline(same)

    found = compare(samples(same), against, ["Only", "Never"])

    assert found is not None and found.largest < 0.5


LINE = {"event": "sampled", "model": "run-1", "precision": "int8", "index": 3, "confidence": 0.9, "features": [1, 2.5]}


def test_a_line_of_the_log_is_a_sample_and_others_are_none() -> None:
    assert parse_sample(LINE) == Sample("run-1", "int8", 3, 0.9, (1.0, 2.5))
    for other in ({}, {"event": "answered"}, LINE | {"index": "x"}, LINE | {"features": None}):
        assert parse_sample(other) is None


def test_other_models_and_the_rarer_precision_are_left_aside() -> None:
    def one(model: str, precision: str) -> Sample:
        return Sample(model, precision, 0, 1.0, ())

    mixed = [one("old", "f32"), one("old", "f32"), one("new", "int8"), one("new", "f32"), one("new", "int8")]

    assert of_one_kind(mixed, "new") == [one("new", "int8")] * 2
    assert of_one_kind(mixed, "another") == []


def test_looks_are_what_a_person_would_call_them() -> None:
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    dark, grey = noise // 4, np.repeat(noise[..., :1], 3, axis=2)
    smooth = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (32, 1, 3))

    brightness, contrast, colour, sharpness = look(noise)

    assert look(dark)[0] == pytest.approx(brightness / 4, abs=0.01)
    assert look(dark)[1] < contrast / 3
    assert look(grey)[2] == 0 < colour
    assert look(smooth)[3] == pytest.approx(8 / 255) and sharpness > 0.1
