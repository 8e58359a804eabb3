"""Our extractor on an engine of one's choice, for what it takes; the product's own is OpenVINO in f32."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.baseline import networks
from training import backbones
from training.backbones import Backbone
from training.data import Picture
from training.distributed import Group
from training.engine import Batch, Compiled, Floats, normalised, to_graph
from training.features import Extractor

CORES = len(os.sched_getaffinity(0))
EAGER = "eager"
SEED = 1


class Eager(Compiled):
    """The backbone run by torch in f32, where the extractor has OpenVINO."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def request(self) -> Any:
        """The network as a function of a batch. Threads may share it: nothing in it changes."""

        def infer(batch: Batch) -> Floats:
            with torch.inference_mode():
                found: Floats = self._backbone.module(normalised(batch, self._backbone.preprocess)).numpy()
            return found

        return infer

    @staticmethod
    def run(request: Any, batch: Batch) -> Floats:
        """float32 [n, width] for uint8 [n, size, size, 3]."""
        return np.array(request(batch))


def resnet50(scratch: Path) -> Backbone:
    """Ours, with the baseline's random weights; they are left in `scratch` for a job's channel `pretrained`."""
    scratch.mkdir(exist_ok=True)
    torch.save(networks.random_resnet50().state_dict(), scratch / "resnet50.pth")
    return backbones.load("resnet50", scratch)


def compiled(backbone: Backbone, engine: str) -> Compiled:
    """engine: EAGER, or the precision of OpenVINO."""
    if engine == EAGER:
        return Eager(backbone)
    return Compiled(to_graph(backbone.module, backbone.preprocess, "features"), CORES, engine)


def extractor(backbone: Backbone, engine: Compiled) -> Extractor:
    """As the features job makes it, but quiet."""
    return Extractor(engine, backbone, CORES, SEED, Group(), lambda _: None)


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
