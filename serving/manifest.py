"""The model directory: what model.json says, checked against what lies beside it, before anything is loaded."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.preprocess import Preprocess

FORMAT = 4
NEEDED = ("model.xml", "model.bin", "preprocess.json")
# The fastest first. The one graph serves f32 and bf16; int8 has its own.
PRECISIONS = ("int8", "bf16", "f32")
INT8_GRAPH = ("int8.xml", "int8.bin")


class ModelRefused(Exception):  # noqa: N818
    """The model directory is not one this server can vouch for; the message is one clear line."""


@dataclass(frozen=True)
class Precision:
    """One precision that the model was validated in, with the calibration for it.

    A probability is softmax(logits / temperature); an answer is confident when the highest one reaches `threshold` and
    the highest logit reaches `logit_threshold`.
    """

    name: str
    temperature: float
    threshold: float
    logit_threshold: float

    @property
    def graph(self) -> tuple[str, str]:
        """The files of the graph that is computed: structure and weights."""
        return INT8_GRAPH if self.name == "int8" else ("model.xml", "model.bin")

    @property
    def arithmetic(self) -> str:
        """What OpenVINO is told to compute in; of the int8 graph, what is not quantized."""
        return "bf16" if self.name == "bf16" else "f32"


@dataclass(frozen=True)
class Manifest:
    """A verified model directory: its classes by position in the logits, the precisions it was validated in.

    precision   the one of `precisions` that training chose; f32 is always among them
    """

    directory: Path
    version: str
    classes: tuple[str, ...]
    precision: str
    precisions: Mapping[str, Precision]
    preprocess: Preprocess

    def served(self, wanted: str, computes_bf16: bool) -> Precision:
        """The precision to compute in: `wanted`, or by "" the chosen one; f32 in place of bf16 where the CPU lacks it.

        Raises `ModelRefused` for one that was not validated.
        """
        name = wanted or self.precision
        if name not in self.precisions:
            known = ", ".join(self.precisions)
            raise ModelRefused(f"{self.directory / 'model.json'}: {name} is not a precision of this model, {known} are")
        return self.precisions["f32" if name == "bf16" and not computes_bf16 else name]


def read_manifest(directory: str | Path) -> Manifest:
    """Reads model.json and preprocess.json and compares every listed file with its SHA-256. Raises `ModelRefused`."""
    folder = Path(directory)
    path = folder / "model.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelRefused(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelRefused(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelRefused(f"{path} is not a JSON object")
    if document.get("format") != FORMAT:
        raise ModelRefused(f"{path}: format {document.get('format')!r} is not {FORMAT}, the one this server knows")
    _check_files(folder, document.get("files"))
    try:
        precisions = _precisions(document)
        return Manifest(
            directory=folder,
            version=_text(document, "version"),
            classes=_classes(document),
            precision=_chosen(document, precisions),
            precisions=precisions,
            preprocess=Preprocess.load(folder / "preprocess.json"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelRefused(f"{path}: {' '.join(str(error).split())}") from error


def _check_files(folder: Path, files: Any) -> None:
    if not isinstance(files, dict):
        raise ModelRefused(f"{folder / 'model.json'}: it lists no files")
    for name in NEEDED:
        if name not in files:
            raise ModelRefused(f"{folder / 'model.json'}: {name} is not listed in files")
    for name, expected in files.items():
        if not name or name != Path(name).name:
            raise ModelRefused(f"{folder / 'model.json'}: {name!r} is not the name of a file beside it")
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelRefused(f"{folder / name}: {error.strerror}") from error
        if found != expected:
            raise ModelRefused(f"{folder / name} is not the file that model.json describes: its SHA-256 is {found}")


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    return value


def _number(document: dict[str, Any], name: str, low: float, high: float) -> float:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is not a number")
    if not low <= value <= high:
        raise ValueError(f"{name} {value} is not between {low} and {high}")
    return float(value)


def _precisions(document: dict[str, Any]) -> dict[str, Precision]:
    entries = document.get("precisions")
    if not isinstance(entries, dict) or "f32" not in entries or not set(entries) <= set(PRECISIONS):
        raise ValueError(f"precisions must tell of f32, and of none but {', '.join(PRECISIONS)}")
    found = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise ValueError(f"precisions: {name} is not a JSON object")  # noqa: TRY004 - the document is wrong
        found[name] = Precision(
            name,
            temperature=_number(entry, "temperature", low=1e-6, high=1e6),
            threshold=_number(entry, "threshold", low=0.0, high=1.0),
            logit_threshold=_number(entry, "logit_threshold", low=-1e6, high=1e6),
        )
        missing = [file for file in found[name].graph if file not in document["files"]]
        if missing:
            raise ValueError(f"{missing[0]} is not listed in files, and precision {name} needs it")
    return found


def _chosen(document: dict[str, Any], precisions: Mapping[str, Precision]) -> str:
    name = _text(document, "precision")
    if name not in precisions:
        raise ValueError(f"precision {name!r} is none of precisions")
    return name


def _classes(document: dict[str, Any]) -> tuple[str, ...]:
    entries = document.get("classes")
    if not isinstance(entries, list) or not entries:
        raise ValueError("classes are missing")
    if [entry["index"] for entry in entries] != list(range(len(entries))):
        raise ValueError("classes are not numbered from 0 upwards")
    names = tuple(entry["name"] for entry in entries)
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError("a class has no name")
    return names
