"""A profile under a traffic, step by step: API throttle, function, instances, and the scaling that changes them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tools.scaling import costs
from tools.scaling.profiles import Profile
from tools.scaling.queueing import Latency, Queue, Server
from tools.scaling.target_tracking import Scaler
from tools.scaling.traffic import STEP_SECONDS, Trace
from tools.template import ROOT

MEASURED = ROOT / "benchmarks" / "results" / "scaling_simulator.json"
_SAMPLES = 5  # of concurrency, in ten seconds


@dataclass(frozen=True)
class World:
    """What no setting of the stack decides.

    function_seconds  what API and function add to an answer of the instance
    cold_seconds      what a copy of the function takes to start
    start_seconds     from the decision until a new instance has passed its health check
    account           copies of all functions that an account may run at once
    kept_seconds      how long an idle copy of the function lasts, about; AWS says no figure
    phase             the moment within a minute at which the trace begins, seconds: alarms look at whole minutes
    even              requests come evenly, as a load test's do: then nothing that is counted fluctuates
    seed              of the chance in what is counted otherwise: two minutes of one load are not the same
    """

    server: Server
    function_seconds: float
    cold_seconds: float = 0.5
    start_seconds: float = 240.0
    account: int = 1000
    kept_seconds: float = 600.0
    phase: float = 0.0
    even: bool = False
    seed: int = 1


def measured() -> World:
    """A world with the times of benchmarks/scaling_simulator: one picture after the other, on two cores."""
    found = json.loads(MEASURED.read_text(encoding="utf-8"))["details"]
    return World(Server(found["service_ms"] / 1000), function_seconds=found["function_ms"] / 1000)


@dataclass
class Outcome:
    """What came of it. Counts are of requests; series have one value for each step."""

    profile: Profile
    trace: Trace
    p50: float  # seconds, of answers
    p99: float
    sent: float
    refused_by_api: float  # 429
    refused_by_function: float  # 429 of Lambda, which reaches the caller as 500 or 429
    refused_by_instances: float  # 503
    cold: float
    changes: int
    cost: costs.Cost | None
    serving: NDArray[np.int64]  # instances that answer
    paid: NDArray[np.int64]  # with those that start

    @property
    def refused(self) -> float:
        """The share of requests that got no answer of the model."""
        refused = self.refused_by_api + self.refused_by_function + self.refused_by_instances
        return refused / self.sent if self.sent else 0.0

    @property
    def per_million(self) -> float | None:
        """US dollars for a million answers."""
        answered = self.sent * (1 - self.refused)
        return self.cost.total / answered * 1e6 if self.cost and answered else None


@dataclass
class _Run:
    """What is added up on the way."""

    found: NDArray[np.float64]  # weights of the numbers that answered requests found inside their instance
    sent: float
    api: float = 0.0
    function: float = 0.0
    instances: float = 0.0
    called: float = 0.0
    invoked: float = 0.0
    function_seconds: float = 0.0
    provisioned_seconds: float = 0.0
    cold: float = 0.0
    serving: list[int] = field(default_factory=list)
    paid: list[int] = field(default_factory=list)

    def counted(self, came: float, let_in: float, throttled: float, full: float) -> None:
        """The requests of a step: how many came, passed the API; which shares function and instances then refused."""
        self.api += came - let_in
        self.function += let_in * throttled
        self.instances += let_in * (1 - throttled) * full
        self.called += let_in
        self.invoked += let_in * (1 - throttled)

    def held(self, busy: float, provisioned: int, scaler: Scaler) -> None:
        """What was in use for a step."""
        self.function_seconds += busy * STEP_SECONDS
        self.provisioned_seconds += min(busy, provisioned) * STEP_SECONDS
        self.serving.append(scaler.capacity)
        self.paid.append(scaler.wanted)


def simulate(profile: Profile, trace: Trace, world: World, queue: Queue | None = None) -> Outcome:
    """The profile's stack under the traffic, from its fewest instances on; a `queue` of that server may be shared."""
    queue = queue or Queue(world.server, STEP_SECONDS)
    counts, noise = _counted(trace, world)
    scaler = Scaler(profile.policy, world.start_seconds, profile.policy.minimum)
    run = _Run(found=np.zeros(world.server.capacity + 1), sent=float(counts.sum()))
    gate = _Throttle(profile.throttle_rate, profile.throttle_burst)
    function = _Function(profile, world)
    law, metric = queue.empty(), _Metric(profile.policy.period, world.phase)
    inside = np.arange(len(law))
    for number, rate in enumerate(trace.rates.tolist()):
        now = (number + 1) * STEP_SECONDS
        let_in = gate.let_in(counts[number])
        share = let_in / counts[number] if counts[number] else 1.0
        throttled, room = function.limits(rate * share, scaler.capacity)
        taken = rate * share * (1 - throttled)
        step = queue.step(taken / scaler.capacity, scaler.capacity, room)
        mean, law = law @ step.mean, law @ step.matrix
        # Where the function's limit is what bounds the queue, `throttled` has counted what does not fit already.
        full = max(0.0, float(mean @ step.refused)) if room == world.server.capacity and taken else 0.0
        run.counted(counts[number], let_in, throttled, full)
        answered = let_in * (1 - throttled) * (1 - full)
        run.found[:room] += mean[:room] * (answered / max(mean[:room].sum(), 1e-12))
        held = float(mean @ inside)
        busy = taken * world.function_seconds + held * scaler.capacity  # copies of the function, on average
        run.cold += min(function.started(busy), answered)
        run.held(busy, profile.provisioned, scaler)
        if profile.policy.metric == "invocations":
            value = let_in * (1 - throttled) / scaler.capacity
        else:
            spread = math.sqrt(max(float(mean @ inside**2) - held**2, 0.0) / (_SAMPLES * scaler.capacity))
            value = max(0.0, held + spread * noise[number])
        before = scaler.capacity
        scaler.arrive(now)
        for point in metric.add(value, now):
            scaler.observe(point, now)
        if scaler.capacity > before:
            law = (before * law + (scaler.capacity - before) * queue.empty()) / scaler.capacity
    return _outcome(profile, trace, world, run, scaler.changes)


