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
from serving.sampled import Numbers, features
from serving.sniff import read_header

Logits = npt.NDArray[np.float32]

# A picture of 50 million pixels takes 150 MB and more to decode: such pictures wait for one another, the others do not.
LARGE_PIXELS = 12_000_000
BATCHES = (16, 8, 4, 2)
# Of the time without: what saves less is not worth the memory of another graph.
BATCH_WORTH, WHOLE_WORTH = 0.95, 0.8
WHOLE = 0  # the graph for one picture on all cores, beside those for so many pictures on one core


@dataclass(frozen=True)
class Outcome:
    """What the model says of one picture: logits [classes], a PNG heat map if wanted, milliseconds by stage.

    looks   what a sampled picture looks like (`serving.sampled`); None for the others
    """

    logits: Logits
    heat_map: bytes = b""
    timing_ms: dict[str, float] = field(default_factory=dict)
    looks: Numbers | None = None


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
        self._threads = threads
        self._network = self._read()
        self._compiled = {1: self._compile(1)}
        self._check(self._compiled[1])
        self._explainer = Explainer(core, manifest.directory / "model.xml", self._preprocess.size)
        self._local = threading.local()
        self._large = threading.Lock()

    def _read(self) -> openvino.Model:
        """The network of the precision, once for all graphs: each would map the file of weights anew."""
        directory, (structure, weights) = self.manifest.directory, self.precision.graph
        try:
            return self.core.read_model(directory / structure, directory / weights)
        except RuntimeError as error:
            raise self._refused(error) from error

    def _compile(self, graph_for: int) -> Any:
        """The graph for so many pictures on one core, or for one on all of them (WHOLE)."""
        settings: dict[Any, Any] = {
            hint.performance_mode(): hint.PerformanceMode.THROUGHPUT,
            properties.num_streams(): 1 if graph_for == WHOLE else self._threads,
            properties.inference_num_threads(): self._threads,
            # Said explicitly: OpenVINO by itself takes bf16 where the CPU has AMX.
            hint.inference_precision(): self.precision.arithmetic,
        }
        size = self._preprocess.size
        try:
            # A fixed shape is compiled to faster code than an open batch size.
            self._network.reshape([graph_for or 1, size, size, 3])
            return self.core.compile_model(self._network, "CPU", settings)
        except RuntimeError as error:
            raise self._refused(error) from error

    def _refused(self, error: RuntimeError) -> ModelRefused:
        reason = str(error).strip().splitlines()[-1].strip()
        return ModelRefused(f"{self.manifest.directory / self.precision.graph[0]}: OpenVINO cannot load it: {reason}")

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

    def logits(self, pixels: npt.NDArray[np.uint8], *, lone: bool = False) -> Logits:
        """Logits [n, classes] of `pixels` [n, size, size, 3]: whole batches together, the rest one by one.

        lone: nobody else needs the cores, so that one picture may have all of them.
        """
        found = np.empty((len(pixels), len(self.manifest.classes)), dtype=np.float32)
        start = 0
        while start < len(pixels):
            size = self.batch if len(pixels) - start >= self.batch else 1
            part = slice(start, start + size)
            graph = WHOLE if lone and size == 1 and WHOLE in self._compiled else size
            answer = self._request(graph).infer(pixels[part], share_inputs=True, share_outputs=True)
            found[part] = answer[0]
            start += size
        return found

    def heat_map(self, pixels: RGB, index: int) -> bytes:
        """A PNG of where in `pixels` [size, size, 3] the model sees class `index`."""
        return self._explainer.heat_map(pixels, index)

    def _request(self, graph: int) -> Any:
        requests: dict[int, Any] = self._local.__dict__.setdefault("requests", {})
        if graph not in requests:
            requests[graph] = self._compiled[graph].create_infer_request()
        return requests[graph]

    def run(self, data: bytes) -> Outcome:
        """What the model says of one picture. Raises `BadImage`."""
        return Outcome(self.logits(self.decode(data)[None])[0])

    def warm(self, batch_ms: float = 0.0) -> None:
        """One run of every path, so that no first request pays for loading: JPEG, PNG and WebP, and the graphs.

        Then it measures what is worth its memory here: a batch (the largest that keeps the model busy for no longer
        than `batch_ms`) where it takes less time than its pictures alone, and all cores for a lone picture.
        """
        picture = Image.new("RGB", (320, 256), "gray")
        for kind in ("JPEG", "PNG", "WEBP"):
            buffer = io.BytesIO()
            picture.save(buffer, kind)
            self.decode(buffer.getvalue())
        alone = self._milliseconds(1)
        batch = next((size for size in BATCHES if size * alone <= batch_ms), 1)
        if batch > 1 and self._is_worth(batch, BATCH_WORTH * batch * alone):
            self.batch = batch
        if self._threads > 1:
            self._is_worth(WHOLE, WHOLE_WORTH * alone)

    @property
    def shares_cores(self) -> bool:
        """Whether a lone picture gets all of them."""
        return WHOLE in self._compiled

    def _is_worth(self, graph: int, milliseconds: float) -> bool:
        """Compiles `graph`, and keeps it if it takes no longer than that."""
        self._compiled[graph] = self._compile(graph)
        if self._milliseconds(graph) <= milliseconds:
            return True
        del self._compiled[graph], self._local.__dict__["requests"][graph]
        return False

    def _milliseconds(self, graph: int) -> float:
        """The fastest of two runs, after one that nobody counts."""
        pixels = np.zeros((graph or 1, self._preprocess.size, self._preprocess.size, 3), dtype=np.uint8)
        taken = []
        for _ in range(3):
            started = time.perf_counter()
            self._request(graph).infer(pixels, share_inputs=True, share_outputs=True)
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

    def sample(self, logits: Logits, looks: Numbers) -> dict[str, Any]:
        """What drift is told by, of one picture: class, confidence, `serving.sampled.features`."""
        best = int(logits.argmax())
        (numbers,) = features(logits[None], looks[None])
        return {
            "model": self.manifest.version,
            "precision": self.precision.name,
            "index": best,
            "confidence": round(float(softmax(logits, self.precision.temperature)[best]), 6),
            "features": [round(value, 4) for value in numbers.tolist()],
        }


def softmax(logits: Logits, temperature: float) -> npt.NDArray[np.float64]:
    """Calibrated probabilities, float64, from logits [classes]."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    return np.asarray(powers / powers.sum())
