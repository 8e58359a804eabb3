"""Hyperband: where MaxResource comes from, brackets and rungs, and who is stopped."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.sagemaker.hyperband import Hyperband, brackets, resources, shares
from local_aws.sagemaker.search import RangeError


def test_brackets_begin_at_ever_higher_rungs_and_the_last_lets_all_run() -> None:
    assert brackets(1, 27) == [[1, 3, 9], [3, 9], [9], []]
    assert brackets(2, 5) == [[2], []]
    assert brackets(4, 4) == [[]]


def test_the_brackets_share_a_round_as_in_the_paper() -> None:
    # s_max = 4, eta = 3: 81, 34, 15, 8, 5 trials.
    assert shares(5) == [81, 34, 15, 8, 5]


def test_a_trial_stays_while_it_is_among_the_best_third_at_its_rung() -> None:
    search = Hyperband(1, 9)

    assert not search.stops("first", [0.5])  # nobody to compare it with
    assert search.stops("worse", [0.6])
    assert not search.stops("better", [0.4])
    assert not search.stops("better", [0.4, 0.4])  # between rungs
    assert not search.stops("better", [0.4, 0.4, 0.4])  # the first at the second rung
    assert search.stops("first", [0.5, 0.5, 0.5])


def test_who_was_stopped_stays_stopped_and_counts_no_more() -> None:
    search = Hyperband(1, 9)
    search.stops("first", [0.5])
    assert search.stops("worse", [0.6])

    assert search.stops("worse", [0.6, 0.1, 0.1])
    assert not search.stops("first", [0.5, 0.5, 0.5])


def test_nobody_is_stopped_before_min_resource() -> None:
    search = Hyperband(3, 9)
    search.stops("first", [0.1, 0.1, 0.1])

    assert not search.stops("second", [9.0, 9.0])
    assert search.stops("second", [9.0, 9.0, 9.0])


def test_a_trial_that_goes_on_past_max_resource_is_stopped() -> None:
    search = Hyperband(2, 2)

    assert not search.stops("only", [0.5, 0.5, 0.5])  # two epochs, and the one that was kept
    assert search.stops("only", [0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("config", "static", "expected"),
    [
        ({"MinResource": 2, "MaxResource": 10}, {}, (2, 10)),
        ({"MaxResource": 10}, {"epochs": "4"}, (1, 10)),
        ({}, {"epochs": "12"}, (1, 12)),
        ({"MinResource": 3}, {"num_epochs": '"12"'}, (3, 12)),
    ],
)
def test_resources_are_given_or_taken_from_the_epochs(
    config: dict[str, Any], static: dict[str, str], expected: tuple[int, int]
) -> None:
    assert resources(config, static) == expected


@pytest.mark.parametrize(
    ("config", "static", "message"),
    [
        ({}, {}, "MaxResource must be specified"),
        ({}, {"epochs": "many"}, "MaxResource must be specified"),
        ({"MinResource": 5, "MaxResource": 4}, {}, "must not exceed"),
        ({"MaxResource": 20_001}, {}, "1 to 20000"),
    ],
)
def test_resources_that_make_no_sense_are_refused(config: dict[str, Any], static: dict[str, str], message: str) -> None:
    with pytest.raises(RangeError, match=message):
        resources(config, static)
