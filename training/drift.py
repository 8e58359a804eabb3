"""What the pictures of the validation split look like to the model as it serves: the baseline that drift is told by.

The features are projections of the logits, which are a linear image of the backbone's features, of the part that can
change an answer, and serving has them for nothing; and what the pictures themselves look like (`serving.sampled`).
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from serving.sampled import Numbers, features, names
from training.calibrate import Logits, Probabilities

BINS = 10
DIGITS = 6
# Of features that hardly differ: no less than the rounding of the log's lines makes of them.
LEAST_DEVIATION, LEAST_OF_DISTANCES = 1e-3, 0.2


class ConfidenceBaseline(TypedDict):
    """Pictures by bin of the likeliest class's probability; bin i ends before edges[i], the last has no end."""

    edges: Sequence[float]
    pictures: Sequence[int]


class FeatureBaseline(TypedDict):
    """One feature: its mean and standard deviation; its distance from the mean, in deviations, likewise."""

    name: str
    mean: float
    deviation: float
    spread: float
    spread_deviation: float


class DriftBaseline(TypedDict):
    """One precision on the validation split.

    classes    pictures by predicted class, by index
    features   of `serving.sampled.features`, in their order
    """

    pictures: int
    classes: Sequence[int]
    confidence: ConfidenceBaseline
    features: Sequence[FeatureBaseline]


def drift_baseline(logits: Logits, probabilities: Probabilities, looks: Numbers) -> DriftBaseline:
    """The baseline of these answers, both [pictures, classes] as serving gives them, to pictures of these looks."""
    confidence = probabilities.max(axis=1).round(DIGITS)  # as answers tell it
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, BINS + 1)[1:-1]).round(DIGITS))
    found = features(logits, looks).astype(np.float64)
    return {
        "pictures": len(logits),
        "classes": np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]).tolist(),
        "confidence": {
            "edges": edges.tolist(),
            "pictures": np.bincount(np.searchsorted(edges, confidence, "right"), minlength=len(edges) + 1).tolist(),
        },
        "features": [_feature(name, values) for name, values in zip(names(logits.shape[1]), found.T, strict=True)],
    }


def _feature(name: str, values: npt.NDArray[np.float64]) -> FeatureBaseline:
    deviation = max(float(values.std()), LEAST_DEVIATION)
    distances = np.abs(values - values.mean()) / deviation
    return {
        "name": name,
        "mean": round(float(values.mean()), DIGITS),
        "deviation": round(deviation, DIGITS),
        "spread": round(float(distances.mean()), DIGITS),
        "spread_deviation": round(max(float(distances.std()), LEAST_OF_DISTANCES), DIGITS),
    }
