"""The soak's own arithmetic."""

from __future__ import annotations

import math
import random
from pathlib import Path

from benchmarks.soaking.samples import slope
from benchmarks.soaking.world import Kill, World
from tools.stack import Stack

STACK = Stack("kennel", "us-east-1", None, "", "", "data", "artifacts", "kennel", {})


def test_a_slope_is_that_within_each_series_whatever_their_levels() -> None:
    points = [(life, 3600.0 * hour, 100.0 * life + 5.0 * hour) for life in (0, 1) for hour in (1, 2, 3, 4)]

    assert math.isclose(slope(points).an_hour, 5.0)


def test_a_slope_that_noise_makes_is_within_its_error_and_neighbours_that_go_together_make_that_larger() -> None:
    chance = random.Random(1)
    noise = [chance.gauss(0, 1) for _ in range(200)]
    wandering = [sum(noise[max(0, place - 20) : place + 1]) for place in range(200)]
    alone, together = (slope([(0, 10.0 * i, one) for i, one in enumerate(values)]) for values in (noise, wandering))

    assert abs(alone.an_hour) < 3 * alone.error
    assert together.error > 3 * alone.error


def test_too_few_points_have_no_slope() -> None:
    assert math.isnan(slope([(0, 1.0, 1.0), (0, 2.0, 2.0)]).an_hour)


def test_a_request_is_disturbed_by_what_was_dead_in_its_time_and_answers_requests() -> None:
    world = World(STACK, Path(), [], seed=1)
    world.kills += [Kill("endpoint", "", 10.0, recovered=5.0), Kill("job", "", 50.0), Kill("emulator", "", 90.0)]

    told = [world.disturbed(*span) for span in ((0, 9), (8, 11), (14, 16), (16, 20), (50, 60), (95, 99))]

    assert told == [False, True, True, False, False, True]
