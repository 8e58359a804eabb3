"""Our extractor on an engine of one's choice, for what it takes; the product's own is OpenVINO in f32."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.baseline import networks
from training import backbones
from training.backbones import Backbone
from training.data import Picture
from training.distributed import Group
from training.features import Extractor
from training.frozen import Files, Network, OnTorch, Outcome, on_cores
from training.tensors import Batch, Floats, normalised

CORES = len(os.sched_getaffinity(0))
EAGER = "eager"
SEED = 1


class Eager:
    """The backbone run by torch in f32, where the extractor has OpenVINO: a core per thread, file by file."""

    name = "eager torch f32"

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def features(self, batch: Batch) -> Floats:
        """float32 [n, width] for uint8 [n, size, size, 3]. Threads may share it: nothing in it changes."""
        with torch.inference_mode():
            found: Floats = self._backbone.module(normalised(batch, self._backbone.preprocess)).numpy()
        return found

    def run(self, files: Files) -> Iterator[tuple[Outcome, Floats | None]]:
        """As OpenVINO's network does it."""
        return on_cores(files, CORES, lambda: self.features)


def resnet50(scratch: Path) -> Backbone:
    """Ours, with the baseline's random weights; they are left in `scratch` for a job's channel `pretrained`."""
    scratch.mkdir(exist_ok=True)
    torch.save(networks.random_resnet50().state_dict(), scratch / "resnet50.pth")
    return backbones.load("resnet50", scratch)


def network(backbone: Backbone, engine: str) -> Network:
    """engine: EAGER, the precision of OpenVINO, or `cuda f32` and the like, a GPU and its precision."""
    if engine == EAGER:
        return Eager(backbone)
    device, _, precision = engine.rpartition(" ")
    if device:
        return OnTorch(backbone, torch.device(device), precision, CORES)
    from training.engine import OnOpenVino, to_graph  # noqa: PLC0415 - a GPU's machine may be without OpenVINO

    return OnOpenVino(to_graph(backbone.module, backbone.preprocess, "features"), CORES, engine)


def extractor(backbone: Backbone, network: Network) -> Extractor:
    """As the features job makes it, but quiet."""
    return Extractor(network, backbone, SEED, Group(), lambda _: None)


def seconds(extractor: Extractor, pictures: Sequence[Picture], views: int) -> float:
    """What the pictures take from their files to features, the engine being warm for this shape."""
    extractor.extract("train", pictures[: 2 * CORES], views)
    began = time.perf_counter()
    extractor.extract("train", pictures, views)
    return time.perf_counter() - began


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch as the product's programs have it: each of the extractor's threads keeps to one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
