"""Two models on the same pictures: the test and the interval of their difference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.report_world import drawn_incumbent
from training.comparison import difference_interval, mcnemar


@pytest.mark.parametrize(
    ("gained", "lost", "wanted"), [(0, 0, 1.0), (1, 0, 1.0), (11, 1, 13 / 2048), (5, 5, 1.0), (6, 0, 2 / 64)]
)
def test_the_p_value_is_that_of_the_binomial_test(gained: int, lost: int, wanted: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(wanted)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_the_p_value_stands_thousands_of_changes() -> None:
    assert mcnemar(5000, 5000) == 1.0
    assert 0 <= mcnemar(3000, 7000) < 1e-300
    assert mcnemar(4900, 5100) == pytest.approx(0.0466, abs=1e-3)


def test_the_interval_is_symmetric_and_never_empty() -> None:
    assert difference_interval(3, 8, 100) == tuple(-end for end in reversed(difference_interval(8, 3, 100)))
    low, high = difference_interval(0, 0, 50)
    assert low < 0 < high
    assert high == pytest.approx(0.0377, abs=1e-3)


@pytest.mark.parametrize(("gain", "loss"), [(0.05, 0.05), (0.1, 0.02), (0.02, 0.0)])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(gain: float, loss: float) -> None:
    draw = np.random.default_rng(5).multinomial(150, [gain, loss, 1 - gain - loss], size=2000)
    found = [difference_interval(gained, lost, 150) for gained, lost, _ in draw.tolist()]

    held = np.mean([low <= gain - loss <= high for low, high in found])

    assert held >= 0.93


def test_the_comparison_counts_what_changed() -> None:
    found = drawn_incumbent(["a", "b"], gained=3, lost=12, both=25)

    assert (found["gained"], found["lost"], found["pictures"]) == (3, 12, 40)
    assert found["accuracy"] == 37 / 40
    assert found["candidate_accuracy"] == 28 / 40
    assert found["by_class"] == {"a": {"gained": 3, "lost": 12}}
    assert len(found["newly_wrong"]) == 8
    sure = [one["candidate"]["probability"] for one in found["newly_wrong"]]
    assert sure == sorted(sure, reverse=True)
