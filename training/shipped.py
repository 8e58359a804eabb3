"""A model as it ships: its own graph, preprocessing, temperature and thresholds, out of its model.tar.gz."""

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import openvino

from serving.manifest import ModelRefused, Precision, read_manifest
from serving.preprocess import Preprocess
from training.archive import unpack
from training.calibrate import Labels, Limits, Logits, Probabilities, softmax
from training.data import Picture
from training.drift import DriftBaseline
from training.engine import Compiled, computes_bf16, for_one
from training.errors import TrainingError
from training.evaluation_shape import DriftFigures, ModelFigures
from training.features import BadFile
from training.pictures import Reading, read
from training.record import FILE as TRAINING
from training.record import TrainingRecord
from training.shapes import read_document

Log = Callable[[str], None]


class _Class(TypedDict):
    index: int
    folder: str
    name: str


class _Precision(TypedDict):
    drift: DriftBaseline


class _Manifest(TypedDict):
    """The members of model.json that are needed here."""

    version: str
    backbone: str
    classes: Sequence[_Class]
    precisions: Mapping[str, _Precision]


@dataclass(frozen=True)
class Answers:
    """What a model said of the good pictures among those it was shown.

    probabilities   calibrated, float64 [pictures, classes]
    logits          float32 [pictures, classes]
    labels          int64 [pictures]
    bad, notes      the files that could not be used, and what is odd about used ones
    content         file name -> SHA-256 of its bytes, of all files
    """

    pictures: tuple[Picture, ...]
    probabilities: Probabilities
    logits: Logits
    labels: Labels
    bad: tuple[BadFile, ...]
    notes: dict[str, tuple[str, ...]]
    content: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The pictures' file names, in order."""
        return tuple(picture.name for picture in self.pictures)


class Shipped:
    """A verified model, compiled in the precision that serves. `training` is its training.json.

    training_problem: why `training` is None.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        """`folder`: a model directory; it is not needed afterwards. Raises ValueError when it is not a whole one."""
        manifest, precision = _verified(folder)
        self.figures: ModelFigures = {
            "version": manifest["version"],
            "backbone": manifest["backbone"],
            "classes": [one["folder"] for one in manifest["classes"]],
            "precision": precision.name,
            "temperature": precision.temperature,
            "threshold": precision.threshold,
            "logit_threshold": precision.logit_threshold,
        }
        self.drift: DriftFigures = {
            "model": manifest["version"],
            "classes": [one["name"] for one in manifest["classes"]],
            "precisions": {name: one["drift"] for name, one in manifest["precisions"].items()},
        }
        self.preprocess = Preprocess.load(folder / "preprocess.json")
        self._threads = threads
        self._compiled = _compiled(folder, precision, self.preprocess, len(self.classes), threads)
        self.training: TrainingRecord | None = None
        self.training_problem = ""
        try:
            self.training = read_document(folder / TRAINING, TrainingRecord)
        except ValueError as error:
            self.training_problem = str(error)

    @classmethod
    def of_channel(cls, channel: Path, threads: int) -> "Shipped":
        """The model in the channel's model.tar.gz. Raises TrainingError when it cannot be vouched for."""
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            try:
                return cls(unpack(channel, Path(folder)), threads)
            except ValueError as error:
                raise TrainingError(f"the model in {channel} is refused: {' '.join(str(error).split())}") from error

    @property
    def classes(self) -> Sequence[str]:
        """The folders' names by position in the answers."""
        return self.figures["classes"]

    @property
    def limits(self) -> Limits:
        """What makes its answers confident."""
        return Limits(self.figures["threshold"], self.figures["logit_threshold"])

    def answers(self, pictures: Sequence[Picture], log: Log) -> Answers:
        """Shows every picture to the model, one at a time as serving does; labels go with the pictures."""
        local = threading.local()

        def one(picture: Picture) -> tuple[Any, Any]:
            reading = read(picture, self.preprocess)
            if reading.pixels is None:
                return reading, None
            if not hasattr(local, "request"):
                local.request = self._compiled.request()
            pixels = self.preprocess.to_input(reading.pixels)
            return _without_pixels(reading), self._compiled.run(local.request, pixels[None])[0]

        with ThreadPoolExecutor(self._threads, thread_name_prefix="answers") as pool:
            found = list(pool.map(one, pictures))
        log(f"answers: {self.figures['version']} was shown {len(pictures)} files")
        told = [(picture, *outcome) for picture, outcome in zip(pictures, found, strict=True)]
        good = [(picture, found) for picture, _, found in told if found is not None]
        logits = np.array([found for _, found in good], dtype=np.float32).reshape(-1, len(self.classes))
        return Answers(
            pictures=tuple(picture for picture, _ in good),
            probabilities=softmax(logits, self.figures["temperature"]) if good else logits.astype(np.float64),
            logits=logits,
            labels=np.array([picture.label for picture, _ in good], dtype=np.int64),
            bad=tuple(BadFile(picture.name, r.kind, r.reason) for picture, r, found in told if found is None),
            notes={picture.name: reading.notes for picture, reading, _ in told if reading.notes},
            content={picture.name: reading.sha256 for picture, reading, _ in told},
        )


def _without_pixels(reading: Reading) -> Reading:
    """The same, so that not all pictures are held at once."""
    return replace(reading, pixels=None)


def _verified(folder: Path) -> tuple[_Manifest, Precision]:
    """model.json and what serves, once the server would vouch for the folder: what is judged is what can serve."""
    try:
        precision = read_manifest(folder).served("", computes_bf16())
    except ModelRefused as error:
        raise ValueError(str(error)) from error
    manifest = read_document(folder / "model.json", _Manifest)
    if len({one["folder"] for one in manifest["classes"]}) < max(2, len(manifest["classes"])):
        raise ValueError("model.json: two classes at least are needed, and no folder twice")
    return manifest, precision


def _compiled(folder: Path, precision: Precision, preprocess: Preprocess, classes: int, threads: int) -> Compiled:
    """The graph of a precision, for one picture at a time, as serving compiles it."""
    structure, weights = precision.graph
    try:
        graph = for_one(openvino.Core().read_model(folder / structure, folder / weights), preprocess)
        inputs, outputs = graph.inputs, graph.outputs
        if len(inputs) != 1 or inputs[0].get_element_type() != openvino.Type.u8:
            raise ValueError(f"{structure}: the model must have one input, of type uint8")
        if [tuple(output.shape) for output in outputs] != [(1, classes)]:
            raise ValueError(f"{structure}: it must give logits, and nothing else, for {classes} classes")
        return Compiled(graph, threads, precision.arithmetic)
    except RuntimeError as error:
        raise ValueError(f"{structure}: OpenVINO cannot load it: {str(error).strip().splitlines()[-1]}") from error
