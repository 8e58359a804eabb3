"""Which part of a picture decided: a heat map out of one more run of the network, without gradients.

The networks end with the mean of a map of features over the picture, and a head on that mean. Here the head is asked
about every place of the map by itself (class activation mapping, Zhou et al. 2016, https://arxiv.org/abs/1512.04150).
Of a linear head the mean over the places is the logit itself, so the map shares it out among them exactly; of a hidden
layer it is an approximation. It is computed in full precision whatever serves: a quantized head has its ranges
from means, which single places exceed.
"""

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13 as ops
from PIL import Image

from serving.preprocess import RGB

STRONGEST = 200  # opacity, of 255, where the class is seen best
_LEVELS = np.arange(256, dtype=np.float64) / 255
# From yellow to red, and from clear to strong.
_PALETTE = np.stack([np.full(256, 255), 220 * (1 - _LEVELS), np.zeros(256)], axis=1).round().astype(np.uint8)
_OPACITY = (STRONGEST * _LEVELS).round().astype(np.uint8)


class NotExplained(Exception):  # noqa: N818
    """This network does not end as the others do; the message says so."""


class Explainer:
    """Heat maps of one model. Compiled when it is first asked: few callers ask, and it costs memory."""

    def __init__(self, core: openvino.Core, graph: Path, size: int) -> None:
        self._core, self._graph, self._size = core, graph, size
        self._lock = threading.Lock()
        self._compiled: Any = None

    def heat_map(self, pixels: RGB, index: int) -> bytes:
        """A PNG with a palette and transparency, as large as `pixels` [size, size, 3]; raises `NotExplained`."""
        return _png(self.seen(pixels, index), self._size)

    def seen(self, pixels: RGB, index: int) -> npt.NDArray[np.float32]:
        """How much each place [height, width] speaks for class `index`."""
        places = self.places(pixels)
        # And not for any: a place that raises all of them decides nothing.
        return np.asarray(places[..., index] - places.mean(axis=-1))

    def places(self, pixels: RGB) -> npt.NDArray[np.float32]:
        """The head's logits [height, width, classes] for every place of the last map of features."""
        with self._lock:  # one at a time: the answers' own requests need the cores
            if self._compiled is None:
                self._compiled = self._core.compile_model(
                    by_place(self._core.read_model(self._graph), self._size), "CPU"
                )
            found = self._compiled(pixels[None])[0]
        side = round(len(found) ** 0.5)
        return np.array(found, dtype=np.float32).reshape(side, side, -1)


def by_place(graph: openvino.Model, size: int) -> openvino.Model:
    """`graph` without its mean over the picture: for one picture it gives logits [places, classes]."""
    graph.reshape([1, size, size, 3])
    means = [node for node in graph.get_ordered_ops() if node.get_type_name() == "ReduceMean"]
    if not means or len(means[-1].input(0).get_shape()) != 4 or len(means[-1].output(0).get_shape()) != 2:
        raise NotExplained("this network has no mean over the picture before its last layers")
    mean = means[-1]
    axes = sorted(int(axis) % 4 for axis in mean.input_value(1).get_node().get_data().ravel())
    (channel,) = {1, 2, 3} - set(axes)
    features = mean.input_value(0)
    last = ops.transpose(features, np.array([0, *axes, channel]))
    single = ops.reshape(last, np.array([-1, features.get_shape()[channel]]), special_zero=False)
    for follower in mean.output(0).get_target_inputs():
        follower.replace_source_output(single.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def _png(seen: npt.NDArray[np.float32], size: int) -> bytes:
    strength = np.clip(seen, 0, None)
    strength = strength / max(float(strength.max()), 1e-9)
    small = Image.fromarray(strength.astype(np.float32))
    levels = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC)).clip(0, 1)
    picture = Image.fromarray((levels * 255).round().astype(np.uint8), "P")
    picture.putpalette(_PALETTE.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=_OPACITY.tobytes())
    return buffer.getvalue()
