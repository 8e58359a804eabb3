"""Whether an hour of sampled answers looks like the validation pictures: classes, confidence, features.

Each part is a distance between two samples, the hour's and the baseline's, over what chance alone makes of it at their
sizes: 1 is the limit of chance. How the limits were chosen, and how often they are wrong: docs/decisions/0011-drift.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

# Fewer pictures, of the hour or of the baseline, say nothing.
LEAST_PICTURES = 30
# The share of unshifted hours in which any of the three parts may go beyond 1, by the theory of large samples.
FALSE_ALARMS = 1e-5
_EACH = FALSE_ALARMS / 3


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the endpoint's log: `index` of the likeliest class, its probability, the features.

    `features`: as many numbers as the baseline has features, in their order.
    """

    model: str
    precision: str
    index: int
    confidence: float
    features: Sequence[float]


class Drift(NamedTuple):
    """How far an hour is from the baseline, in limits of chance; `shifted` names what of each part moved the most."""

    classes: float
    confidence: float
    features: float
    shifted: Mapping[str, str]

    @property
    def largest(self) -> float:
        """The part that is the farthest."""
        return max(self.classes, self.confidence, self.features)


def parse_sample(line: Mapping[str, Any]) -> Sample | None:
    """A log line as a sample; None for any other line, and for one that is not whole."""
    if line.get("event") != "sampled":
        return None
    try:
        return Sample(
            str(line["model"]),
            str(line["precision"]),
            int(line["index"]),
            float(line["confidence"]),
            tuple(float(value) for value in line["features"]),
        )
    except (LookupError, TypeError, ValueError):
        return None


def of_one_kind(samples: Sequence[Sample], model: str) -> list[Sample]:
    """Those that `model` answered, in the precision that most of them have: others have another baseline."""
    own = [one for one in samples if one.model == model]
    kinds = Counter(one.precision for one in own).most_common(1)
    return [one for one in own if one.precision == kinds[0][0]] if kinds else []


def compare(samples: Sequence[Sample], baseline: Mapping[str, Any], names: Sequence[str]) -> Drift | None:
    """The hour against `baseline`, one precision's of drift.json; None where either has too few pictures to tell.

    names: of the classes, by index.
    """
    if min(len(samples), baseline["pictures"]) < LEAST_PICTURES:
        return None
    classes, moved = _counts(baseline["classes"], _by_class(samples, len(names)))
    edges = baseline["confidence"]["edges"]
    confidence, bin_moved = _counts(baseline["confidence"]["pictures"], _by_bin(samples, edges))
    features, said = _features(samples, baseline)
    bounds = [0.0, *edges, 1.0]
    shifted = {
        "classes": f"{names[moved.place]}: {moved.says}",
        "confidence": f"{bounds[bin_moved.place]:.4g} to {bounds[bin_moved.place + 1]:.4g}: {bin_moved.says}",
        "features": said,
    }
    return Drift(classes, confidence, features, shifted)


def _by_class(samples: Sequence[Sample], classes: int) -> list[int]:
    counts = Counter(one.index for one in samples)
    return [counts[index] for index in range(classes)]


def _by_bin(samples: Sequence[Sample], edges: Sequence[float]) -> list[int]:
    """Pictures by bin of confidence; bin i ends before edges[i], the last has no end."""
    counts = Counter(bisect_right(edges, one.confidence) for one in samples)
    return [counts[place] for place in range(len(edges) + 1)]


class _Moved(NamedTuple):
    place: int
    says: str


def _counts(baseline: Sequence[int], hour: Sequence[int]) -> tuple[float, _Moved]:
    """Two samples of counts by the chi-square test of homogeneity: its statistic over the limit, what moved the most.

    Wilson and Hilferty's cube root makes a normal variable of it, so that the limit's tail needs no table.
    """
    before, now = sum(baseline), sum(hour)
    parts = [
        ((before / now) ** 0.5 * there - (now / before) ** 0.5 * here) ** 2 / (here + there) if here + there else 0.0
        for here, there in zip(baseline, hour, strict=True)
    ]
    freedom = sum(1 for here, there in zip(baseline, hour, strict=True) if here + there) - 1
    place = max(range(len(parts)), key=parts.__getitem__)
    says = f"{hour[place] / now:.1%}, {baseline[place] / before:.1%} in the baseline"
    if freedom < 1:
        return 0.0, _Moved(place, says)
    variance = 2 / (9 * freedom)
    score = ((sum(parts) / freedom) ** (1 / 3) - (1 - variance)) / variance**0.5
    return max(0.0, score / NormalDist().inv_cdf(1 - _EACH)), _Moved(place, says)


def _features(samples: Sequence[Sample], baseline: Mapping[str, Any]) -> tuple[float, str]:
    """The largest of the tests on each feature's mean and spread, over the limit for so many tests; and which it is.

    In units of the feature's standard deviation: its mean, and its mean absolute deviation from the baseline's mean.
    """
    features = baseline["features"]
    error = (1 / len(samples) + 1 / baseline["pictures"]) ** 0.5
    limit = NormalDist().inv_cdf(1 - _EACH / (4 * len(features)))  # two tests of each, to both sides
    found: list[tuple[float, str]] = []
    for number, one in enumerate(features):
        values = [(sample.features[number] - one["mean"]) / one["deviation"] for sample in samples]
        mean, spread = fmean(values), fmean(map(abs, values))
        found += [
            (abs(mean) / error, f"{one['name']}: mean {mean:+.2f} deviations off"),
            (
                abs(spread - one["spread"]) / (one["spread_deviation"] * error),
                f"{one['name']}: spread {spread:.2f}, {one['spread']:.2f} in the baseline",
            ),
        ]
    score, says = max(found)
    return score / limit, says
