"""How far probabilities are off, on more pictures than the test split has.

The goal is for the test split, and `benchmarks.unknown_breeds` and `benchmarks.best_of_search` measure it there. But of
200 pictures in 15 bins even a perfectly calibrated model shows about 0.03 in the median. So here the training pictures
are judged as well: in five parts, each by a default head that has learnt from the other four, its epoch and temperature
chosen on the validation split as ever. Every picture is judged once, and all answers are binned together. In f32; what
int8 changes is in `benchmarks.export_precision`.

The goal is missed by what 200 validation pictures can tell: the accuracy of one such sample is off by 1.5 points (its
standard error), and the temperature makes the mean confidence what that sample calls right. `details` has mean
confidence less accuracy. More validation pictures help; the public set of 133 breeds has 835.

Needs the development photographs (../shared/data/dogs, or DATA=folder), as `benchmarks.best_of_search` does.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from benchmarks.claims import claim, record, rounded
from benchmarks.unknown_breeds import by_chance, photographs
from training import backbones, data, head
from training.calibrate import calibration_error, fit_temperature, softmax
from training.distributed import Group
from training.extracted import extract
from training.features import Features
from training.parameters import Parameters
from training.program import quiet_torch

PARTS, THREADS = 5, 2


def main() -> int:
    """Measure and record."""
    found = photographs()
    if found is None:
        return 0
    quiet_torch(Parameters.seed)
    backbone = backbones.load(Parameters.backbone, None)
    splits = extract(data.scan(found[0]), backbone, Parameters(), THREADS, group=Group(), log=print).splits
    train, valid = splits["train"], splits["valid"]
    probabilities = np.empty((len(train.labels), int(train.labels.max()) + 1))
    parts = part_of_each(train)
    for part in range(PARTS):
        learnt, held = only(train, parts != part), only(train, parts == part)
        start = head.starting_head(learnt, probabilities.shape[1], backbone.classifier)
        fitted = head.fit(learnt, valid, start, Parameters(), Group(), on_epoch=lambda _: None).head
        temperature = fit_temperature(head.logits(fitted, valid).numpy(), valid.labels)
        probabilities[parts == part] = softmax(head.logits(fitted, held).numpy(), temperature)
    right = probabilities.argmax(axis=1) == train.labels
    error = calibration_error(probabilities, train.labels)
    what = f"expected calibration error on {len(right)} pictures that were held out, 20 breeds"
    details = {
        "accuracy": float(right.mean()),
        "confidence_less_accuracy": float(probabilities.max(axis=1).mean() - right.mean()),
        "calibration_error_if_perfectly_calibrated": by_chance(probabilities),
    }
    return record("calibration", [claim(what, "<=", 0.03, error, "of 1")], rounded(details))


def part_of_each(features: Features) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """int64 [pictures]: 0 to PARTS - 1, in turn within each class."""
    parts = np.empty(len(features.labels), dtype=np.int64)
    for label in np.unique(features.labels):
        own = np.flatnonzero(features.labels == label)
        parts[own] = np.arange(len(own)) % PARTS
    return parts


def only(features: Features, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Features:
    """The features of some pictures."""
    return replace(features, pictures=(), values=features.values[chosen], labels=features.labels[chosen])


if __name__ == "__main__":
    sys.exit(main())
