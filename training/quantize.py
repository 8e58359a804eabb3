"""The graph in int8: post-training quantization by NNCF on training pictures.

Why each choice below is as it is: docs/decisions/0004-serving-precision.md.
"""

import contextlib
import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino
import torch

from serving.preprocess import Preprocess
from training.batches import Reader
from training.data import Picture
from training.engine import for_one

PICTURES = 64
KEPT_CONVOLUTIONS = 3  # the first ones have few weights, and their errors go through all the others


def quantized(
    graph: openvino.Model, pictures: Sequence[Picture], preprocess: Preprocess, threads: int
) -> openvino.Model:
    """`graph` in int8, its ranges taken from up to 64 of `pictures`, spread evenly; the same each time.

    The first three convolutions stay in full precision. Raises TrainingError for a picture that is gone.
    """
    import nncf  # noqa: PLC0415 - it takes seconds, which only who quantizes should pay

    nncf.set_log_level(logging.ERROR)
    chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), PICTURES)).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        each = torch.from_numpy(chosen).split(1)  # type: ignore[no-untyped-call]
        shown = list(Reader(pool, preprocess).views(pictures, each, lambda _, pixels: preprocess.to_input(pixels)))
    fixed = for_one(graph, preprocess)
    kinds = ("Convolution", "GroupConvolution")
    convolutions = [node.get_friendly_name() for node in fixed.get_ordered_ops() if node.get_type_name() in kinds]
    with contextlib.redirect_stdout(io.StringIO()):  # it draws progress bars, which are not for a job's log
        found: openvino.Model = nncf.quantize(
            fixed,
            nncf.Dataset(shown),
            preset=nncf.QuantizationPreset.MIXED,  # zero points for activations: not all are centred on zero
            subset_size=len(shown),
            ignored_scope=nncf.IgnoredScope(names=convolutions[:KEPT_CONVOLUTIONS]),
            # Weights of seven bits. CPUs without VNNI add products in 16 bits, which those of eight would overflow.
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        )
    found.reshape([-1, preprocess.size, preprocess.size, 3])
    return found
