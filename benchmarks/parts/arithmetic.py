"""How much a network computes, and how much this machine can compute at most."""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.parts.extraction import CORES
from training.backbones import Backbone

SIDE = 2048  # of the matrices: large enough that the product's own work is all that counts
PRODUCTS = 12  # a core
ROUNDS = 3


def operations(backbone: Backbone) -> int:
    """Multiplications and additions of all convolutions and linear layers for one picture, two for each pair."""
    counted = 0

    def count(layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(layer.weight, torch.Tensor)
        counted += 2 * layer.weight[0].numel() * output[0].numel()

    layers = [layer for layer in backbone.module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    size = backbone.preprocess.size
    with torch.inference_mode():
        backbone.module(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return counted


def cpu_throughput(precision: str) -> float:
    """Operations a second of large matrix products by OpenVINO: one at a time on each core, as the extractor works.

    The median of ROUNDS, each on all cores at once.
    """
    import openvino  # noqa: PLC0415 - a GPU's machine may be without it
    from openvino import opset13  # noqa: PLC0415

    from training.engine import Compiled  # noqa: PLC0415

    draw = np.random.default_rng(1)
    left = opset13.parameter([SIDE, SIDE], np.float32)
    right = opset13.constant(draw.standard_normal((SIDE, SIDE), dtype=np.float32))
    compiled = Compiled(openvino.Model([opset13.matmul(left, right, False, False)], [left]), CORES, precision)
    matrix = draw.standard_normal((SIDE, SIDE), dtype=np.float32)
    local = threading.local()

    def multiply(_: int) -> None:
        if not hasattr(local, "request"):
            local.request = compiled.request()
        local.request.infer(matrix, share_inputs=True, share_outputs=True)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(multiply, range(4 * CORES)))
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            list(pool.map(multiply, range(PRODUCTS * CORES)))
            seconds.append(time.perf_counter() - began)
    return PRODUCTS * CORES * 2 * SIDE**3 / statistics.median(seconds)


def device_throughput(device: torch.device, precision: str, side: int) -> float:
    """Operations a second of large matrix products by torch on `device`. The median of ROUNDS."""
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for number in range(ROUNDS + 1):
        began = time.perf_counter()
        for _ in range(PRODUCTS):
            product = left @ right
        product[0, 0].item()  # waits until all are there
        if number:  # the first one warms
            seconds.append(time.perf_counter() - began)
    return PRODUCTS * 2 * side**3 / statistics.median(seconds)
