"""The queue inside one instance, exactly: how many requests are in it, as a law, while time goes on at a given load.

Events are not simulated. The law of the number inside (0 to capacity) is a vector, and a step of time at a constant
load is a matrix, made once for each load: a step costs two small products, whatever the number of requests in it.

With a fixed service time S the matrix is Crommelin's: who is in service now is done S later, so
N(t+S) = max(N(t) - threads, 0) + arrivals in S. With an exponential one it is the birth and death process. Arrivals are
Poisson, as those of many callers are; instances are chosen at random (SageMaker's default) or in turn.

Since the step is linear, the average law of several instances with the same load evolves as one: a new instance joins
by averaging it in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
LOAD_GRID = 0.005  # loads are rounded to this share of an instance's most; above twice the most, to 5 % of themselves
_COARSE_ABOVE = 2.0


@dataclass(frozen=True)
class Server:
    """One instance: what it takes for one request, how many at a time, how many it lets wait before it answers 503."""

    service_seconds: float
    threads: int = 2
    capacity: int = 64
    service: Literal["fixed", "exponential"] = "fixed"
    routing: Literal["random", "turns"] = "random"

    @property
    def most(self) -> float:
        """Requests per second that it can answer."""
        return self.threads / self.service_seconds


@dataclass(frozen=True)
class Step:
    """A step's matrix, the mean of the matrices of all moments in it, and what each state refuses (a share)."""

    matrix: Vector  # (capacity + 1, capacity + 1): law after the step = law before it @ matrix
    mean: Vector  # likewise: law at a random moment of the step
    refused: Vector  # (capacity + 1,)


class Queue:
    """The steps of `seconds` that the instances of a `server` take."""

    def __init__(self, server: Server, seconds: float) -> None:
        self.server = server
        self.seconds = seconds
        self._steps: dict[tuple[float, int, int], Step] = {}

    def empty(self) -> Vector:
        """The law of an instance without a request."""
        law = np.zeros(self.server.capacity + 1)
        law[0] = 1.0
        return law

    def step(self, rate: float, instances: int, room: int) -> Step:
        """A step at `rate` requests per second for each of `instances`, of which each takes at most `room` inside."""
        share = _rounded(rate / self.server.most)
        key = (share, instances if self.server.routing == "turns" else 1, room)
        if key not in self._steps:
            make = _fixed if self.server.service == "fixed" else _exponential
            self._steps[key] = make(self.server, share * self.server.most, key[1], room, self.seconds)
        return self._steps[key]


def _rounded(share: float) -> float:
    """A load by which its matrix is found."""
    return round(share / LOAD_GRID) * LOAD_GRID if share <= _COARSE_ABOVE else 1.05 ** round(math.log(share, 1.05))


def _fixed(server: Server, rate: float, instances: int, room: int, seconds: float) -> Step:
    """Steps of one service time, and as many of them as there are in `seconds`."""
    size = server.capacity + 1
    arrivals = _arrivals(rate * server.service_seconds, instances)
    matrix, over = np.zeros((size, size)), np.zeros(size)
    for inside in range(size):
        left = max(inside - server.threads, 0)
        most = max(room - left, 0)  # how many more it takes
        fitting = arrivals[:most]
        matrix[inside, left : left + len(fitting)] = fitting
        matrix[inside, left + most if len(arrivals) > most else left] += max(0.0, 1.0 - fitting.sum())
        counts = np.arange(len(arrivals))
        over[inside] = (arrivals * np.maximum(counts - most, 0)).sum()
    share = over / (rate * server.service_seconds) if rate else over
    return Step(*_repeated(matrix, max(1, round(seconds / server.service_seconds))), share)


def _arrivals(mean: float, instances: int) -> Vector:
    """Chances of 0, 1, 2, ... arrivals at one instance, of which `mean` come on average."""
    if mean == 0:
        return np.ones(1)
    poisson = _poisson(mean * instances)
    if instances == 1:
        return poisson
    # In turn: of `total` arrivals at all, one instance gets total / instances, rounded by where the turn stands.
    totals = np.arange(len(poisson))
    fewest, rest = totals // instances, (totals % instances) / instances
    found = np.zeros(int(fewest[-1]) + 2)
    np.add.at(found, fewest, poisson * (1 - rest))
    np.add.at(found, fewest + 1, poisson * rest)
    return found


