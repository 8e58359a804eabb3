"""How good a model is on a split it was not trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.calibrate import Labels, Probabilities, calibration_error


@dataclass(frozen=True)
class Evaluation:
    """Figures over one split; `confusion` is int [true class, found class]."""

    pictures: int
    accuracy: float
    top5: float
    calibration_error: float
    confident: float
    confusion: npt.NDArray[np.int64]

    def document(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """The same as JSON, accuracy per class by folder name (null for a class without pictures)."""
        counts = self.confusion.sum(axis=1)
        per_class = {
            name: {"pictures": int(count), "accuracy": float(self.confusion[n, n] / count) if count else None}
            for n, (name, count) in enumerate(zip(classes, counts, strict=True))
        }
        return {
            "pictures": self.pictures,
            "accuracy": self.accuracy,
            "top5": self.top5,
            "calibration_error": self.calibration_error,
            "confident": self.confident,
            "per_class": per_class,
            "confusion": self.confusion.tolist(),
        }


def evaluate(probabilities: Probabilities, labels: Labels, threshold: float) -> Evaluation:
    """Figures for calibrated probabilities [pictures, classes]; at least one picture."""
    count, classes = probabilities.shape
    order = np.argsort(-probabilities, axis=1, kind="stable")
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, order[:, 0]), 1)
    return Evaluation(
        pictures=count,
        accuracy=float((order[:, 0] == labels).mean()),
        top5=float((order[:, :5] == labels[:, None]).any(axis=1).mean()),
        calibration_error=calibration_error(probabilities, labels),
        confident=float((probabilities.max(axis=1) >= threshold).mean()),
        confusion=confusion,
    )