def _counted(trace: Trace, world: World) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The requests of each step, and how far off each measured concurrency is, in standard deviations."""
    if world.even:
        return trace.rates * STEP_SECONDS, np.zeros(len(trace.rates))
    chance = np.random.default_rng(world.seed)
    return chance.poisson(trace.rates * STEP_SECONDS).astype(float), chance.standard_normal(len(trace.rates))


def _outcome(profile: Profile, trace: Trace, world: World, run: _Run, changes: int) -> Outcome:
    answered = run.found.sum()
    cold = min(1.0, run.cold / answered) if answered else 0.0
    latency = Latency(world.server, world.function_seconds, world.cold_seconds)
    used = costs.Used(
        seconds=trace.seconds,
        instance_seconds=sum(run.paid) * STEP_SECONDS,
        called=run.called,
        invoked=run.invoked,
        function_seconds=run.function_seconds,
        on_provisioned=run.provisioned_seconds / run.function_seconds if run.function_seconds else 0.0,
    )
    return Outcome(
        profile=profile,
        trace=trace,
        p50=latency.percentile(0.5, run.found, cold),
        p99=latency.percentile(0.99, run.found, cold),
        sent=run.sent,
        refused_by_api=run.api,
        refused_by_function=run.function,
        refused_by_instances=run.instances,
        cold=run.cold,
        changes=changes,
        cost=costs.cost(profile, used),
        serving=np.array(run.serving),
        paid=np.array(run.paid),
    )


class _Throttle:
    """API Gateway's token bucket, with requests of a step evenly over it."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens = burst

    def let_in(self, count: float) -> float:
        """How many of `count` requests of a step pass."""
        passed = min(count, self._tokens + self._rate * STEP_SECONDS)
        self._tokens = min(self._burst, self._tokens + self._rate * STEP_SECONDS - passed)
        return float(passed)


class _Metric:
    """Datapoints of whole periods out of steps: sums of counts a minute, or the step's own value."""

    def __init__(self, period: float, phase: float) -> None:
        self._period, self._phase = period, phase
        self._sum = 0.0

    def add(self, value: float, now: float) -> list[float]:
        """The datapoint that ends with this step, or none."""
        self._sum += value
        if (now + self._phase) % self._period >= STEP_SECONDS:
            return []
        point, self._sum = self._sum, 0.0
        return [point]


class _Function:
    """Lambda's side: how many copies may run, and which of them must start first."""

    def __init__(self, profile: Profile, world: World) -> None:
        self._limit = profile.reserved or world.account
        self._world = world
        self._provisioned = profile.provisioned
        self._warm = float(profile.provisioned)

    def limits(self, rate: float, instances: int) -> tuple[float, int]:
        """(share of `rate` that Lambda refuses, how many requests each instance then has inside at most).

        A copy is busy as long as its request is inside an instance, so the limit on copies bounds the queues, too.
        """
        server = self._world.server
        room = min(server.capacity, math.ceil(self._limit / instances))
        before = rate * self._world.function_seconds
        if self._limit >= instances * server.capacity + before + 6 * math.sqrt(before):
            return 0.0, room  # the instances refuse first
        around = self._world.function_seconds + server.service_seconds
        return blocked(round(rate, 2), around, instances * server.most, self._limit), room

    def started(self, busy: float) -> float:
        """How many copies must start in a step in which `busy` run on average, beside those that are warm."""
        peak = math.ceil(min(self._limit, busy + 3 * math.sqrt(busy))) if busy else 0
        fresh = max(0.0, peak - self._warm)
        self._warm = max(self._provisioned, peak, self._warm * math.exp(-STEP_SECONDS / self._world.kept_seconds))
        return fresh


@lru_cache(maxsize=50_000)
def blocked(rate: float, seconds: float, most: float, limit: int) -> float:
    """The share of `rate` that finds all `limit` copies busy: each for `seconds`, all together `most` a second.

    Erlang's loss formula, with the rate at which copies come free bounded by what the instances answer.
    """
    if rate == 0:
        return 0.0
    ends = np.minimum(np.arange(1, limit + 1) / seconds, most)
    logarithms = np.concatenate([[0.0], np.cumsum(math.log(rate) - np.log(ends))])
    chances = np.exp(logarithms - logarithms.max())
    return float(chances[-1] / chances.sum())