def _poisson(mean: float) -> Vector:
    """The chances of 0, 1, 2, ... as far as they matter."""
    counts = np.arange(int(mean + 12 * math.sqrt(mean) + 20))
    logarithms = counts * math.log(mean) - mean - np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    chances: Vector = np.exp(logarithms)
    chances /= chances.sum()
    return chances


def _exponential(server: Server, rate: float, instances: int, room: int, seconds: float) -> Step:
    """Births at `rate` below `room`, deaths at up to `threads` / service time."""
    size = server.capacity + 1
    inside = np.arange(size)
    births = np.where(inside < room, rate, 0.0)
    births[-1] = 0.0
    deaths = np.minimum(inside, server.threads) / server.service_seconds
    generator = np.diag(births[:-1], 1) + np.diag(deaths[1:], -1) - np.diag(births + deaths)
    halvings = max(0, math.ceil(math.log2((rate + server.most) * seconds))) + 4
    moment = generator * seconds / 2**halvings
    matrix = np.eye(size) + moment @ (np.eye(size) + moment / 2 @ (np.eye(size) + moment / 3))
    return Step(*_repeated(matrix, 2**halvings), (births == 0).astype(float))


def _repeated(matrix: Vector, times: int) -> tuple[Vector, Vector]:
    """The matrix to the power of `times`, and the mean of its powers from 0 to `times` - 1."""
    power, total = np.eye(len(matrix)), np.zeros_like(matrix)
    for bit in f"{times:b}":
        total = total + power @ total
        power = power @ power
        if bit == "1":
            total = total + power
            power = power @ matrix
    return power, total / times


class Latency:
    """How long requests took that found so many inside, with what comes before and after the instance."""

    def __init__(self, server: Server, around: float, extra: float) -> None:
        """`around`: seconds that every request takes outside; `extra`: what a cold start adds."""
        self._server, self._around, self._extra = server, around, extra

    def within(self, seconds: Vector, found: Vector, cold: float) -> Vector:
        """The share of requests that took at most so many `seconds`, each.

        `found`: weights of the numbers inside (capacity + 1,), `cold`: the share that met a cold start.
        """
        weights = found / found.sum()
        warm = self._inside(seconds - self._around, weights)
        if cold == 0:
            return warm
        return (1 - cold) * warm + cold * self._inside(seconds - self._around - self._extra, weights)

    def percentile(self, share: float, found: Vector, cold: float) -> float:
        """Seconds within which `share` (0 to 1) of the requests were answered; nan where there was none."""
        if found.sum() == 0:
            return math.nan
        low, high = 0.0, self._around + self._extra + self._server.service_seconds * (self._server.capacity + 20)
        for _ in range(4):
            times = np.linspace(low, high, 200)
            at = min(int(np.searchsorted(self.within(times, found, cold), share)), len(times) - 1)
            low, high = times[max(at - 1, 0)], times[at]
        return float(high)

    def _inside(self, seconds: Vector, weights: Vector) -> Vector:
        server = self._server
        if server.service == "exponential":
            return _sojourn(server, seconds, weights)
        # Who finds k waiting beside full threads waits for k departures and the rest of one: even between k and k + 1.
        waits = np.arange(len(weights)) - server.threads
        slots = (seconds[:, None] - server.service_seconds) * server.most
        chances = np.where(waits < 0, slots >= -1e-9, np.clip(slots - waits, 0.0, 1.0))
        return np.asarray(chances @ weights)


def _sojourn(server: Server, seconds: Vector, weights: Vector) -> Vector:
    """Wait (as many exponential departures as there are ahead) and service (exponential, too), by quadrature."""
    grid = np.linspace(0.0, 1.0, 65)
    result = np.zeros(len(seconds))
    for index, limit in enumerate(seconds):
        if limit <= 0:
            continue
        waits = limit * grid
        ahead = np.maximum(np.arange(len(weights)) - server.threads + 1, 0)
        means = waits[:, None] * server.most
        longest = np.arange(int(ahead.max()) + 1)
        terms = np.exp(
            longest * np.log(np.maximum(means, 1e-300)) - means - np.cumsum(np.log(np.maximum(longest, 1)))[None, :]
        )
        beyond = np.concatenate([np.zeros((len(waits), 1)), np.cumsum(terms, axis=1)], axis=1)[:, ahead]
        waited = (1.0 - beyond) @ weights  # P(wait <= w)
        served = 1.0 - np.exp(-(limit - waits) / server.service_seconds)
        result[index] = waited[0] * served[0] + (np.diff(waited) * (served[:-1] + served[1:]) / 2).sum()
    return result
