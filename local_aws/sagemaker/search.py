"""What to try next in a tuning job: ranges, random and grid search, a small Gaussian process, the median rule.

Pure: no clock, no store, no processes. Plain Python, because the emulator must stay small and numpy is none of its
dependencies: the model keeps at most OBSERVATIONS_MAX trials, for which a suggestion takes a fraction of a second.
"""

from __future__ import annotations

import math
import operator
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, median, pstdev
from typing import Any

Values = dict[str, str]
Point = list[float]

AUTO_LOGARITHMIC_RATIO = 100  # Auto: a positive range that spans this much is searched by orders of magnitude
DRAWS_MAX = 50
OBSERVATIONS_MAX = 64
CANDIDATES_ANYWHERE, CANDIDATES_NEAR = 300, 150
LENGTH_SCALES, NOISES = (0.1, 0.2, 0.4, 0.8, 1.6), (1e-6, 1e-3, 1e-1)
EARLY_STOP_JOBS_MIN = 3


class RangeError(ValueError):
    """A range that cannot be searched; the message is for the person who wrote it."""


@dataclass(frozen=True)
class Number:
    """An Integer or Continuous range."""

    name: str
    low: float
    high: float
    scaling: str
    integer: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise RangeError(f"MinValue must be less than MaxValue for the parameter {self.name}.")
        if self.scaling == "Logarithmic" and self.low <= 0:
            raise RangeError(f"Logarithmic scaling needs a MinValue greater than 0 for the parameter {self.name}.")
        if self.scaling == "ReverseLogarithmic" and (self.integer or self.low < 0 or self.high >= 1):
            raise RangeError(
                f"ReverseLogarithmic scaling is for a continuous range within 0 <= x < 1, which the parameter "
                f"{self.name} has not."
            )

    def _scaled(self, value: float) -> float:
        if self.scaling == "Logarithmic":
            return math.log(value)
        return -math.log1p(-value) if self.scaling == "ReverseLogarithmic" else value

    def _ends(self) -> tuple[float, float]:
        if not self.integer:
            return self._scaled(self.low), self._scaled(self.high)
        # Half a step on each side, so that the ends are as likely as what lies between them.
        low = self.low - 0.5 if self.scaling != "Logarithmic" or self.low > 0.5 else self.low
        return self._scaled(low), self._scaled(self.high + 0.5)

    def text(self, unit: float) -> str:
        """The value at `unit` of the way (0 to 1) through the scaled range, as a hyperparameter carries it."""
        low, high = self._ends()
        place = low + min(1.0, max(0.0, unit)) * (high - low)
        if self.scaling == "Logarithmic":
            place = math.exp(place)
        elif self.scaling == "ReverseLogarithmic":
            place = -math.expm1(-place)
        value = min(self.high, max(self.low, place))
        return str(round(value)) if self.integer else repr(value)

    def units(self, text: str) -> Point:
        """Where a value lies: the other way round."""
        low, high = self._ends()
        return [(self._scaled(float(text)) - low) / (high - low)]


@dataclass(frozen=True)
class Choice:
    """A Categorical range."""

    name: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise RangeError(f"The parameter {self.name} needs values, each once.")

    def text(self, unit: float) -> str:
        """The value at `unit` of the way through the list."""
        return self.values[min(len(self.values) - 1, int(max(0.0, unit) * len(self.values)))]

    def units(self, text: str) -> Point:
        """One coordinate a value: any two differ by the same distance, 1."""
        return [math.sqrt(0.5) * (value == text) for value in self.values]


