"""The model: a picture's bytes to an answer, on OpenVINO."""

import io
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from openvino import properties
from openvino.properties import hint
from PIL import Image

from serving.manifest import Manifest, ModelRefused
from serving.sniff import read_header

Logits = npt.NDArray[np.float32]

# A picture of 50 million pixels takes 150 MB and more to decode: such pictures wait for one another, the others do not.
LARGE_PIXELS = 12_000_000


@dataclass(frozen=True)
class Outcome:
    """What the model says of one picture, logits [classes], and the milliseconds each stage took."""

    logits: Logits
    timing_ms: dict[str, float] = field(default_factory=dict)


class Model:
    """A compiled model. `run` is for several threads at a time.

    Each thread has its own inference request; OpenVINO and the decoders work outside the interpreter lock.
    """

    def __init__(self, manifest: Manifest, threads: int, precision: str = "") -> None:
        """`threads` calls of `run` at a time use one core each.

        precision: one that the model was validated in; "": the one that training chose.
        Raises `ModelRefused` for another one, and when the graph and the manifest do not fit each other.
        """
        self.manifest = manifest
        core = openvino.Core()
        self.precision = manifest.served(precision, "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        self._preprocess = manifest.preprocess
        settings: dict[Any, Any] = {
            hint.performance_mode(): hint.PerformanceMode.THROUGHPUT,
            properties.num_streams(): threads,
            properties.inference_num_threads(): threads,
            # Said explicitly: OpenVINO by itself takes bf16 where the CPU has AMX.
            hint.inference_precision(): self.precision.arithmetic,
        }
        size = self._preprocess.size
        structure, weights = self.precision.graph
        try:
            graph = core.read_model(manifest.directory / structure, manifest.directory / weights)
            # A fixed shape is compiled to faster code than an open batch size.
            graph.reshape([1, size, size, 3])
            self._compiled = core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ModelRefused(f"{manifest.directory / structure}: OpenVINO cannot load it: {reason}") from error
        self._check()
        self._local = threading.local()
        self._large = threading.Lock()

    def _check(self) -> None:
        inputs, outputs = self._compiled.inputs, self._compiled.outputs
        if len(inputs) != 1 or inputs[0].get_element_type() != openvino.Type.u8:
            raise ModelRefused(f"{self.precision.graph[0]}: the model must have one input, of type uint8")
        classes = len(self.manifest.classes)
        shapes = [tuple(output.shape) for output in outputs]
        if shapes != [(1, classes)]:
            raise ModelRefused(
                f"{self.precision.graph[0]} gives {shapes}: logits alone are wanted, model.json has {classes} classes"
            )

    def run(self, data: bytes) -> Outcome:
        """What the model says of one picture. Raises `BadImage`."""
        started = time.perf_counter()
        header = read_header(data)
        if header.width * header.height > LARGE_PIXELS:
            with self._large:
                pixels = self._preprocess(data)
        else:
            pixels = self._preprocess(data)
        decoded = time.perf_counter()
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        found = request.infer(pixels[None], share_inputs=True, share_outputs=True)
        logits = np.array(found[0][0], dtype=np.float32)
        ended = time.perf_counter()
        return Outcome(logits, {"decode": (decoded - started) * 1e3, "model": (ended - decoded) * 1e3})

    def warm(self) -> None:
        """One run of every path, so that no first request pays for loading: JPEG, PNG and WebP."""
        picture = Image.new("RGB", (320, 256), "gray")
        for kind in ("JPEG", "PNG", "WEBP"):
            buffer = io.BytesIO()
            picture.save(buffer, kind)
            self.run(buffer.getvalue())

    def answer(self, outcome: Outcome, top_k: int, with_logits: bool) -> bytes:
        """The JSON answer: the `top_k` most probable classes, whether the model is confident, its version."""
        manifest, precision = self.manifest, self.precision
        probabilities = softmax(outcome.logits, precision.temperature)
        order = np.argsort(-probabilities, kind="stable")[:top_k]
        best = order[0]
        sure = probabilities[best] >= precision.threshold and outcome.logits[best] >= precision.logit_threshold
        document: dict[str, Any] = {
            "predictions": [
                {"breed": manifest.classes[i], "index": i, "probability": round(float(probabilities[i]), 6)}
                for i in order.tolist()
            ],
            "confident": bool(sure),
            "model": manifest.version,
        }
        if with_logits:
            document["logits"] = [round(value, 6) for value in outcome.logits.tolist()]
        return json.dumps(document).encode()


def softmax(logits: Logits, temperature: float) -> npt.NDArray[np.float64]:
    """Calibrated probabilities, float64, from logits [classes]."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    return np.asarray(powers / powers.sum())
