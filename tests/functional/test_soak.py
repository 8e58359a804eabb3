"""The soak's short form: every kind of process is killed once under requests and runs, and nothing is lost by it.

`python -m benchmarks.soak` is the long one.
"""

from __future__ import annotations

import pytest

from benchmarks.soak import soak
from benchmarks.soaking.victims import KINDS

pytestmark = pytest.mark.slow


def test_kills_of_every_kind_lose_nothing_and_leave_nothing() -> None:
    outcome = soak(minutes=6, seed=1, gap=4, once=True)

    assert outcome.broken == []
    assert set(outcome.killer.counts) == set(KINDS)
    assert not [kill for kill in outcome.world.kills if kill.gave_up]
    assert outcome.ledger.lost == []
    assert outcome.ledger.acknowledged > 100
    assert outcome.requests.wrong == []
    assert outcome.requests.failed == []
    assert sum(outcome.requests.score.values()) > 50
    assert outcome.unwell == []
    assert outcome.runs.succeeded_since(outcome.world.kills[-1].at)
    left = outcome.leavings
    assert (left.processes, left.files, left.ports) == ([], [], [])