@dataclass(frozen=True)
class Space:
    """All ranges of a tuning job."""

    ranges: tuple[Number | Choice, ...]

    @property
    def names(self) -> set[str]:
        """The tuned hyperparameters."""
        return {one.name for one in self.ranges}

    def at(self, units: Sequence[float]) -> Values:
        """The values at a place given by one number from 0 to 1 a range."""
        return {one.name: one.text(unit) for one, unit in zip(self.ranges, units, strict=True)}

    def point(self, values: Values) -> Point:
        """Where `values` lie, for the model."""
        return [unit for one in self.ranges for unit in one.units(values[one.name])]

    def grid_size(self) -> int:
        """How many combinations there are. Raises RangeError unless all ranges are choices."""
        choices = [one for one in self.ranges if isinstance(one, Choice)]
        if len(choices) != len(self.ranges):
            raise RangeError("The Grid strategy supports categorical parameters only.")
        return math.prod(len(one.values) for one in choices)

    def grid(self) -> Iterator[Values]:
        """Every combination, one after the other: a grid may be far too large to be kept."""
        choices = [one for one in self.ranges if isinstance(one, Choice)]
        for found in product(*(one.values for one in choices)):
            yield dict(zip((one.name for one in choices), found, strict=True))

    def random(self, rng: random.Random, tried: Iterable[Values] = ()) -> Values:
        """A random combination, one that was not tried if a few draws find such a one."""
        seen = list(tried)
        for _ in range(DRAWS_MAX):
            found = self.at([rng.random() for _ in self.ranges])
            if found not in seen:
                break
        return found


def _number(record: dict[str, str], integer: bool) -> Number:
    try:
        low, high = (float(record[name]) for name in ("MinValue", "MaxValue"))
    except ValueError:
        raise RangeError(f"MinValue and MaxValue of the parameter {record['Name']} must be numbers.") from None
    if integer and not (low.is_integer() and high.is_integer()):
        raise RangeError(f"MinValue and MaxValue of the parameter {record['Name']} must be integers.")
    scaling = record.get("ScalingType") or "Auto"
    if scaling == "Auto":
        scaling = "Logarithmic" if low > 0 and high / low >= AUTO_LOGARITHMIC_RATIO else "Linear"
    return Number(record["Name"], low, high, scaling, integer)


def space(ranges: dict[str, Any]) -> Space:
    """The space of a request's ParameterRanges. Raises RangeError."""
    found: list[Number | Choice] = [
        *(_number(one, True) for one in ranges.get("IntegerParameterRanges", [])),
        *(_number(one, False) for one in ranges.get("ContinuousParameterRanges", [])),
        *(Choice(one["Name"], tuple(one["Values"])) for one in ranges.get("CategoricalParameterRanges", [])),
    ]
    if not found:
        raise RangeError("At least one hyperparameter range is needed.")
    if len({one.name for one in found}) != len(found):
        raise RangeError("A hyperparameter has more than one range.")
    return Space(tuple(found))


# A Gaussian process in plain Python: Matern 5/2, one length scale for all directions, losses standardised.


def _dot(a: Iterable[float], b: Iterable[float]) -> float:
    return float(sum(map(operator.mul, a, b)))


def _cholesky(matrix: list[Point]) -> list[Point]:
    """L of a positive definite matrix, rows as long as they need be. Raises ValueError if it is not one."""
    rows: list[Point] = []
    for number, full in enumerate(matrix):
        row: Point = []
        for column in range(number):
            other = rows[column]
            row.append((full[column] - _dot(row, other)) / other[column])
        row.append(math.sqrt(full[number] - _dot(row, row)))
        rows.append(row)
    return rows


def _forward(rows: list[Point], right: Sequence[float]) -> Point:
    """x of L x = right."""
    found: Point = []
    for row, value in zip(rows, right, strict=True):
        found.append((value - _dot(row, found)) / row[-1])
    return found


def _covariance(a: Point, b: Point, length: float) -> float:
    scaled = math.sqrt(5) * math.dist(a, b) / length
    return (1 + scaled + scaled * scaled / 3) * math.exp(-scaled)


@dataclass(frozen=True)
class Model:
    """A fitted process: what it expects of a place, and how sure it is."""

    points: list[Point]
    length: float
    rows: list[Point]
    solved: Point
    evidence: float

    def predict(self, point: Point) -> tuple[float, float]:
        """Mean and deviation of the (standardised) loss there."""
        half = _forward(self.rows, [_covariance(point, other, self.length) for other in self.points])
        return _dot(half, self.solved), math.sqrt(max(1e-12, 1 - _dot(half, half)))


