"""What the exported precisions are worth on real photographs: accuracy lost, agreement with torch, speed, time to make.

A training with default settings on 20 breeds quantizes to int8 and judges every precision on the validation split, as
any training does with precision `auto`. Then each that may serve answers the test split through `serving.model`, on
which nothing was chosen, and computes the same decoded pictures alone, in turns with the others, one core each.

bf16 is measured only on a CPU that computes in it. Speeds hold for the instruction sets of the machine that the result
names: without VNNI int8 gains least. 200 pictures a split: one is half a point.

Needs the development photographs beside the checkout (../shared/data/dogs, or DATA=folder); they are not in this
repository.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino

from benchmarks.claims import ROOT, claim, figure, record, rounded
from benchmarks.parts import jobs
from benchmarks.parts.extraction import CORES
from serving.manifest import Manifest, read_manifest
from serving.model import Model
from training.data import Picture, scan_split
from training.engine import Compiled, for_one

ROUNDS = 5
POINTS = 100.0


def answers(model: Model, pictures: Sequence[Picture]) -> npt.NDArray[np.int64]:
    """The label that is served for each picture."""
    return np.array([model.run(picture.path.read_bytes()).logits.argmax() for picture in pictures])


def speeds(manifest: Manifest, batch: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Pictures a second of each precision, already decoded: the median of turns that take place one after the other."""
    core, compiled = openvino.Core(), {}
    for name, precision in manifest.precisions.items():
        structure, weights = (manifest.directory / file for file in precision.graph)
        graph = for_one(core.read_model(structure, weights), manifest.preprocess)
        compiled[name] = Compiled(graph, CORES, precision.arithmetic)
    rates: dict[str, list[float]] = {name: [] for name in compiled}
    with ThreadPoolExecutor(CORES) as pool:
        for turn in range(ROUNDS + 1):
            for name, one in compiled.items():
                parts = [(one.request(), part) for part in np.array_split(batch, CORES)]
                started = time.perf_counter()
                list(pool.map(lambda part: [Compiled.run(part[0], picture[None]) for picture in part[1]], parts))
                if turn:  # the first one warms up
                    rates[name].append(len(batch) / (time.perf_counter() - started))
    return {name: statistics.median(found) for name, found in rates.items()}


def main() -> int:
    """Measure and record."""
    folder = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data" / "dogs")).resolve()
    if not folder.is_dir():
        print(f"skipped: no photographs at {folder}")
        return 0
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        trained = jobs.run("train", Path(scratch) / "model", {"training": folder}, precision="auto")
        made = json.loads((trained.folder / "training.json").read_text())
        manifest = read_manifest(trained.folder)
        pictures, _ = scan_split(folder / "test", "test", made["data"]["classes"])
        labels = np.array([picture.label for picture in pictures])
        told = {name: answers(Model(manifest, 1, name), pictures) for name in manifest.precisions}
        decoded = np.stack([manifest.preprocess(picture.path.read_bytes()) for picture in pictures])
        rates = speeds(manifest, decoded)
    valid = made["export"]["precisions"]
    lost = {"validation": (valid["f32"]["accuracy"] - valid["int8"]["accuracy"]) * POINTS}
    claims = [claim("accuracy lost by int8, validation", "<=", 0.5, lost["validation"], "points")]
    test = {name: float((found == labels).mean()) for name, found in told.items()}
    if "int8" in test:
        loss = (test["f32"] - test["int8"]) * POINTS
        claims += [
            claim("accuracy lost by int8, test", "<=", 0.5, loss, "points"),
            figure("the graph alone, int8 over f32", rates["int8"] / rates["f32"], "x"),
        ]
    details = {
        "validation": made["export"],
        "test_accuracy": test,
        "test_label_agreement_with_f32": {n: float((found == told["f32"]).mean()) for n, found in told.items()},
        "pictures_per_second_alone": rates,
        "seconds": {name: made["timings_seconds"][name] for name in ("export", "quantize", "validation")},
        "seconds_of_the_whole_training": trained.seconds,
    }
    return record("export_precision", claims, rounded(details))


if __name__ == "__main__":
    sys.exit(main())
