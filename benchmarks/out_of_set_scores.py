"""Which score tells pictures of no known class: the comparison behind docs/decisions/0008-out-of-set.md.

Chosen on what users have, known classes alone: the classes of a data set are split into four parts, REPEATS times over;
each part in turn is left out of train/ and valid/, a head is trained on the others with the default recipe, and the
left-out pictures play the unknown ones against valid/. So on three data sets, ever further from what the backbone was
pretrained on: photographs of 20 breeds, 12 breeds of drawn dogs, 20 drawn letters. Then, for information, a head for
all 20 breeds of photographs: its test pictures against 5 unknown breeds, and against the letters.

No goal; `benchmarks.unknown_breeds` measures the product. Only the photographs are not in this repository; without them
the drawn sets alone are measured, and nothing is recorded.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.claims import ROOT, record
from benchmarks.parts.letters import draw_letters
from benchmarks.unknown_breeds import auroc, photographs, pictures_in, refused
from training import backbones, data, head
from training.calibrate import fit_temperature, softmax
from training.distributed import Group
from training.extracted import CPU, extract
from training.features import Extractor, Features
from training.frozen import networks
from training.parameters import Parameters
from training.program import quiet_torch

REPEATS, PARTS = 2, 4
THREADS = 2
Array = npt.NDArray[np.float64]
Score = Callable[[Features], Array]
Splits = dict[str, Features]


def main() -> int:
    """Measure and record."""
    quiet_torch(Parameters.seed)
    backbone = backbones.load(Parameters.backbone, None)
    details: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as name:
        scratch = Path(name)
        letters = extracted(backbone, draw_letters(scratch / "letters"))
        subprocess.run([sys.executable, "-m", "tools.draw_dogs", str(scratch / "dogs")], cwd=ROOT, check=True)
        drawn = extracted(backbone, scratch / "dogs")
    details["left-out letters"] = left_out(backbone, letters)
    details["left-out drawn breeds"] = left_out(backbone, drawn)
    found = photographs()
    if found is None:
        print(details)
        return 0
    breeds = extracted(backbone, found[0])
    details["left-out breeds"] = left_out(backbone, breeds)
    test = plain_views(backbone, data.scan(found[0]).splits["test"])
    strangers = plain_views(backbone, [data.Picture(path.name, path, 0) for path in pictures_in(found[1])])
    for name, score in scores(backbone, breeds).items():
        known = score(test)
        details.setdefault("unknown breeds", {})[name] = told(known, score(strangers))
        details.setdefault("letters to the breeds' model", {})[name] = told(known, score(letters["valid"]))
    return record("out_of_set_scores", [], details)


def extracted(backbone: backbones.Backbone, folder: Path) -> Splits:
    """Features of the data set's train and valid."""
    return extract(data.scan(folder), backbone, Parameters(), THREADS, group=Group(), log=print).splits


def plain_views(backbone: backbones.Backbone, pictures: Sequence[data.Picture]) -> Features:
    """Features of pictures that are of no data set."""
    network, _ = networks(backbone, CPU, THREADS)
    return Extractor(network, backbone, Parameters.seed, Group(), print).extract("further", pictures, 1)


def left_out(backbone: backbones.Backbone, splits: Splits) -> dict[str, dict[str, float]]:
    """Each score's figures, means over the parts."""
    chance, classes = np.random.default_rng(1), int(splits["train"].labels.max()) + 1
    found: dict[str, list[dict[str, float]]] = {}
    for part in [part for _ in range(REPEATS) for part in np.array_split(chance.permutation(classes), PARTS)]:
        rest = [label for label in range(classes) if label not in part]
        known = {split: only(splits[split], rest) for split in ("train", "valid")}
        unknown = [only(splits[split], part.tolist()) for split in ("train", "valid")]
        for name, score in scores(backbone, known).items():
            figures = told(score(known["valid"]), np.concatenate([score(one) for one in unknown]))
            found.setdefault(name, []).append(figures)
    means = {
        name: {figure: round(float(np.mean([one[figure] for one in many])), 4) for figure in many[0]}
        for name, many in found.items()
    }
    for name, figures in means.items():
        print(f"{name}: {figures}")
    return means


def told(known: Array, unknown: Array) -> dict[str, float]:
    """How well a score, higher for unknown pictures, tells them."""
    return {"auroc": round(auroc(known, unknown), 4), "refused": round(refused(known, unknown), 4)}


def only(features: Features, labels: list[int]) -> Features:
    """The pictures of these classes, which are numbered anew in the order of `labels`."""
    of = np.isin(features.labels, labels)
    anew = {label: place for place, label in enumerate(labels)}
    own = np.array([anew[label] for label in features.labels[of].tolist()], dtype=np.int64)
    return replace(features, pictures=(), values=features.values[of], labels=own)


def scores(backbone: backbones.Backbone, known: Splits) -> dict[str, Score]:
    """The candidates by name, fitted on train/ (and, where they need a temperature, valid/)."""
    train, valid = known["train"], known["valid"]
    start = head.starting_head(train, int(train.labels.max()) + 1, backbone.classifier)
    linear = head.fit(train, valid, start, Parameters(), Group(), on_epoch=lambda _: None).head

    def logits(features: Features) -> npt.NDArray[np.float32]:
        return head.logits(linear, features).numpy()

    temperature = fit_temperature(logits(valid), valid.labels)
    values, labels = plain(train), train.labels
    means = np.stack([values[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    return {
        "probability": lambda features: -softmax(logits(features), temperature).max(axis=1),
        "largest logit": lambda features: -logits(features).max(axis=1).astype(np.float64),
        "energy": lambda features: -np.log(np.exp(logits(features).astype(np.float64)).sum(axis=1)),
        "cosine to class means": lambda features: -(unit(plain(features)) @ unit(means).T).max(axis=1),
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
