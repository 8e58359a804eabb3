"""The two races of features and training on a machine with a GPU: feature_speed_gpu and training_race_gpu, in one run.

The baseline never moves anything to the GPU (its defect 4): on a GPU instance it computes on the CPU while the GPU, for
which its users pay, idles. So ours on the GPU is raced against the baseline as it is, on the same machine; and beside
it against the baseline with that one defect mended, where both have the same engine (torch on the GPU).

Ours is what the product runs there: training views in bf16, validation in f32 without TF32, pictures decoded by a
process per core; its jobs are whole processes from start to end, nothing extrapolated. The baseline's search is
extrapolated from what a picture costs it, as in benchmarks/training_race.py; so are its random weights explained there.

Decoding and the network do not share cores here, so the whole is compared with the slower of the two alone. The share
of the GPU's matrix throughput (large products by torch, in the same precision) is that of the whole step, from files.

    KENNEL_RESULTS=folder DATA=folder python -m benchmarks.on_gpu

Needs torch with CUDA, torchvision, numpy, pillow, safetensors; simplejpeg and optuna; no OpenVINO. `--device cpu` tries
the script where there is no GPU; what it then measures means nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import feature_speed
from benchmarks.claims import Claim, claim, figure, record, rounded
from benchmarks.parts import arithmetic, extraction
from benchmarks.parts.pictures import Pictures, pictures
from benchmarks.training_race import BASELINES, LARGE, SMALL, VIEWS, Cost, Race
from training.backbones import Backbone
from training.data import Picture
from training.features import CHECKED_PICTURES
from training.frozen import MOST_ERROR, Decoded, Files, OnTorch, evenly, worst_error

EACH, TIMES_OVER = 16, 20  # training pictures of each class, run so many times over: a GPU is through in no time
SIDE = 8192  # of the matrices
ROUNDS = 3
LEAST_SHARE = 0.85


class Again:
    """Files, several times over, one view each; decoded when they are asked for, or already."""

    count = 1

    def __init__(self, files: Files | list[Decoded], times: int) -> None:
        self._files, self._times = files, times

    def __len__(self) -> int:
        return len(self._files) * self._times

    def __getitem__(self, position: int) -> Decoded:
        return self._files[position % len(self._files)]


class OnDemand:
    """The files of pictures, decoded as the extractor decodes them."""

    count = 1

    def __init__(self, some: list[Picture], backbone: Backbone) -> None:
        self._some, self._backbone = some, backbone

    def __len__(self) -> int:
        return len(self._some)

    def __getitem__(self, position: int) -> Decoded:
        return feature_speed.decoded(self._some[position], self._backbone)


def rates(some: list[Picture], backbone: Backbone, device: str, precision: str, times: int) -> dict[str, float]:
    """Pictures a second, medians: from file to features, decoding alone on all cores, the network alone."""
    network = extraction.network(backbone, f"{device} {precision}")
    assert isinstance(network, OnTorch)
    alone = OnTorch(backbone, torch.device(device), precision, 0)
    files = OnDemand(some, backbone)
    ready = Again([files[n] for n in range(len(files))], times)
    again = Again(files, times)
    for _ in alone.run(Again([files[n] for n in range(len(files))], 1)):
        pass  # warm
    ways = {
        "whole": lambda: network.run(again),
        "decode": lambda: network.batches(again),
        "network": lambda: alone.run(ready),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            found[name].append(len(again) / feature_speed.timed(way))
    return {name: statistics.median(each) for name, each in found.items()}


def errors(some: list[Picture], backbone: Backbone, device: str) -> dict[str, float]:
    """By precision: how far off the device's features are at worst those that torch computes on the CPU in f32."""
    batch = np.concatenate(
        [feature_speed.decoded(some[n], backbone).views for n in evenly(len(some), CHECKED_PICTURES)]
    )
    exact = OnTorch(backbone, torch.device("cpu"), "f32", 0).features(batch)
    return {
        precision: worst_error(OnTorch(backbone, torch.device(device), precision, 0).features(batch), exact)
        for precision in ("bf16", "f32")
    }


