"""The model directory: what model.json says, checked against what lies beside it, before anything is loaded."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.preprocess import Preprocess

FORMAT = 3
NEEDED = ("model.xml", "model.bin", "preprocess.json")


class ModelRefused(Exception):  # noqa: N818
    """The model directory is not one this server can vouch for; the message is one clear line."""


@dataclass(frozen=True)
class Manifest:
    """A verified model directory.

    `classes` are the names by position in the logits. A probability is softmax(logits / temperature); an answer is
    confident when the highest one reaches `threshold` and the highest logit reaches `logit_threshold`.
    """

    directory: Path
    version: str
    classes: tuple[str, ...]
    temperature: float
    threshold: float
    logit_threshold: float
    preprocess: Preprocess


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
        return Manifest(
            directory=folder,
            version=_text(document, "version"),
            classes=_classes(document),
            temperature=_number(document, "temperature", low=1e-6, high=1e6),
            threshold=_number(document, "threshold", low=0.0, high=1.0),
            logit_threshold=_number(document, "logit_threshold", low=-1e6, high=1e6),
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
