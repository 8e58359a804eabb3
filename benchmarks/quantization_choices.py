"""Which way of quantizing keeps the answers, on real photographs: what docs/decisions/0004-serving-precision.md tells.

A training with default settings on 20 breeds in full precision; its graph is quantized in each way below and compared
with it on the validation split. One picture of 200 is half a point. The ways differ by what `training.quantize` fixes,
and its own is the last; so they call NNCF themselves.

Needs the development photographs beside the checkout (../shared/data/dogs, or DATA=folder); they are not in this
repository.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import numpy.typing as npt
import openvino
from nncf.quantization.range_estimator import RangeEstimatorParameters, RangeEstimatorParametersSet

from benchmarks.claims import ROOT, figure, record, rounded
from benchmarks.parts import jobs
from benchmarks.parts.extraction import CORES
from serving.preprocess import Preprocess
from training.calibrate import Labels, Logits
from training.data import scan_split
from training.engine import Compiled, for_one
from training.precision import judge
from training.quantize import KEPT_CONVOLUTIONS, PICTURES

Pixels = npt.NDArray[np.uint8]
CHOSEN = "mixed, 7 bits, first 3 convolutions whole"


def ways(graph: openvino.Model) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Name, pictures, and arguments of `nncf.quantize`."""
    kinds = ("Convolution", "GroupConvolution")
    first = [node.get_friendly_name() for node in graph.get_ordered_ops() if node.get_type_name() in kinds]
    kept = nncf.IgnoredScope(names=first[:KEPT_CONVOLUTIONS])
    mixed = {"preset": nncf.QuantizationPreset.MIXED}
    seven = mixed | {"advanced_parameters": advanced()}
    mean = RangeEstimatorParametersSet.MEAN_MINMAX
    yield "NNCF's defaults", PICTURES, {}
    yield "mixed", PICTURES, mixed
    yield "mixed, slow bias correction", PICTURES, mixed | {"fast_bias_correction": False}
    yield "mixed, 7 bits", PICTURES, seven
    yield "mixed, 7 bits, ranges by mean", PICTURES, mixed | {"advanced_parameters": advanced(ranges=mean)}
    depthwise = nncf.IgnoredScope(types=["GroupConvolution"])
    yield "mixed, 7 bits, depthwise convolutions whole", PICTURES, seven | {"ignored_scope": depthwise}
    for count in (PICTURES // 2, 2 * PICTURES):
        yield f"{CHOSEN}, {count} pictures", count, seven | {"ignored_scope": kept}
    yield CHOSEN, PICTURES, seven | {"ignored_scope": kept}


def advanced(ranges: Any = None) -> Any:
    """Weights of seven bits, and how the ranges of activations are taken."""
    return nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.OverflowFix.ENABLE, activations_range_estimator_params=ranges or RangeEstimatorParameters()
    )


def logits(graph: openvino.Model, batch: Pixels) -> Logits:
    """What the graph says of the pictures, one at a time."""
    compiled = Compiled(graph, CORES)
    request = compiled.request()
    return np.concatenate([compiled.run(request, picture[None]) for picture in batch])


def main() -> int:
    """Measure and record."""
    folder = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data" / "dogs")).resolve()
    if not folder.is_dir():
        print(f"skipped: no photographs at {folder}")
        return 0
    nncf.set_log_level(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        trained = jobs.run("train", Path(scratch) / "model", {"training": folder}, precision="f32")
        found = compared(folder, trained.folder)
    best, default = found[CHOSEN], found["NNCF's defaults"]
    claims = [
        figure("labels that int8 keeps, as quantized here", best["label_agreement"], "share"),
        figure("the same by NNCF's defaults", default["label_agreement"], "share"),
        figure("largest difference of a probability by int8, as quantized here", best["probability_gap"], "of 1"),
        figure("the same difference by NNCF's defaults", default["probability_gap"], "of 1"),
    ]
    return record("quantization_choices", claims, rounded(found))


def compared(folder: Path, model: Path) -> dict[str, dict[str, float]]:
    """By way: accuracy, agreement and the largest difference of a probability on validation, and seconds taken."""
    preprocess = Preprocess.load(model / "preprocess.json")
    classes = json.loads((model / "training.json").read_text())["data"]["classes"]

    def decoded(split: str) -> tuple[Pixels, Labels]:
        pictures, _ = scan_split(folder / split, split, classes)
        labels = np.array([picture.label for picture in pictures])
        return np.stack([preprocess(picture.path.read_bytes()) for picture in pictures]), labels

    (train, _), (valid, labels) = decoded("train"), decoded("valid")
    graph = for_one(openvino.Core().read_model(model / "model.xml"), preprocess)
    expected = logits(graph, valid)
    found = {"full precision": {"accuracy": float((expected.argmax(axis=1) == labels).mean())}}
    for name, count, arguments in ways(graph):
        shown = [train[n][None] for n in np.linspace(0, len(train) - 1, count).astype(int)]
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            quantized = nncf.quantize(graph, nncf.Dataset(shown), subset_size=count, **arguments)
        seconds = time.perf_counter() - began
        one = judge(expected, logits(quantized, valid), labels, 0.95)
        found[name] = {
            "accuracy": one.accuracy,
            "label_agreement": one.label_agreement,
            "probability_gap": one.probability_gap,
            "seconds": seconds,
        }
        print(name, found[name], flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
