"""What a tuning job tries next: ranges and scalings, grid, the model, the median rule."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from local_aws.sagemaker import search
from local_aws.sagemaker.search import Choice, Number, RangeError, Space, Values


def number(low: float, high: float, scaling: str = "Linear", integer: bool = False) -> Number:
    return Number("x", low, high, scaling, integer)


@pytest.mark.parametrize(
    ("one", "middle"),
    [
        (number(0, 10), 5.0),
        (number(1e-5, 1e-1, "Logarithmic"), 1e-3),
        (number(0.9, 0.999, "ReverseLogarithmic"), 0.99),
    ],
)
def test_each_scaling_has_its_own_middle_and_keeps_its_ends(one: Number, middle: float) -> None:
    assert float(one.text(0.5)) == pytest.approx(middle)
    assert [float(one.text(0)), float(one.text(1))] == pytest.approx([one.low, one.high])
    assert float(one.text(-1)) >= one.low
    assert float(one.text(2)) <= one.high


@pytest.mark.parametrize("scaling", ["Linear", "Logarithmic"])
def test_integers_are_whole_and_reach_both_ends(scaling: str) -> None:
    one = number(1, 4, scaling, integer=True)

    assert {one.text(step / 100) for step in range(101)} == {"1", "2", "3", "4"}


@pytest.mark.parametrize("one", [number(-3, 3), number(1e-6, 1, "Logarithmic"), number(0, 0.99, "ReverseLogarithmic")])
def test_a_value_is_found_again_where_it_came_from(one: Number) -> None:
    for unit in (0.0, 0.3, 1.0):
        assert one.units(one.text(unit)) == [pytest.approx(unit, abs=1e-9)]


def test_choices_are_all_as_far_from_each_other() -> None:
    one = Choice("c", ("a", "b", "c"))

    assert {one.text(unit) for unit in (0.0, 0.5, 1.0)} == {"a", "b", "c"}
    assert math.dist(one.units("a"), one.units("b")) == pytest.approx(1)
    assert math.dist(one.units("a"), one.units("c")) == pytest.approx(1)


def test_auto_takes_logarithms_of_wide_positive_ranges_only() -> None:
    def scaling(low: str, high: str) -> str:
        found = search.space({"ContinuousParameterRanges": [{"Name": "x", "MinValue": low, "MaxValue": high}]})
        assert isinstance(found.ranges[0], Number)
        return found.ranges[0].scaling

    assert (scaling("0.001", "0.1"), scaling("0.01", "0.1"), scaling("0", "1000")) == (
        "Logarithmic",
        "Linear",
        "Linear",
    )


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "At least one"),
        ({"IntegerParameterRanges": [{"Name": "n", "MinValue": "3", "MaxValue": "2"}]}, "less than MaxValue"),
        ({"IntegerParameterRanges": [{"Name": "n", "MinValue": "0.5", "MaxValue": "2"}]}, "must be integers"),
        ({"ContinuousParameterRanges": [{"Name": "n", "MinValue": "low", "MaxValue": "2"}]}, "must be numbers"),
        (
            {
                "ContinuousParameterRanges": [
                    {"Name": "n", "MinValue": "0", "MaxValue": "1", "ScalingType": "Logarithmic"}
                ]
            },
            "greater than 0",
        ),
        (
            {
                "ContinuousParameterRanges": [
                    {"Name": "n", "MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}
                ]
            },
            "0 <= x < 1",
        ),
        (
            {"CategoricalParameterRanges": [{"Name": "n", "Values": ["a"]}, {"Name": "n", "Values": ["b"]}]},
            "more than one",
        ),
        ({"CategoricalParameterRanges": [{"Name": "n", "Values": ["a", "a"]}]}, "each once"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused(ranges: dict[str, Any], message: str) -> None:
    with pytest.raises(RangeError, match=message):
        search.space(ranges)


def test_a_grid_is_every_combination_of_choices_only() -> None:
    where = Space((Choice("a", ("1", "2")), Choice("b", ("x", "y", "z"))))

    grid = list(where.grid())

    assert len(grid) == where.grid_size() == 6
    assert {(one["a"], one["b"]) for one in grid} == {(a, b) for a in "12" for b in "xyz"}
    with pytest.raises(RangeError, match="categorical parameters only"):
        Space((number(0, 1),)).grid_size()


def test_random_search_is_the_same_for_the_same_seed_and_avoids_what_was_tried() -> None:
    where = Space((number(1, 3, integer=True), Choice("c", ("a", "b"))))

    def draw() -> list[Values]:
        rng, found = random.Random(7), list[Values]()
        for _ in range(6):
            found.append(where.random(rng, found))
        return found

    assert draw() == draw()
    assert len({tuple(one.values()) for one in draw()}) == 6


PLANE = Space((Number("rate", 1e-4, 1.0, "Logarithmic", False), Number("width", 1, 64, "Linear", True)))


def bowl(values: Values) -> float:
    """Lowest (0) at rate 0.01, width 20."""
    return (math.log10(float(values["rate"])) + 2) ** 2 + ((int(values["width"]) - 20) / 32) ** 2


@pytest.mark.parametrize("seed", range(3))
def test_the_model_ends_far_below_what_as_many_random_trials_find(seed: int) -> None:
    rng = random.Random(seed)
    observed: list[tuple[Values, float]] = []
    for _ in range(16):
        values = search.bayesian(PLANE, observed, [], rng)
        observed.append((values, bowl(values)))
    losses = [loss for _, loss in observed]
    chance = random.Random(seed)
    drawn = min(bowl(PLANE.random(chance)) for _ in range(16))

    assert min(losses[search.first_trials(PLANE) :]) < min(losses[: search.first_trials(PLANE)])
    assert min(losses) < drawn / 2


def test_the_model_keeps_away_from_trials_that_are_running() -> None:
    observed = [({"x": text}, (float(text) - 0.5) ** 2) for text in ("0.0", "0.2", "0.8", "1.0")]
    where = Space((number(0, 1),))

    first = search.bayesian(where, observed, [], random.Random(1))
    second = search.bayesian(where, observed, [first], random.Random(1))

    assert 0.2 < float(first["x"]) < 0.8
    assert abs(float(second["x"]) - float(first["x"])) > 0.02


def test_the_model_bears_equal_losses_choices_and_more_trials_than_it_keeps() -> None:
    where = Space((Choice("c", ("a", "b")), number(0, 1)))
    rng = random.Random(0)
    observed = [(where.random(rng), 1.0) for _ in range(search.OBSERVATIONS_MAX + 10)]

    found = search.bayesian(where, observed, [], rng)

    assert set(found) == {"c", "x"}


def test_a_space_that_is_used_up_repeats_itself() -> None:
    where = Space((Choice("c", ("a", "b")),))
    observed = [({"c": "a"}, 1.0), ({"c": "b"}, 2.0), ({"c": "a"}, 1.0)]

    assert search.bayesian(where, observed, [], random.Random(0))["c"] in ("a", "b")


def test_expected_improvement_grows_with_promise_and_with_doubt() -> None:
    assert search.expected_improvement(-1, 0.5, 0) > search.expected_improvement(0, 0.5, 0)
    assert search.expected_improvement(1, 2, 0) > search.expected_improvement(1, 0.5, 0)


def test_the_median_rule_compares_with_means_up_to_the_same_step() -> None:
    completed = [[3.0, 1.0, 0.0], [4.0, 2.0, 0.0], [5.0, 3.0, 0.0]]  # means of two steps: 2, 3, 4

    assert search.stops_early([9.0, 3.5], completed)
    assert not search.stops_early([9.0, 2.5], completed)
    assert not search.stops_early([], completed)


def test_the_median_rule_waits_for_three_trials_that_came_as_far() -> None:
    assert not search.stops_early([9.0, 9.0], [[1.0, 1.0], [1.0, 1.0], [1.0]])
