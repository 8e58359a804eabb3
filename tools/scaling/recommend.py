"""Settings for a load and a latency: the cheapest of those tried with which the simulated stack keeps it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from tools.scaling.profiles import profile
from tools.scaling.queueing import Queue
from tools.scaling.simulation import Outcome, World, simulate
from tools.scaling.traffic import STEP_SECONDS, Trace
from tools.template import template

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8)  # of what one instance can answer
OUT_COOLDOWNS, IN_COOLDOWNS = (0, 60, 180), (60, 300, 900)
_PEAK_SHARE = 0.9  # of all instances, at the traffic's peak
_SPARE = 1.5  # API throttle over the highest rate


class NothingFitsError(Exception):
    """No settings that were tried keep the latency; the message says what came nearest."""


@dataclass(frozen=True)
class Goal:
    """`p99`: seconds; `refused`: the largest share of requests without an answer, on every traffic."""

    p99: float
    refused: float = 0.001

    def kept(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether all outcomes are within it."""
        return all(one.p99 <= self.p99 and one.refused <= self.refused for one in outcomes)


@dataclass(frozen=True)
class Choice:
    """Parameters of the stack, and what they come to on each traffic."""

    parameters: dict[str, str]
    outcomes: list[Outcome]

    @property
    def dollars(self) -> float:
        """What all traffics together cost."""
        costs = [one.cost for one in self.outcomes]
        return sum(math.inf if one is None else one.total for one in costs)

    def overrides(self) -> str:
        """As `sam deploy --parameter-overrides` and samconfig.toml take them."""
        return " ".join(f"{name}={value}" for name, value in self.parameters.items())


def recommend(traces: Sequence[Trace], world: World, goal: Goal, tell: Callable[[str], None]) -> Choice:
    """The cheapest choice that keeps `goal` on every traffic; raises NothingFitsError. `tell` hears how it goes.

    First metric, target and minimum with middling cooldowns, then the cooldowns of the best.
    """
    queue = Queue(world.server, STEP_SECONDS)

    def judged(parameters: dict[str, str]) -> Choice:
        tried = profile("recommended", parameters)
        return Choice(parameters, [simulate(tried, one, world, queue) for one in traces])

    fixed = _fixed(traces, world, goal)
    best, nearest, count = None, None, 0
    for parameters in _targets(traces, world, queue):
        choice, count = judged(fixed | parameters | _cooldowns(60, 300)), count + 1
        nearest = choice if nearest is None or _worst(choice) < _worst(nearest) else nearest
        if goal.kept(choice.outcomes) and (best is None or choice.dollars < best.dollars):
            best = choice
            tell(f"tried {count}: {parameters} costs {choice.dollars:.2f} dollars")
    if best is None:
        raise NothingFitsError(_nearest(nearest, goal))
    for out, in_ in product(OUT_COOLDOWNS, IN_COOLDOWNS):
        choice = judged(best.parameters | _cooldowns(out, in_))
        if goal.kept(choice.outcomes) and choice.dollars < best.dollars:
            best = choice
            tell(f"cooldowns of {out} s out and {in_} s in cost {choice.dollars:.2f} dollars")
    return best


def _targets(traces: Sequence[Trace], world: World, queue: Queue) -> Iterator[dict[str, str]]:
    """Metric, target, fewest and most instances."""
    server, peak = world.server, max(float(one.rates.max()) for one in traces)
    most = _within("ScalingMaximum", math.ceil(peak / (server.most * _PEAK_SHARE)) + 1)
    fewest = sorted({min(count, most) for count in (1, 2, 3, 4, 6, 8, 12, 16, most - 1, most) if count > 0})
    for minimum, share in product(fewest, SHARES):
        for target in (
            {"ScalingMetric": "invocations", "ScalingTarget": str(round(share * server.most * 60))},
            {"ScalingMetric": "concurrency", "ScalingConcurrentRequests": f"{_inside(queue, share):.2g}"},
        ):
            # At the target an instance is `share` busy: so many are enough for all that the API lets through.
            enough = _within("ScalingMaximum", math.ceil(_SPARE * peak / (server.most * share)))
            yield {"ScalingMinimum": str(minimum), "ScalingMaximum": str(max(enough, minimum)), **target}


def _inside(queue: Queue, share: float) -> float:
    """Requests inside an instance that is busy for this share, on average, once it has settled."""
    law = queue.empty()
    step = queue.step(share * queue.server.most, 1, queue.server.capacity)
    for _ in range(6):
        law = law @ step.matrix
    return float(law @ range(len(law)))


def _fixed(traces: Sequence[Trace], world: World, goal: Goal) -> dict[str, str]:
    """What the load alone decides: copies of the function by Little's law and their spread, a throttle with room."""
    peak = max(float(one.rates.max()) for one in traces)
    usual = min(float(one.rates.mean()) for one in traces)
    busy = usual * (world.function_seconds + world.server.service_seconds)
    rate = math.ceil(peak * _SPARE)
    most_busy = peak * goal.p99 + 6 * math.sqrt(peak * goal.p99)
    return {
        "ApiThrottleRate": str(_within("ApiThrottleRate", rate)),
        "ApiThrottleBurst": str(_within("ApiThrottleBurst", rate)),
        "ProvisionedConcurrency": str(_allowed("ProvisionedConcurrency", math.ceil(busy))),
        "ReservedConcurrency": str(_allowed("ReservedConcurrency", math.ceil(most_busy))),
    }


def _cooldowns(out: int, in_: int) -> dict[str, str]:
    return {"ScaleOutCooldownSeconds": str(out), "ScaleInCooldownSeconds": str(in_)}


def _within(name: str, value: int) -> int:
    """`value`, or the bound of the template's parameter that it is beyond."""
    rules = template()["Parameters"][name]
    return int(min(max(value, rules["MinValue"]), rules["MaxValue"]))


def _allowed(name: str, least: int) -> int:
    """The smallest allowed value of the template's parameter that is at least so much; the largest if none is."""
    values: list[int] = sorted(template()["Parameters"][name]["AllowedValues"])
    return next((value for value in values if value >= max(least, 1)), values[-1])


def _worst(choice: Choice) -> tuple[float, float]:
    return max(one.refused for one in choice.outcomes), max(one.p99 for one in choice.outcomes)


def _nearest(choice: Choice | None, goal: Goal) -> str:
    assert choice is not None
    refused, p99 = _worst(choice)
    return (
        f"no settings that were tried keep p99 within {goal.p99 * 1000:.0f} ms and refuse at most {goal.refused:.2%}. "
        f"The nearest refuses {refused:.2%} with a p99 of {p99 * 1000:.0f} ms: {choice.overrides()}. What a sudden "
        "rise loses, only instances that are there before it can save."
    )