def _fitted(points: list[Point], losses: Point) -> Model:
    """The process whose length scale and noise make the losses likeliest."""

    def models() -> Iterator[Model]:
        for length, noise in product(LENGTH_SCALES, NOISES):
            matrix = [
                [_covariance(one, other, length) + (noise + 1e-9) * (i == j) for j, other in enumerate(points[: i + 1])]
                for i, one in enumerate(points)
            ]
            try:
                rows = _cholesky(matrix)
            except (ValueError, ZeroDivisionError):
                continue
            solved = _forward(rows, losses)
            evidence = -0.5 * _dot(solved, solved) - sum(math.log(row[-1]) for row in rows)
            yield Model(points, length, rows, solved, evidence)

    return max(models(), key=lambda model: model.evidence)


def expected_improvement(mean: float, deviation: float, best: float) -> float:
    """How much lower than `best` a normally distributed loss may be expected to be."""
    z = (best - mean) / deviation
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return deviation * (z * 0.5 * math.erfc(-z / math.sqrt(2)) + density)


def _kept(observed: list[tuple[Values, float]]) -> list[tuple[Values, float]]:
    """At most OBSERVATIONS_MAX of the trials: the better half of them and the latest."""
    if len(observed) <= OBSERVATIONS_MAX:
        return observed
    latest, older = observed[-OBSERVATIONS_MAX // 2 :], observed[: -OBSERVATIONS_MAX // 2]
    return sorted(older, key=operator.itemgetter(1))[: OBSERVATIONS_MAX // 2] + latest


def first_trials(where: Space) -> int:
    """How many trials are random before the model is asked: one more than there are ranges, at least three."""
    return max(3, len(where.ranges) + 1)


def bayesian(where: Space, observed: list[tuple[Values, float]], pending: list[Values], rng: random.Random) -> Values:
    """The place with the greatest expected improvement over the lowest loss of `observed`.

    `pending` trials count as if they had come out average, which keeps the next one away from them. The first trials
    are random.
    """
    tried = [values for values, _ in observed] + pending
    if len(observed) < first_trials(where):
        return where.random(rng, tried)
    kept = _kept(observed)
    mean, spread = fmean(loss for _, loss in kept), pstdev(loss for _, loss in kept) or 1.0
    losses = [(loss - mean) / spread for _, loss in kept] + [0.0] * len(pending)
    model = _fitted([where.point(values) for values, _ in kept] + [where.point(values) for values in pending], losses)
    candidates = [where.at([rng.random() for _ in where.ranges]) for _ in range(CANDIDATES_ANYWHERE)]
    candidates += _near(where, [values for values, _ in sorted(kept, key=operator.itemgetter(1))[:3]], rng)
    fresh = [values for values in candidates if values not in tried]
    if not fresh:
        return where.random(rng, tried)
    best = min(losses)
    return max(fresh, key=lambda values: expected_improvement(*model.predict(where.point(values)), best))


def _near(where: Space, centres: list[Values], rng: random.Random) -> list[Values]:
    """Places around the best ones: numbers moved a little or less, choices mostly kept."""
    found = []
    for number in range(CANDIDATES_NEAR):
        centre, step = centres[number % len(centres)], rng.choice((0.1, 0.03, 0.01))
        values: Values = {}
        for one in where.ranges:
            text = centre[one.name]
            if isinstance(one, Number):
                values[one.name] = one.text(one.units(text)[0] + rng.gauss(0, step))
            else:
                values[one.name] = one.text(rng.random()) if rng.random() < step else text
        found.append(values)
    return found


def stops_early(losses: list[float], completed: list[list[float]]) -> bool:
    """AWS's median rule on intermediate losses (lower is better), as its guide words it.

    True when the last loss is worse than the median, over the completed trials, of their mean loss up to the same
    step. At least EARLY_STOP_JOBS_MIN of them must have come that far.
    """
    step = len(losses)
    if step == 0:
        return False
    means = [fmean(other[:step]) for other in completed if len(other) >= step]
    return len(means) >= EARLY_STOP_JOBS_MIN and losses[-1] > median(means)