def features(measured: Pictures, scratch: Path, device: str, size: tuple[int, int], gpu: str) -> int:
    """feature_speed_gpu. size: pictures of each class, and how many times over."""
    some = measured.first("train", size[0])
    backbone = extraction.resnet50(scratch / "weights")
    theirs = {name: feature_speed.baseline(measured, scratch, name) for name in dict.fromkeys(("cpu", device))}
    print(f"the baseline: {theirs} pictures/s", flush=True)
    ours = {precision: rates(some, backbone, device, precision, size[1]) for precision in ("bf16", "f32")}
    print(f"ours: {ours} pictures/s", flush=True)
    operations = arithmetic.operations(backbone)
    side = SIDE if device == "cuda" else 512
    most = {precision: arithmetic.device_throughput(torch.device(device), precision, side) for precision in ours}
    off = errors(some, backbone, device)
    what = "ResNet-50 features on a GPU, at worst off those of a CPU in f32"
    claims = [
        claim(f"{what}: {name}", "<=", {"bf16": MOST_ERROR, "f32": 1e-3}[name], found, "of 1")
        for name, found in off.items()
    ]
    for precision, own in ours.items():
        what = f"JPEG to ResNet-50 features on a GPU, ours {precision}"
        slower = min(own["decode"], own["network"])
        claims += [
            claim(f"{what} over the baseline, which leaves the GPU idle", ">=", 12, own["whole"] / theirs["cpu"], "x"),
            claim(f"{what} over the baseline moved to the GPU", ">=", 12, own["whole"] / theirs[device], "x"),
            claim(
                f"{what}, of the slower of decode and network alone", ">=", LEAST_SHARE, own["whole"] / slower, "of 1"
            ),
            figure(f"{what}, of the GPU's matrix throughput", own["whole"] * operations / most[precision], "of 1"),
        ]
    details = {
        "pictures": str(measured),
        "measured_on": len(some) * size[1],
        "baseline_pictures_per_second": theirs,
        "ours_pictures_per_second": ours,
        "gigaoperations_per_picture": operations / 1e9,
        "matrix_gigaoperations_per_second": {name: found / 1e9 for name, found in most.items()},
        "network_share_of_matrix_throughput": {
            name: found["network"] * operations / most[name] for name, found in ours.items()
        },
        "worst_error": off,
        "torch": torch.__version__,
    }
    return record("feature_speed_gpu", claims, rounded(details), gpu)


def race(measured: Pictures, scratch: Path, device: str, gpu: str) -> int:
    """training_race_gpu."""
    began = time.monotonic()
    raced, sizes = Race(measured, scratch), measured.sizes
    made = {views: raced.features(BASELINES, views) for views in (VIEWS, 1)}
    searches = {views: raced.search(done, *LARGE, repeats=1) for views, done in made.items()}
    small = raced.search(made[1], *SMALL, repeats=1)
    costs = {name: raced.baseline_costs(name) for name in dict.fromkeys(("cpu", device))}
    theirs = {
        (name, search): Cost.lowest(found).of_search(sizes, *search)
        for name, found in costs.items()
        for search in (LARGE, SMALL)
    }
    ours = {views: done.seconds + searches[views] for views, done in made.items()}
    ours_small = made[1].seconds + small
    claims = []
    for name, against, goals in (
        ("cpu", "the baseline, which leaves the GPU idle", (100, 400, 15)),
        (device, "the baseline moved to the GPU", (12, None, None)),
    ):
        what = f"ResNet-50 both, ours on a GPU against {against} (extrapolated)"
        large, few = (f"{trials} trials x {epochs} epochs" for trials, epochs in (LARGE, SMALL))
        claims += [
            _faster(f"{large}, {what}, {VIEWS} views", goals[0], theirs[name, LARGE] / ours[VIEWS]),
            _faster(f"{large}, {what}, one view", goals[1], theirs[name, LARGE] / ours[1]),
            _faster(f"{few}, {what}, one view", goals[2], theirs[name, SMALL] / ours_small),
        ]
    details: dict[str, Any] = {
        "pictures": str(measured),
        "baseline_measured_seconds_per_picture": {
            name: [asdict(one) for one in found] for name, found in costs.items()
        },
        "baseline_extrapolated_seconds": {f"{name}, {n}x{m}": found for (name, (n, m)), found in theirs.items()},
        "our_features_seconds": {str(views): done.seconds for views, done in made.items()},
        "our_features_log": {str(views): done.log.splitlines() for views, done in made.items()},
        "our_search_seconds": {str(views): found for views, found in searches.items()} | {"1, 2x1": small},
        "benchmark_seconds": time.monotonic() - began,
        "torch": torch.__version__,
    }
    return record("training_race_gpu", claims, rounded(details), gpu)


def _faster(what: str, goal: float | None, times: float) -> Claim:
    return figure(what, times, "x") if goal is None else claim(what, ">=", goal, times, "x")


def main() -> int:
    """Measure and record both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--times-over", type=int, default=TIMES_OVER)
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("skipped: torch sees no GPU here")
        return 0
    gpu = torch.cuda.get_device_name() if asked.device == "cuda" else "none"
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as folder:
        scratch = Path(folder)
        measured = pictures(scratch)
        print(f"{measured} on {gpu}", flush=True)
        features(measured, scratch, asked.device, (asked.each, asked.times_over), gpu)
        return race(measured, scratch, asked.device, gpu)


if __name__ == "__main__":
    sys.exit(main())
