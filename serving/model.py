"""The model on OpenVINO: pictures' bytes to pixels, pixels to logits, logits to an answer."""

import io
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

from serving.explain import Explainer
from serving.manifest import Manifest, ModelRefused
from serving.preprocess import RGB
from serving.sniff import read_header

Logits = npt.NDArray[np.float32]

# A picture of 50 million pixels takes 150 MB and more to decode: such pictures wait for one another, the others do not.
LARGE_PIXELS = 12_000_000
BATCHES = (16, 8, 4, 2)
WORTH = 0.95  # of the time alone: a batch that saves less than a twentieth is not worth the memory of its graph


@dataclass(frozen=True)
class Outcome:
    """What the model says of one picture: logits [classes], a PNG heat map if wanted, milliseconds by stage."""

    logits: Logits
    heat_map: bytes = b""
    timing_ms: dict[str, float] = field(default_factory=dict)


class Model:
    """A compiled model. Its methods are for several threads at a time.

    Each thread has its own inference requests; OpenVINO and the decoders work outside the interpreter lock.

    batch: how many pictures the model takes at a time; 1 where more are no faster here
    """

    def __init__(self, manifest: Manifest, threads: int, precision: str = "") -> None:
        """`threads` calls at a time use one core each.

        precision: one that the model was validated in; "": the one that training chose.
        Raises `ModelRefused` for another one, and when the graph and the manifest do not fit each other.
        """
        self.manifest = manifest
        core = openvino.Core()
        self.precision = manifest.served(precision, "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        self.batch = 1
        self._preprocess = manifest.preprocess
        self.core = core
        self._settings: dict[Any, Any] = {
            hint.performance_mode(): hint.PerformanceMode.THROUGHPUT,
            properties.num_streams(): threads,
            properties.inference_num_threads(): threads,
            # Said explicitly: OpenVINO by itself takes bf16 where the CPU has AMX.
            hint.inference_precision(): self.precision.arithmetic,
        }
        self._compiled = {1: self._compile(1)}
        self._check(self._compiled[1])
        self._explainer = Explainer(core, manifest.directory / "model.xml", self._preprocess.size)
        self._local = threading.local()
        self._large = threading.Lock()

    def _compile(self, batch: int) -> Any:
        directory, (structure, weights), size = self.manifest.directory, self.precision.graph, self._preprocess.size
        try:
            graph = self.core.read_model(directory / structure, directory / weights)
            # A fixed shape is compiled to faster code than an open batch size.
            graph.reshape([batch, size, size, 3])
            return self.core.compile_model(graph, "CPU", self._settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ModelRefused(f"{directory / structure}: OpenVINO cannot load it: {reason}") from error

    def _check(self, compiled: Any) -> None:
        inputs, outputs = compiled.inputs, compiled.outputs
        if len(inputs) != 1 or inputs[0].get_element_type() != openvino.Type.u8:
            raise ModelRefused(f"{self.precision.graph[0]}: the model must have one input, of type uint8")
        classes = len(self.manifest.classes)
        shapes = [tuple(output.shape) for output in outputs]
        if shapes != [(1, classes)]:
            raise ModelRefused(
                f"{self.precision.graph[0]} gives {shapes}: logits alone are wanted, model.json has {classes} classes"
            )

    def decode(self, data: bytes) -> RGB:
        """The model's input, uint8 [size, size, 3]. Raises `BadImage`."""
        header = read_header(data)
        if header.width * header.height > LARGE_PIXELS:
            with self._large:
                return self._preprocess(data)
        return self._preprocess(data)

    def logits(self, pixels: npt.NDArray[np.uint8]) -> Logits:
        """Logits [n, classes] of `pixels` [n, size, size, 3]: whole batches together, the rest one by one."""
        found = np.empty((len(pixels), len(self.manifest.classes)), dtype=np.float32)
        start = 0
        while start < len(pixels):
            size = self.batch if len(pixels) - start >= self.batch else 1
            part = slice(start, start + size)
            answer = self._request(size).infer(pixels[part], share_inputs=True, share_outputs=True)
            found[part] = answer[0]
            start += size
        return found

    def heat_map(self, pixels: RGB, index: int) -> bytes:
        """A PNG of where in `pixels` [size, size, 3] the model sees class `index`."""
        return self._explainer.heat_map(pixels, index)

    def _request(self, batch: int) -> Any:
        requests: dict[int, Any] = self._local.__dict__.setdefault("requests", {})
        if batch not in requests:
            requests[batch] = self._compiled[batch].create_infer_request()
        return requests[batch]

    def run(self, data: bytes) -> Outcome:
        """What the model says of one picture. Raises `BadImage`."""
        return Outcome(self.logits(self.decode(data)[None])[0])

    def warm(self, batch_ms: float = 0.0) -> None:
        """One run of every path, so that no first request pays for loading: JPEG, PNG and WebP.

        Then it measures what a batch is worth here: the largest that keeps the model busy for no longer than `batch_ms`
        is kept where it takes less time than its pictures alone.
        """
        picture = Image.new("RGB", (320, 256), "gray")
        for kind in ("JPEG", "PNG", "WEBP"):
            buffer = io.BytesIO()
            picture.save(buffer, kind)
            self.run(buffer.getvalue())
        alone = self._milliseconds(1)
        batch = next((size for size in BATCHES if size * alone <= batch_ms), 1)
        if batch > 1:
            self.keep(batch)
            if self._milliseconds(batch) > WORTH * batch * alone:
                self.keep(1)

    def keep(self, batch: int) -> None:
        """From now on takes `batch` pictures at a time, and one by one what is left; not while others ask."""
        self._compiled = {1: self._compiled[1]}
        if batch > 1:
            self._compiled[batch] = self._compile(batch)
        self._local = threading.local()
        self.batch = batch

    def _milliseconds(self, batch: int) -> float:
        """The fastest of three runs, after one that nobody counts."""
        pixels = np.zeros((batch, self._preprocess.size, self._preprocess.size, 3), dtype=np.uint8)
        taken = []
        for _ in range(4):
            started = time.perf_counter()
            self._request(batch).infer(pixels, share_inputs=True, share_outputs=True)
            taken.append((time.perf_counter() - started) * 1e3)
        return min(taken[1:])

    def answer(self, outcome: Outcome, top_k: int, *, with_logits: bool = False) -> dict[str, Any]:
        """The `top_k` most probable classes, whether the model is confident, and the logits if wanted."""
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
        }
        if with_logits:
            document["logits"] = [round(value, 6) for value in outcome.logits.tolist()]
        return document


def softmax(logits: Logits, temperature: float) -> npt.NDArray[np.float64]:
    """Calibrated probabilities, float64, from logits [classes]."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    return np.asarray(powers / powers.sum())
