"""What every peer answers with: picture bytes -> the five likeliest classes, on eager torch or on OpenVINO.

On torch a picture is read as torchvision's documentation reads it: Pillow, then the transforms of its ResNet-50. On
OpenVINO it is read as ours is (`serving.preprocess`: simplejpeg, then Pillow's resize), and the graph is ours, so that
what differs is the server.

The environment says which: RACE_ENGINE (torch, or a precision of OpenVINO), RACE_MODEL (the folder that
`benchmarks.parts.race_model` makes), RACE_CORES (for one batch), RACE_BATCH (the largest one).
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Settings:
    """engine: torch, f32, bf16 or int8; cores: for one batch; batch: pictures in the largest one."""

    engine: str
    model: Path
    cores: int
    batch: int
    port: int

    @property
    def workers(self) -> int:
        """Batches worked on at a time, so that every core has work."""
        return max(1, CORES // self.cores)


def settings() -> Settings:
    """From the environment."""
    read = os.environ
    return Settings(
        engine=read["RACE_ENGINE"],
        model=Path(read["RACE_MODEL"]),
        cores=int(read["RACE_CORES"]),
        batch=int(read["RACE_BATCH"]),
        port=int(read["RACE_PORT"]),
    )


class Engine(Protocol):
    """`decode` makes a picture's bytes an input; `infer` makes inputs logits [n, classes]. One caller at a time."""

    def decode(self, data: bytes) -> Any:
        """One picture's input."""

    def infer(self, inputs: Sequence[Any]) -> Logits:
        """Float32 [n, classes] for `n` inputs."""


def load(wanted: Settings) -> Engine:
    """The engine that `wanted` names, warm."""
    made: Engine = Torch(wanted) if wanted.engine == "torch" else OpenVino(wanted)
    blank = io.BytesIO()
    importlib.import_module("PIL.Image").new("RGB", (500, 400), "gray").save(blank, "JPEG")
    for count in (1, wanted.batch):
        made.infer([made.decode(blank.getvalue())] * count)
    return made


class Torch:
    """torchvision's ResNet-50, eager."""

    def __init__(self, wanted: Settings) -> None:
        import torch  # noqa: PLC0415 - not what an OpenVINO server loads

        from training.torchvision_beside_cpu_torch import torchvision_models  # noqa: PLC0415

        torch.set_num_threads(wanted.cores)
        weights = torch.load(wanted.model / "resnet50.pth", weights_only=True)
        models = torchvision_models()
        self._network = models.resnet50(weights=None, num_classes=len(weights["fc.bias"])).eval()
        self._network.load_state_dict(weights)
        # resize 232, crop 224, mean and standard deviation
        self._transform = models.ResNet50_Weights.IMAGENET1K_V2.transforms()
        self._image, self._torch = importlib.import_module("PIL.Image"), torch

    def decode(self, data: bytes) -> Any:
        """float32 [3, 224, 224]."""
        return self._transform(self._image.open(io.BytesIO(data)).convert("RGB"))

    def infer(self, inputs: Sequence[Any]) -> Logits:
        """Float32 [n, classes]."""
        with self._torch.inference_mode():
            found: Logits = self._network(self._torch.stack(list(inputs))).numpy()
        return found


class OpenVino:
    """The graphs of the model directory, as OpenVINO advises for a server process with so many cores to itself."""

    def __init__(self, wanted: Settings) -> None:
        import openvino  # noqa: PLC0415 - not what an eager torch server loads
        from openvino import properties  # noqa: PLC0415
        from openvino.properties import hint  # noqa: PLC0415

        from serving.preprocess import Preprocess  # noqa: PLC0415

        self.decode = Preprocess.load(wanted.model / "preprocess.json")
        side = self.decode.size
        core = openvino.Core()
        graph = core.read_model(wanted.model / ("int8.xml" if wanted.engine == "int8" else "model.xml"))
        graph.reshape([1, side, side, 3])
        compiled = core.compile_model(
            graph,
            "CPU",
            {
                hint.performance_mode(): hint.PerformanceMode.LATENCY,
                properties.inference_num_threads(): wanted.cores,
                hint.inference_precision(): "bf16" if wanted.engine == "bf16" else "f32",
                # Each of several processes would otherwise pin its threads to the same first cores.
                hint.enable_cpu_pinning(): False,
            },
        )
        self._request = compiled.create_infer_request()

    def infer(self, inputs: Sequence[Any]) -> Logits:
        """Float32 [n, classes]."""
        # One by one: on a core of its own a batch takes as long (`benchmarks.parts.compute_alone`), and a fixed shape
        # is compiled to faster code than an open one.
        return np.concatenate([self._request.infer(one[None], share_inputs=True)[0] for one in inputs])


def answers(logits: Logits) -> list[dict[str, Any]]:
    """What is sent for each row: the five likeliest classes with their probabilities."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    return [
        {"predictions": [{"index": int(i), "probability": round(float(row[i]), 6)} for i in np.argsort(-row)[:5]]}
        for row in probabilities
    ]
