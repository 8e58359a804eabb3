"""A few thousand made-up inputs for what strangers' bytes reach first; benchmarks/fuzz.py tries many more, by coverage.

What was found there, or by hand, has a test of its own beside the other tests of what it is about.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.fuzz import inputs, targets


@pytest.mark.parametrize(
    ("target", "seeds", "change", "count"),
    [
        (targets.decoder, inputs.pictures, inputs.changed_picture, 3000),
        (targets.event, inputs.events, inputs.changed_event, 3000),
        (targets.body, inputs.bodies, inputs.changed_bytes, 5000),
    ],
    ids=["decoder", "event", "body"],
)
def test_whatever_the_bytes_the_only_errors_are_the_named_ones(
    target: Callable[[bytes], bool],
    seeds: Callable[[], list[bytes]],
    change: Callable[[bytes, random.Random], bytes],
    count: int,
) -> None:
    rng, known = random.Random(7), seeds()
    with targets.outside_world():
        accepted = sum(target(change(rng.choice(known), rng)) for _ in range(count))
    assert count / 50 < accepted < count * 0.9  # both ways are taken
