"""Target tracking's arithmetic: what capacity a scalable target should have now. Nothing here does I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """What one policy's alarms say. `high`, `low`: the metric while that alarm is in ALARM, else None."""

    policy: str
    target: float
    high: float | None
    low: float | None
    scales_in: bool
    out_cooldown: float
    in_cooldown: float
    # A period that a change of capacity fell into tells of both capacities: so long is it not believed.
    settling: float = 0.0


@dataclass(frozen=True)
class Past:
    """When earlier activities ended, and from what capacity the last one to scale out started."""

    out_ended: float = -math.inf
    out_from: int = 0
    in_ended: float = -math.inf


@dataclass(frozen=True)
class Limits:
    """A scalable target's bounds and what is suspended on it."""

    minimum: int
    maximum: int
    out_suspended: bool = False
    in_suspended: bool = False


@dataclass(frozen=True)
class Change:
    """A capacity to go to, and the policy that asks for it."""

    capacity: int
    policy: str
    out: bool


def needed(capacity: int, metric: float, target: float) -> int:
    """The capacity at which a metric per instance would be at its target."""
    return math.ceil(capacity * metric / target - 1e-9)


def _out(one: Reading, capacity: int, past: Past, now: float) -> int:
    """What has been added within the cooldown counts as part of what is asked for now."""
    assert one.high is not None
    cooling = now < past.out_ended + max(one.out_cooldown, one.settling)
    return needed(past.out_from if cooling else capacity, one.high, one.target)


def decide(readings: Sequence[Reading], capacity: int, limits: Limits, past: Past, now: float) -> Change | None:
    """The change to make, or None. Out when any policy asks, in when all do; the largest capacity asked for wins."""
    high = [one for one in readings if one.high is not None]
    if high:
        if limits.out_suspended:
            return None
        asked, policy = max((_out(one, capacity, past, now), one.policy) for one in high)
        asked = min(asked, limits.maximum)
        return Change(asked, policy, out=True) if asked > capacity else None
    able = [one for one in readings if one.scales_in]
    if not able or limits.in_suspended or any(one.low is None for one in able):
        return None
    if now < past.in_ended + max(one.in_cooldown for one in able):
        return None
    asked, policy = max((needed(capacity, one.low or 0.0, one.target), one.policy) for one in able)
    asked = max(asked, limits.minimum)
    return Change(asked, policy, out=False) if asked < capacity else None
