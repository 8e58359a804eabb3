"""Which score tells pictures of no known class: the comparison behind docs/decisions/0008-out-of-set.md.

Chosen on what users have, known classes alone: the 20 breeds of the development photographs are split into four parts
of five, REPEATS times over; each part in turn is left out of train/ and valid/, a head is trained on the others, and
the left-out pictures play the unknown ones against valid/. Then, for information, what each score does on the test
photographs against the 5 unknown breeds. No goal; `benchmarks.unknown_breeds` measures the product.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.claims import record
from benchmarks.unknown_breeds import auroc, photographs, pictures_in, refused
from training import backbones, data, head
from training.calibrate import fit_temperature, softmax
from training.distributed import Group
from training.engine import Compiled, to_graph
from training.extracted import extract
from training.features import Extractor, Features
from training.novelty import fit_novelty, novelty_of
from training.parameters import Parameters
from training.program import quiet_torch

REPEATS, PARTS = 2, 4
Array = npt.NDArray[np.float64]
Score = Callable[[Features], Array]


def main() -> int:
    """Measure and record."""
    found = photographs()
    if found is None:
        return 0
    quiet_torch(Parameters.seed)
    backbone = backbones.load(Parameters.backbone, None)
    splits, classes = extracted(backbone, *found)
    chance = np.random.default_rng(1)
    left_out: dict[str, list[tuple[float, float]]] = {}
    for part in [part for _ in range(REPEATS) for part in np.array_split(chance.permutation(classes), PARTS)]:
        rest = [label for label in range(classes) if label not in part]
        known = {split: only(splits[split], rest) for split in ("train", "valid")}
        unknown = [only(splits[split], part.tolist()) for split in ("train", "valid")]
        for name, score in scores(backbone, known, len(rest)).items():
            values = score(known["valid"]), np.concatenate([score(one) for one in unknown])
            left_out.setdefault(name, []).append((auroc(*values), refused(*values)))
    details = {}
    for name, score in scores(backbone, splits, classes).items():
        pairs = np.array(left_out[name])
        values = score(splits["test"]), score(splits["unknown"])
        details[name] = {
            "left_out_auroc": round(float(pairs[:, 0].mean()), 4),
            "left_out_refused": round(float(pairs[:, 1].mean()), 4),
            "test_auroc": round(auroc(*values), 4),
            "test_refused": round(refused(*values), 4),
        }
        print(f"{name}: {details[name]}")
    return record("novelty_scores", [], details)


def extracted(backbone: backbones.Backbone, known: Path, strangers: Path) -> tuple[dict[str, Features], int]:
    """Features of train, valid, test and unknown, and the number of classes."""
    dataset = data.scan(known)
    found = extract(dataset, backbone, Parameters(), 2, group=Group(), log=print)
    compiled = Compiled(to_graph(backbone.module, backbone.preprocess, "features"), 2)
    extractor = Extractor(compiled, backbone, 2, Parameters.seed, Group(), print)
    unknown = [data.Picture(path.name, path, 0) for path in pictures_in(strangers)]
    splits = found.splits | {
        "test": extractor.extract("test", dataset.splits["test"], 1),
        "unknown": extractor.extract("unknown", unknown, 1),
    }
    return splits, len(dataset.classes)


def only(features: Features, labels: list[int]) -> Features:
    """The pictures of these classes, which are numbered anew in the order of `labels`."""
    of = np.isin(features.labels, labels)
    anew = {label: place for place, label in enumerate(labels)}
    own = np.array([anew[label] for label in features.labels[of].tolist()], dtype=np.int64)
    return replace(features, pictures=(), values=features.values[of], labels=own)


def scores(backbone: backbones.Backbone, known: dict[str, Features], classes: int) -> dict[str, Score]:
    """The candidates by name, fitted on train/ (and, where they need a temperature, valid/)."""
    train, valid = known["train"], known["valid"]
    start = head.starting_head(train, classes, backbone.classifier)
    linear = head.fit(train, valid, start, Parameters(), Group(), on_epoch=lambda _: None).head

    def logits(features: Features) -> npt.NDArray[np.float32]:
        return head.logits(linear, features).numpy()

    temperature = fit_temperature(logits(valid), valid.labels)
    values, labels = plain(train), train.labels
    novelty = fit_novelty(train)
    return {
        "probability": lambda features: -softmax(logits(features), temperature).max(axis=1),
        "largest logit": lambda features: -logits(features).max(axis=1).astype(np.float64),
        "energy": lambda features: -np.log(np.exp(logits(features).astype(np.float64)).sum(axis=1)),
        "cosine to class means (shipped)": lambda features: novelty_of(novelty, features),
        "cosine to 5th neighbour": lambda features: -np.sort(unit(plain(features)) @ unit(values).T, axis=1)[:, -5],
        "Mahalanobis": gaussians(values, labels, relative=False),
        "relative Mahalanobis": gaussians(values, labels, relative=True),
    }


def gaussians(values: Array, labels: npt.NDArray[np.int64], *, relative: bool) -> Score:
    """Squared Mahalanobis distance to the nearest class, less (`relative`) that to all pictures as one class.

    Of features at length 1, which was better than as they come.
    """
    values = unit(values)
    means = np.stack([values[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    whole = values.mean(axis=0)
    within, around = precision(values - means[labels]), precision(values - whole)

    def score(features: Features) -> Array:
        found = unit(plain(features))
        distances = [((found - mean) @ within * (found - mean)).sum(axis=1) for mean in means]
        nearest = np.min(distances, axis=0)
        return np.asarray(nearest - ((found - whole) @ around * (found - whole)).sum(axis=1) if relative else nearest)

    return score


def precision(deviations: Array) -> Array:
    """The inverse of their covariance, shrunk by 0.3 towards one variance everywhere."""
    covariance = deviations.T @ deviations / len(deviations)
    identity = np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
    return np.linalg.inv(0.7 * covariance + 0.3 * identity)


def plain(features: Features) -> Array:
    """[pictures, features] of the plain views."""
    return features.values[:, 0].astype(np.float64)


def unit(values: Array) -> Array:
    """Each row at length 1."""
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


if __name__ == "__main__":
    sys.exit(main())
