"""How good a model is on a split it was not trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.calibrate import Bin, Labels, Limits, Logits, Probabilities, calibration_error, reliability
from training.report_shape import BinFigures, ClassFigures, Confused, SplitFigures

MISTAKES_SHOWN = 24
MOST_ANSWERS = 5  # that `top5` looks at; fewer where there are no more than five classes
LEAST_PROBABILITY = 1e-15  # in the log loss: one certain mistake must not make it infinite
NORMAL_95 = 1.96  # standard deviations that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Mistake:
    """A picture, by its position in the split, whose answer is not its class."""

    picture: int
    truth: int
    answer: int
    probability: float
    confident: bool


@dataclass(frozen=True)
class Evaluation:
    """Figures over one split.

    top5                share whose class is among the `top_k` likeliest answers: 5, or one less than there are classes
    log_loss            mean of -ln(probability of the true class), in nats
    confident           share of the answers that are, by probability and by logit
    confident_accuracy  accuracy of those; None where there are none
    unknown             share of the pictures that are taken for none of the classes, by their largest logit
    confusion           int [true class, found class]
    mistakes            the surest ones, surest first, at most MISTAKES_SHOWN
    """

    pictures: int
    accuracy: float
    top_k: int
    top5: float
    log_loss: float
    calibration_error: float
    confident: float
    confident_accuracy: float | None
    unknown: float
    confusion: npt.NDArray[np.int64]
    reliability: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]

    def document(self, classes: Sequence[str], files: Sequence[str]) -> SplitFigures:
        """The same as JSON; `files` are the names of the split's pictures, in its order."""
        right = int(self.confusion.trace())
        return {
            "pictures": self.pictures,
            "wrong": self.pictures - right,
            "accuracy": self.accuracy,
            "accuracy_interval": interval(right, self.pictures),
            "top_k": self.top_k,
            "top5": self.top5,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
            "confident": self.confident,
            "confident_accuracy": self.confident_accuracy,
            "unknown": self.unknown,
            "per_class": {name: self._of_class(label, classes) for label, name in enumerate(classes)},
            "confusion": self.confusion.tolist(),
            "reliability": [_of_bin(one) for one in self.reliability],
            "mistakes": [
                {
                    "file": files[one.picture],
                    "truth": classes[one.truth],
                    "answer": classes[one.answer],
                    "probability": one.probability,
                    "confident": one.confident,
                }
                for one in self.mistakes
            ],
        }

    def _of_class(self, label: int, classes: Sequence[str]) -> ClassFigures:
        row = self.confusion[label].copy()
        count, right = int(row.sum()), int(row[label])
        row[label] = 0
        other = int(row.argmax())
        confused: Confused | None = {"folder": classes[other], "pictures": int(row[other])} if row[other] else None
        return {
            "pictures": count,
            "right": right,
            "accuracy": right / count if count else None,
            "most_confused_with": confused,
        }


def evaluate(probabilities: Probabilities, logits: Logits, labels: Labels, limits: Limits) -> Evaluation:
    """Figures for calibrated probabilities and the logits, both [pictures, classes]; at least one picture."""
    count, classes = probabilities.shape
    order = np.argsort(-probabilities, axis=1, kind="stable")
    answers, confidence = order[:, 0], probabilities.max(axis=1)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, answers), 1)
    right, kept = answers == labels, limits.confident(probabilities, logits)
    wrong = np.flatnonzero(~right)
    top_k = min(MOST_ANSWERS, classes - 1)
    told = np.maximum(probabilities[np.arange(count), labels], LEAST_PROBABILITY)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES_SHOWN]
    return Evaluation(
        pictures=count,
        accuracy=float(right.mean()),
        top_k=top_k,
        top5=float((order[:, :top_k] == labels[:, None]).any(axis=1).mean()),
        log_loss=float(-np.log(told).mean()),
        calibration_error=calibration_error(probabilities, labels),
        confident=float(kept.mean()),
        confident_accuracy=float(right[kept].mean()) if kept.any() else None,
        unknown=float((~limits.known(logits)).mean()),
        confusion=confusion,
        reliability=reliability(probabilities, labels),
        mistakes=tuple(
            Mistake(int(n), int(labels[n]), int(answers[n]), float(confidence[n]), bool(kept[n])) for n in surest
        ),
    )


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share of which `right` of `count` were seen; honest with few pictures too."""
    share, spread = right / count, NORMAL_95**2 / count
    middle = share + spread / 2
    reach = NORMAL_95 * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))


def _of_bin(one: Bin) -> BinFigures:
    return {
        "low": one.low,
        "high": one.high,
        "pictures": one.pictures,
        "confidence": one.confidence if one.pictures else None,
        "accuracy": one.accuracy if one.pictures else None,
    }
