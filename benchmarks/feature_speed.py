"""Pictures a second from JPEG files to ResNet-50 features: ours against the baseline's loop, and where ours goes.

Ours is the product's extractor, one view a picture, all cores; in f32, and in bf16, which the features job takes for
training views where the processor calculates in it. The baseline's is its own training loop on its own loader
(decoding, the frozen network in training mode, the small head's step), in batches of 64. Engine start and compilation
are left out on both sides.

Two more figures say what is left to gain. Decoding alone and the network alone, each on all cores, together against
the whole: what goes beyond them is lost in between. And the share of the machine's matrix throughput (large products by
the same library on the same cores, in the same precision) that the whole and the network alone reach; it has no goal.

The goal of 12 times is missed on a machine without AMX (`details` of the result): there the network alone, which is
nearly all of the time, already runs at about the throughput of matrix products in its precision, in f32 and in bf16.
Only fewer operations a picture, or smaller ones (int8), would be faster.

All are medians of rounds that take turns. The weights are random, which takes as long as pretrained ones. The pictures
are drawn dogs or, with DATA=folder, one's own.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.baseline import tuning
from benchmarks.baseline.hpo import Settings
from benchmarks.claims import claim, figure, record, rounded
from benchmarks.parts import arithmetic, extraction
from benchmarks.parts.extraction import CORES, SEED
from benchmarks.parts.pictures import Pictures, pictures
from training.backbones import Backbone
from training.data import Picture
from training.engine import computes_bf16
from training.frozen import Decoded, Outcome
from training.pictures import read, views

PRECISIONS = ("f32", *(("bf16",) if computes_bf16() else ()))  # elsewhere bf16 would be f32 under another name
OURS = 16  # training pictures of each class
BASELINE = {"train": 5, "valid": 1, "test": 1}
ROUNDS = 3
TIMES_FASTER, LEAST_SHARE = 12, 0.85


@dataclass(frozen=True)
class Rates:
    """Pictures a second, medians: from file to features, and each of the two halves alone on all cores."""

    whole: float
    decode: float
    network: float

    @property
    def share(self) -> float:
        """What the halves take one after the other, of what the whole takes."""
        return self.whole * (1 / self.decode + 1 / self.network)


def ours(backbone: Backbone, precision: str, some: list[Picture]) -> Rates:
    """The product's extractor, and its halves."""
    network = extraction.network(backbone, precision)
    extractor = extraction.extractor(backbone, network)
    rounds = []
    with ThreadPoolExecutor(CORES) as pool:
        ready = Ready(list(pool.map(lambda picture: decoded(picture, backbone), some)))
        for _ in network.run(Ready(ready.files[: 4 * CORES])):
            pass  # warm
        for _ in range(ROUNDS):
            whole = extraction.seconds(extractor, some, 1)
            decode = timed(lambda: pool.map(lambda picture: decoded(picture, backbone), some))
            alone = timed(lambda: network.run(ready))
            rounds.append((whole, decode, alone))
    return Rates(*(len(some) / statistics.median(seconds) for seconds in zip(*rounds, strict=True)))


@dataclass(frozen=True)
class Ready:
    """Files that are decoded already, one view of each."""

    files: list[Decoded]
    count: int = 1

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> Decoded:
        return self.files[position]


def decoded(picture: Picture, backbone: Backbone) -> Decoded:
    """One view, as the extractor reads it. Raises SystemExit for a bad picture."""
    reading = read(picture, backbone.preprocess)
    if reading.pixels is None:
        raise SystemExit(f"{picture.name}: {reading.reason}; measure on good pictures")
    return Decoded(Outcome(reading.sha256), views(picture, reading.pixels, backbone.preprocess, 1, SEED))


def timed(begin: Callable[[], Iterable[Any]]) -> float:
    """Seconds until all that `begin` began is there."""
    began = time.perf_counter()
    for _ in begin():
        pass
    return time.perf_counter() - began


def baseline(measured: Pictures, scratch: Path, device: str = "cpu") -> float:
    """Pictures a second of the baseline's training loop; on another `device` its defect 4 is mended."""
    data = measured.linked(scratch / f"part-{device}", BASELINE)
    rates = []
    for _ in range(ROUNDS):
        settings = Settings(0.01, 64, epochs=2, all_epochs=True, device=device)
        passes = tuning.run(data, scratch / "baseline", settings).passes
        last = [one for one in passes if one.phase == "train"][-1]  # in the first, torch also prepares its kernels
        rates.append(last.pictures / last.seconds)
    return statistics.median(rates)


def main() -> int:
    """Measure and record."""
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        measured = pictures(Path(scratch))
        print(measured, flush=True)
        backbone = extraction.resnet50(Path(scratch) / "weights")
        some = measured.first("train", OURS)
        theirs = baseline(measured, Path(scratch))
        print(f"the baseline: {theirs:.1f} pictures/s", flush=True)
        rates = {}
        for precision in PRECISIONS:
            rates[precision] = ours(backbone, precision, some)
            print(f"ours in {precision}: {rates[precision].whole:.1f} pictures/s", flush=True)
    operations = arithmetic.operations(backbone)
    most = {precision: arithmetic.cpu_throughput(precision) for precision in PRECISIONS}
    claims = [
        claim(
            f"JPEG to ResNet-50 features, ours {name} over the baseline", ">=", TIMES_FASTER, found.whole / theirs, "x"
        )
        for name, found in rates.items()
    ]
    claims += [
        claim(f"decode alone + network alone, of the whole, {name}", ">=", LEAST_SHARE, found.share, "of 1")
        for name, found in rates.items()
    ]
    claims += [
        figure(f"the whole, of the machine's matrix throughput, {name}", found.whole * operations / most[name], "of 1")
        for name, found in rates.items()
    ]
    details = {
        "pictures": str(measured),
        "measured_on": {"ours": len(some), "baseline": BASELINE["train"] * len(measured.found.classes)},
        "baseline_pictures_per_second": theirs,
        "ours_pictures_per_second": {
            name: {"whole": found.whole, "decode": found.decode, "network": found.network}
            for name, found in rates.items()
        },
        "gigaoperations_per_picture": operations / 1e9,
        "matrix_gigaoperations_per_second": {name: found / 1e9 for name, found in most.items()},
        "network_share_of_matrix_throughput": {
            name: found.network * operations / most[name] for name, found in rates.items()
        },
    }
    return record("feature_speed", claims, rounded(details))


if __name__ == "__main__":
    sys.exit(main())
