"""Temperature, limits and calibration error, on figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.calibrate import Limits, calibration_error, fit_temperature, limits_for, softmax
from training.evaluation import evaluate


def drawn(count: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `sharpness` times too sure of labels drawn from the honest probabilities."""
    draw = np.random.default_rng(5)
    honest = draw.normal(0, 1.5, (count, 4)).astype(np.float32)
    labels = np.array([draw.choice(4, p=row) for row in softmax(honest)])
    return honest * np.float32(sharpness), labels


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 3.0])
def test_the_temperature_undoes_too_much_or_too_little_certainty(sharpness: float) -> None:
    logits, labels = drawn(4000, sharpness)

    assert fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.1)


def test_a_few_pictures_that_are_all_right_do_not_make_certainty() -> None:
    logits, labels = np.eye(4, dtype=np.float32) * 10, np.arange(4)

    certainty = softmax(logits, fit_temperature(logits, labels)).max()

    assert certainty == pytest.approx(0.9, abs=0.01)  # four right out of four: (4 + 1/2) / (4 + 1)


@pytest.mark.parametrize(("keep", "kept"), [(1.0, 10), (0.95, 10), (0.8, 8), (0.01, 1)])
def test_the_limits_keep_the_share_asked_for(keep: float, kept: int) -> None:
    # given pictures of which the unsure ones are also those with the lowest logits
    tops = np.linspace(0.55, 0.95, 10)
    probabilities, logits = (
        np.stack([tops, 1 - tops], axis=1),
        np.stack([tops - 3, -tops - 3], axis=1).astype(np.float32),
    )

    limits = limits_for(probabilities, logits, keep)

    assert int(limits.confident(probabilities, logits).sum()) == kept


def test_the_share_is_kept_by_both_limits_together_and_each_turns_away_half_of_the_rest() -> None:
    # given 100 pictures of which the unsure ones are not those with the lowest logits
    tops = np.linspace(0.55, 0.95, 100)
    probabilities, logits = np.stack([tops, 1 - tops], axis=1), np.linspace([1, 0], [0, -1], 100, dtype=np.float32)

    limits = limits_for(probabilities, logits, 0.9)

    assert int(limits.confident(probabilities, logits).sum()) == 90
    assert int((tops < limits.probability).sum()) == int((~limits.known(logits)).sum()) == 5


def test_the_calibration_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    # given four answers at 0.9, of which half are right, and four at 0.6, of which all are
    tops = np.array([0.9] * 4 + [0.6] * 4)
    labels = np.array([0, 0, 1, 1, 0, 0, 0, 0])

    assert calibration_error(np.stack([tops, 1 - tops], axis=1), labels) == pytest.approx((0.4 + 0.4) / 2)


def test_an_evaluation_counts_what_was_found_for_what() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.2, 0.1, 0.7]])

    logits = np.array([[2.0, 0.7, 0.0], [2.0, 2.2, 0.6], [-1.3, -2.0, 0.0]], dtype=np.float32)

    # given a sure answer, an unsure one, and a sure one on a picture without a high logit
    found = evaluate(probabilities, logits, np.array([0, 0, 2]), Limits(0.6, 1.0))

    assert found.accuracy == pytest.approx(2 / 3)
    assert found.confident == found.unknown == pytest.approx(1 / 3)
    assert [one.confident for one in found.mistakes] == [False]
    assert found.top5 == 1.0
    assert found.confusion.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    per_class = found.document(("a", "b", "c"), ("1.jpg", "2.jpg", "3.jpg"))["per_class"]
    confused = {"folder": "b", "pictures": 1}
    assert per_class["a"] == {"pictures": 2, "right": 1, "accuracy": 0.5, "most_confused_with": confused}
    assert per_class["b"] == {"pictures": 0, "right": 0, "accuracy": None, "most_confused_with": None}
