"""How right the best of a search is on real photographs: 20 breeds with all training pictures, and with five each.

Features once (training/extract.py, 5 views), 50 trials inside one job (training/tune.py), the best values trained and
exported (training/train.py), and the exported model judged on the test split (training/evaluate.py), as a pipeline run
does it. Nothing is chosen by a test picture: each data set is searched once, with the default seed. What a search goes
by was chosen on other splits of the training and validation pictures (`benchmarks.head_choices`).

Needs the development photographs beside the checkout (../shared/data/dogs, or DATA=folder); they are not in this
repository.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.claims import ROOT, Claim, claim, figure, record
from benchmarks.parts import jobs
from benchmarks.parts.pictures import Pictures
from training.data import scan

BACKBONE, VIEWS, TRIALS, FEW = "efficientnet_lite0", 5, 50, 5
RANGES: dict[str, dict[str, Any]] = {  # the pipeline's own
    "learning_rate": {"minimum": 1e-4, "maximum": 1e-2, "scale": "log"},
    "weight_decay": {"minimum": 1e-4, "maximum": 1e-1, "scale": "log"},
    "label_smoothing": {"minimum": 0.0, "maximum": 0.2},
    "batch_size": {"values": [32, 64, 128]},
}


@dataclass(frozen=True)
class Best:
    """What the search came to: seconds of it and of the features, the best values, and figures.json of the model."""

    features_seconds: float
    search_seconds: float
    values: dict[str, str]
    figures: dict[str, Any]


def best_of(data: Path, scratch: Path) -> Best:
    """Features, search, training and evaluation of the data set."""
    features = jobs.run("extract", scratch / "features", {"training": data}, backbone=BACKBONE, views=VIEWS)
    channels = {"features": features.folder}
    search = jobs.run("tune", scratch / "search", channels, trials=TRIALS, ranges=json.dumps(RANGES))
    values = json.loads((search.folder / "trials.json").read_text())["best"]["values"]
    channels |= {"training": data}
    model = jobs.run("train", scratch / "model", channels, backbone=BACKBONE, views=VIEWS, **values)
    archive = scratch / "archive"
    archive.mkdir()
    with tarfile.open(archive / "model.tar.gz", "w:gz") as packed:
        packed.add(model.folder, ".")
    evaluated = jobs.run("evaluate", scratch / "evaluation", {"test": data / "test", "candidate": archive})
    figures = json.loads((evaluated.folder / "figures.json").read_text())
    return Best(features.seconds, search.seconds, values, figures)


def main() -> int:
    """Measure and record."""
    folder = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data" / "dogs")).resolve()
    if not folder.is_dir():
        print(f"skipped: no photographs at {folder}")
        return 0
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as name:
        scratch = Path(name)
        whole = Pictures(scan(folder), folder, drawn=False)
        each = max(whole.sizes.values())
        few = whole.linked(scratch / "few-pictures", {"train": FEW, "valid": each, "test": each})
        found = {"all": best_of(folder, scratch / "all"), "few": best_of(few, scratch / "few")}
    error = found["all"].figures["calibration_error"]
    claims: list[Claim] = [
        claim("test accuracy, 20 breeds, best of 50 trials", ">=", 0.95, found["all"].figures["accuracy"], "share"),
        claim("the same with 5 training pictures a breed", ">=", 0.88, found["few"].figures["accuracy"], "share"),
        claim("expected calibration error on test, best of 50 trials", "<=", 0.03, error, "of 1"),
        figure("50 trials on 20 breeds, one job, from start to end", found["all"].search_seconds, "s"),
    ]
    return record("best_of_search", claims, {name: vars(one) for name, one in found.items()})


if __name__ == "__main__":
    sys.exit(main())
