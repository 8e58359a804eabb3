"""Torch modules as OpenVINO graphs: the engine for frozen networks on CPUs, in training and in serving."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import torch
from openvino import properties
from openvino.preprocess import PrePostProcessor
from openvino.properties import hint
from torch import nn

from serving.preprocess import Preprocess

# OpenVINO looks NumPy up when it first meets an array, and two threads that do so at once wait for each other for ever
# (the one has the interpreter's lock, the other the look-up's). So it meets its first one here, where there is one.
openvino.Tensor(np.zeros(1, np.uint8))

Batch = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def to_graph(module: nn.Module, preprocess: Preprocess, output: str) -> openvino.Model:
    """The graph of `module` (float32 [n, 3, size, size] -> [n, ...]) with normalisation inside.

    Its input is `pictures`, uint8 RGB [n, size, size, 3] with n open; its output is named `output`.
    """
    size = preprocess.size
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns about shape checks, which hold for every batch size here
        # Checking a trace costs more than making it; `training.export.check` compares the whole graph with torch.
        traced = torch.jit.trace(module, torch.zeros(2, 3, size, size), check_trace=False)  # type: ignore[no-untyped-call]
        graph = openvino.convert_model(traced, input=[-1, 3, size, size])
    graph.inputs[0].get_tensor().set_names({"pictures"})
    graph.outputs[0].get_tensor().set_names({output})
    steps = PrePostProcessor(graph)
    tensor = steps.input().tensor()
    tensor.set_element_type(openvino.Type.u8)
    tensor.set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    # (pixel / scale - mean) / std, as one subtraction and one division
    change = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    change.mean([value * preprocess.scale for value in preprocess.mean])
    change.scale([value * preprocess.scale for value in preprocess.std])
    return steps.build()


def normalised(batch: Batch, preprocess: Preprocess, device: torch.device | None = None) -> torch.Tensor:
    """What the graph computes first, in torch: uint8 [n, size, size, 3] -> float32 [n, 3, size, size] on `device`."""
    pixels = torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return (pixels / preprocess.scale - mean) / std


class Compiled:
    """A graph ready to run on this machine's CPU. `run` is for `threads` callers at a time, one core each."""

    def __init__(self, graph: openvino.Model, threads: int, precision: str = "f32") -> None:
        """precision: f32 (said explicitly, because OpenVINO else takes bf16 where the CPU has AMX), bf16, or "" for its
        own choice, which is what serving runs with."""
        settings: dict[Any, Any] = {
            hint.performance_mode(): hint.PerformanceMode.THROUGHPUT,
            properties.num_streams(): threads,
            properties.inference_num_threads(): threads,
        }
        if precision:
            settings[hint.inference_precision()] = precision
        self._compiled = openvino.Core().compile_model(graph, "CPU", settings)

    def request(self) -> Any:
        """An inference request; it belongs to one thread."""
        return self._compiled.create_infer_request()

    @staticmethod
    def run(request: Any, batch: Batch) -> Floats:
        """float32 [n, ...] for uint8 [n, size, size, 3]."""
        return np.array(request.infer(batch, share_inputs=True, share_outputs=True)[0], dtype=np.float32)
