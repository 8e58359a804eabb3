"""Knowing what it does not know, on real photographs: calibration, and 5 breeds that the model was not trained on.

A training with default settings on 20 breeds, then the test photographs and those of the unknown breeds through what
answers them in an endpoint, `serving.model`. Needs the development photographs beside the checkout (../shared/data/dogs
and dogs-unknown, or DATA=folder and, beside it, folder-unknown); they are not in this repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.claims import ROOT, claim, figure, record
from serving.manifest import read_manifest
from serving.model import Model
from tools.ask import CONTENT_TYPES
from training.calibrate import calibration_error

KEPT = 0.95  # share of the known pictures, for the share of unknown ones that is refused
DRAWS = 2000


@dataclass(frozen=True)
class Served:
    """What the model answered to some pictures.

    probabilities   [pictures, classes]
    logit           [pictures], the largest
    confident       [pictures]
    """

    probabilities: npt.NDArray[np.float64]
    logit: npt.NDArray[np.float64]
    confident: npt.NDArray[np.bool_]


def main() -> int:
    """Measure and record."""
    found = photographs()
    if found is None:
        return 0
    dogs, strangers = found
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        model = Model(read_manifest(trained(dogs, Path(scratch) / "model")), threads=1)
    test = pictures_in(dogs / "test")
    known, unknown = served(model, test), served(model, pictures_in(strangers))
    folders = sorted({path.parent.name for path in test})
    labels = np.array([folders.index(path.parent.name) for path in test])
    error = calibration_error(known.probabilities, labels)
    by_probability = auroc(-known.probabilities.max(axis=1), -unknown.probabilities.max(axis=1))
    claims = [
        claim("expected calibration error on test, 20 breeds", "<=", 0.03, error, "of 1"),
        claim("5 unknown breeds against test breeds, AUROC", ">=", 0.90, auroc(-known.logit, -unknown.logit), "of 1"),
        figure("unknown breeds refused at 95 % of known kept", refused(-known.logit, -unknown.logit), "share"),
    ]
    details = {
        "pictures": len(test),
        "unknown_pictures": len(unknown.logit),
        "auroc_of_the_probability_alone": by_probability,
        "confident_of_known": float(known.confident.mean()),
        "confident_of_unknown": float(unknown.confident.mean()),
        "calibration_error_if_perfectly_calibrated": by_chance(known.probabilities),
    }
    return record("unknown_breeds", claims, details)


def photographs() -> tuple[Path, Path] | None:
    """The folders of known and of unknown breeds; None, with a word to the reader, where they are not there."""
    known = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data" / "dogs"))
    unknown = known.with_name(f"{known.name}-unknown")
    if not known.is_dir() or not unknown.is_dir():
        print(f"skipped: no photographs at {known} and {unknown}")
        return None
    return known, unknown


def pictures_in(folder: Path) -> list[Path]:
    """Every picture below the folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in CONTENT_TYPES)


def trained(photographs: Path, folder: Path) -> Path:
    """The model directory of a training job with default settings."""
    environ = os.environ | {"SM_CHANNEL_TRAINING": str(photographs), "SM_MODEL_DIR": str(folder)}
    subprocess.run([sys.executable, str(ROOT / "training" / "train.py")], env=environ, check=True)
    return folder


def served(model: Model, pictures: Sequence[Path]) -> Served:
    """The model's answers, made as the server makes them."""
    classes = len(model.manifest.classes)
    outcomes = [model.run(path.read_bytes()) for path in pictures]
    answers = [model.answer(outcome, classes) for outcome in outcomes]
    ordered = [sorted(answer["predictions"], key=lambda one: int(one["index"])) for answer in answers]
    return Served(
        np.array([[one["probability"] for one in answer] for answer in ordered]),
        np.array([outcome.logits.max() for outcome in outcomes], dtype=np.float64),
        np.array([answer["confident"] for answer in answers]),
    )


def auroc(known: npt.NDArray[np.float64], unknown: npt.NDArray[np.float64]) -> float:
    """How often an unknown picture scores higher than a known one, ties counting half."""
    higher, same = unknown[:, None] > known, unknown[:, None] == known
    return float(higher.mean() + same.mean() / 2)


def refused(known: npt.NDArray[np.float64], unknown: npt.NDArray[np.float64]) -> float:
    """The share of unknown pictures above the score that KEPT of the known ones do not exceed."""
    return float((unknown > np.quantile(known, KEPT, method="inverted_cdf")).mean())


def by_chance(probabilities: npt.NDArray[np.float64]) -> dict[str, float]:
    """The calibration error that answers of these very probabilities would show were they perfectly calibrated.

    Median and 95th percentile over labels drawn from the probabilities: what so few pictures can tell at all.
    """
    draw = np.random.default_rng(1)
    upto = probabilities.cumsum(axis=1) / probabilities.sum(axis=1, keepdims=True)
    errors = [calibration_error(probabilities, (upto < draw.random((len(upto), 1))).sum(axis=1)) for _ in range(DRAWS)]
    return {"median": float(np.median(errors)), "p95": float(np.quantile(errors, 0.95))}


if __name__ == "__main__":
    sys.exit(main())
