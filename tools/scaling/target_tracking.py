"""Application Auto Scaling's target tracking of a SageMaker variant, as documented: two alarms, and what they do.

AlarmHigh: three datapoints in a row above the target. AlarmLow: fifteen below 90 % of it. InvocationsPerInstance has
datapoints of one minute, ConcurrentRequestsPerModel (high resolution) of ten seconds. Out by the latest datapoint, to
the capacity at which the metric would be at its target; in by the highest of the fifteen. Within the scale-out cooldown
what was added counts as part of what is asked for; a scale-out ends a scale-in's cooldown; both run from an activity's
end. While an activity lasts (the endpoint is Updating) nothing else happens.

local_aws/ follows the same rules with real processes; benchmarks/scaling_simulator.py compares the two.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

HIGH_POINTS, LOW_POINTS = 3, 15
LOW_SHARE = 0.9
PERIODS = {"invocations": 60.0, "concurrency": 10.0}


@dataclass(frozen=True)
class Policy:
    """A policy and the limits of its scalable target. Cooldowns in seconds.

    `target`: of metric `invocations` requests a MINUTE for each instance, of `concurrency` requests inside each.
    """

    metric: Literal["invocations", "concurrency"]
    target: float
    in_cooldown: float
    out_cooldown: float
    minimum: int
    maximum: int

    @property
    def period(self) -> float:
        """Seconds of a datapoint."""
        return PERIODS[self.metric]


@dataclass
class Scaler:
    """A variant that is scaled: `capacity` instances serve, `wanted` are on the way while an activity lasts."""

    policy: Policy
    start_seconds: float  # from the decision until a new instance answers
    capacity: int
    wanted: int = 0
    changes: int = 0
    _points: deque[float] = field(default_factory=lambda: deque(maxlen=LOW_POINTS))
    _ends: float = -math.inf
    _out_ended: float = -math.inf
    _out_from: int = 0
    _in_ended: float = -math.inf

    def __post_init__(self) -> None:
        self.wanted = self.capacity

    def arrive(self, now: float) -> None:
        """Takes new instances in when their time has come."""
        if self.wanted > self.capacity and now >= self._ends:
            self._out_ended, self._out_from, self._in_ended = now, self.capacity, -math.inf
            self.capacity = self.wanted

    def observe(self, value: float, now: float) -> None:
        """A datapoint, at the end of its period: the alarms are looked at, and acted on."""
        self._points.append(value)
        if self.wanted != self.capacity:
            return
        asked = self._asked(now)
        if asked > self.capacity:
            self.wanted, self._ends, self.changes = asked, now + self.start_seconds, self.changes + 1
        elif asked < self.capacity:
            self.capacity = self.wanted = asked
            self._in_ended, self.changes = now, self.changes + 1

    def _asked(self, now: float) -> int:
        policy, points = self.policy, list(self._points)
        latest = points[-HIGH_POINTS:]
        if len(latest) == HIGH_POINTS and min(latest) > policy.target:
            # A datapoint that a change fell into tells of both capacities, so it counts as cooling for two periods.
            cooling = now < self._out_ended + max(policy.out_cooldown, 2 * policy.period)
            asked = needed(self._out_from if cooling else self.capacity, points[-1], policy.target)
            return max(self.capacity, min(asked, policy.maximum))
        quiet = len(points) == LOW_POINTS and max(points) < LOW_SHARE * policy.target
        if quiet and now >= self._in_ended + policy.in_cooldown:
            return min(self.capacity, max(needed(self.capacity, max(points), policy.target), policy.minimum))
        return self.capacity


def needed(capacity: int, metric: float, target: float) -> int:
    """The capacity at which a metric per instance would be at its target."""
    return math.ceil(capacity * metric / target - 1e-9)
