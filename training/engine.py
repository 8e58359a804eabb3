"""Torch modules as OpenVINO graphs: the engine for frozen networks on CPUs, in training and in serving."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import openvino
import torch
from openvino import properties
from openvino.preprocess import PrePostProcessor
from openvino.properties import hint
from torch import nn

from serving.preprocess import Preprocess
from training.backbones import Backbone
from training.frozen import Files, Outcome, on_cores
from training.tensors import Batch, Floats

# OpenVINO looks NumPy up when it first meets an array, and two threads that do so at once wait for each other for ever
# (the one has the interpreter's lock, the other the look-up's). So it meets its first one here, where there is one.
openvino.Tensor(np.zeros(1, np.uint8))


def traced(module: nn.Module, preprocess: Preprocess) -> torch.jit.ScriptModule:
    """What `module` (float32 [n, 3, size, size] -> [n, ...]) computes, recorded: it takes most of the time of a graph.

    A module that is traced already is given back as it is.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return module
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns about shape checks, which hold for every batch size here
        # Checking a trace costs more than making it; `training.precision` compares the whole graph with torch.
        blank = torch.zeros(2, 3, preprocess.size, preprocess.size)
        found: torch.jit.ScriptModule = torch.jit.trace(module, blank, check_trace=False)  # type: ignore[no-untyped-call]
    return found


def to_graph(module: nn.Module, preprocess: Preprocess, output: str) -> openvino.Model:
    """The graph of `module` (float32 [n, 3, size, size] -> [n, ...]) with normalisation inside.

    Its input is `pictures`, uint8 RGB [n, size, size, 3] with n open; its output is named `output`.
    """
    size = preprocess.size
    with torch.no_grad():
        graph = openvino.convert_model(traced(module, preprocess), input=[-1, 3, size, size])
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


def computes_bf16() -> bool:
    """Whether this machine's CPU computes in bf16; elsewhere OpenVINO would quietly take f32."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def for_one(graph: openvino.Model, preprocess: Preprocess) -> openvino.Model:
    """A copy for one picture at a time, as serving compiles it: a fixed shape gives faster code."""
    fixed = graph.clone()
    fixed.reshape([1, preprocess.size, preprocess.size, 3])
    return fixed


class Compiled:
    """A graph ready to run on this machine's CPU. `run` is for `threads` callers at a time, one core each."""

    def __init__(self, graph: openvino.Model, threads: int, precision: str = "f32") -> None:
        """precision: f32 or bf16; said explicitly, because OpenVINO by itself takes bf16 where the CPU has AMX."""
        settings: dict[Any, Any] = {
            hint.performance_mode(): hint.PerformanceMode.THROUGHPUT,
            properties.num_streams(): threads,
            properties.inference_num_threads(): threads,
            hint.inference_precision(): precision,
        }
        self._compiled = openvino.Core().compile_model(graph, "CPU", settings)

    def request(self) -> Any:
        """An inference request; it belongs to one thread."""
        return self._compiled.create_infer_request()

    @staticmethod
    def run(request: Any, batch: Batch) -> Floats:
        """float32 [n, ...] for uint8 [n, size, size, 3]."""
        return np.array(request.infer(batch, share_inputs=True, share_outputs=True)[0], dtype=np.float32)


class OnOpenVino:
    """A frozen network over many files (`training.frozen.Network`): each core decodes one and computes it."""

    def __init__(self, graph: openvino.Model, threads: int, precision: str) -> None:
        self.name = f"openvino {precision}"
        self._compiled, self._threads = Compiled(graph, threads, precision), threads

    def features(self, batch: Batch) -> Floats:
        """float32 [n, features] of uint8 [n, size, size, 3]."""
        return self._runner()(batch)

    def run(self, files: Files) -> Iterator[tuple[Outcome, Floats | None]]:
        """Every file's outcome and features [views, features], in their order."""
        return on_cores(files, self._threads, self._runner)

    def _runner(self) -> Callable[[Batch], Floats]:
        request = self._compiled.request()
        return lambda batch: self._compiled.run(request, batch)


def on_cpu(backbone: Backbone, threads: int) -> tuple[OnOpenVino, OnOpenVino | None]:
    """`training.frozen.networks` of a machine without a GPU."""
    graph = to_graph(backbone.module, backbone.preprocess, "features")
    natively = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return OnOpenVino(graph, threads, "f32"), OnOpenVino(graph, threads, "bf16") if natively else None
