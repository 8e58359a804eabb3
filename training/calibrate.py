"""Honest answers: a temperature, what `confident` asks for, and how far off they are. All on validation."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

TEMPERATURES = (0.05, 20.0)
BINS = 15


@dataclass(frozen=True)
class Limits:
    """What makes an answer confident: its probability and its logit, before the temperature, are this or more."""

    probability: float
    logit: float

    def known(self, logits: Logits) -> npt.NDArray[np.bool_]:
        """Which of the pictures show a known class: [pictures], of logits [pictures, classes]."""
        return np.asarray(logits.max(axis=1) >= self.logit)

    def confident(self, probabilities: Probabilities, logits: Logits) -> npt.NDArray[np.bool_]:
        """Which of the answers are: [pictures], of probabilities and logits, both [pictures, classes]."""
        return np.asarray((probabilities.max(axis=1) >= self.probability) & self.known(logits))


@dataclass(frozen=True)
class Bin:
    """The answers with a confidence of low..high: how many, their mean confidence and accuracy (0 where none is)."""

    low: float
    high: float
    pictures: int
    confidence: float
    accuracy: float


def softmax(logits: Logits | npt.NDArray[np.float64], temperature: float = 1.0) -> Probabilities:
    """Probabilities float64 [pictures, classes] of logits [pictures, classes]."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature with the least cross-entropy on these pictures.

    As in Platt's scaling, a label counts as not quite certain, but as what so many pictures can vouch for: n pictures
    that are all right do not make the n+1st a certainty, and without this the temperature would fall to its lower end.
    The doubt is that of Jeffreys' prior, half a picture, and falls to the likeliest of the other classes: a whole
    picture, shared out among all the others, left the answers too unsure (benchmarks/head_choices.py).
    """
    count = len(labels)
    doubt = 0.5 / (count + 1)
    wide = logits.astype(np.float64)
    others = wide.copy()
    others[np.arange(count), labels] = -np.inf
    wanted = (1.0 - doubt) * wide[np.arange(count), labels] + doubt * others.max(axis=1)
    # Newton's method for the sharpness, 1/temperature, in which the cross-entropy is convex; halving where it leads out
    low, high = 1.0 / TEMPERATURES[1], 1.0 / TEMPERATURES[0]
    sharpness = 1.0
    for _ in range(60):
        probabilities = softmax(wide, 1.0 / sharpness)
        mean = (probabilities * wide).sum(axis=1)
        slope = float((mean - wanted).mean())
        curvature = float(((probabilities * wide**2).sum(axis=1) - mean**2).mean())
        low, high = (low, sharpness) if slope > 0 else (sharpness, high)
        before, sharpness = sharpness, sharpness - slope / max(curvature, 1e-12)
        if not low < sharpness < high:
            sharpness = math.sqrt(low * high)
        if abs(sharpness - before) <= 1e-9 * before:
            break
    return 1.0 / sharpness


def calibrated_loss(logits: Logits, labels: Labels) -> float:
    """Mean cross-entropy per picture at the temperature that `fit_temperature` finds: how good what ships would be.

    So a head is judged by what it can tell apart, not by how sure of itself it has been taught to be.
    """
    if not np.isfinite(logits).all():
        return math.nan
    probabilities = softmax(logits, fit_temperature(logits, labels))
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-300)).mean())


def limits_for(probabilities: Probabilities, logits: Logits, keep: float) -> Limits:
    """The strictest limits at which a share of at least `keep` of these pictures counts as confident.

    Each of the two alone turns away as many of them as the other.
    """
    tops = probabilities.max(axis=1), logits.max(axis=1).astype(np.float64)
    worst = np.minimum(*map(_ranks, tops))
    kept = max(1, math.ceil(keep * len(worst) - 1e-9))
    last = np.sort(worst)[::-1][kept - 1]
    # Rounded down: the pictures that set them must stay in, also as serving computes them.
    return Limits(*(math.floor(float(np.sort(top)[last]) * 1e6) / 1e6 for top in tops))


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The place of each value among all, 0 for the lowest."""
    return np.argsort(np.argsort(values, kind="stable"))


def reliability(probabilities: Probabilities, labels: Labels) -> tuple[Bin, ...]:
    """How often answers of about the same confidence are right: 15 equal bins of confidence, the lowest first."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for place in range(BINS):
        within = places == place
        count = int(within.sum())
        means = (float(confidence[within].mean()), float(right[within].mean())) if count else (0.0, 0.0)
        bins.append(Bin(place / BINS, (place + 1) / BINS, count, *means))
    return tuple(bins)


def calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Expected calibration error: mean gap between confidence and accuracy, over the bins of `reliability`."""
    bins = reliability(probabilities, labels)
    return sum(one.pictures * abs(one.accuracy - one.confidence) for one in bins) / len(labels)
