"""Features on disk: features.safetensors and, vouching for it, features.json."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn

from training.data import TRAINED, DataSet, Picture, quoted
from training.distributed import Group
from training.errors import TrainingError
from training.extracted import Extracted, Origin
from training.features import BadFile, Features
from training.pictures import sha256_of
from training.report_shape import BadFileFigures
from training.shapes import read_document

FORMAT = 2
MANIFEST = "features.json"
TENSORS = "features.safetensors"


class _Split(TypedDict):
    """One split. `files` are all, with the SHA-256 of their bytes; `pictures` those with features, in their order.

    `network` says what computed them and in which precision: a fact about the machine, not something a job asks for.
    """

    files: Mapping[str, str]
    pictures: Sequence[str]
    labels: Sequence[int]
    bad_files: Sequence[BadFileFigures]
    notes: Mapping[str, Sequence[str]]
    network: str


class _Manifest(TypedDict):
    """features.json. `tensors_sha256` is that of features.safetensors."""

    format: int
    backbone: str
    backbone_sha256: str
    preprocess: Mapping[str, Any]
    views: int
    seed: int
    classes: Sequence[str]
    ignored: Sequence[str]
    data_version: str
    splits: Mapping[str, _Split]
    tensors_sha256: str


def write_features(folder: Path, extracted: Extracted, data_version: str) -> None:
    """Writes both files into `folder`, the manifest last: without it nothing takes the features."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    tensors = {f"{split}.values": torch.from_numpy(found.values) for split, found in extracted.splits.items()}
    tensors |= {f"start.{name}": value for name, value in extracted.start.state_dict().items()}
    content = save(tensors)
    (folder / TENSORS).write_bytes(content)
    manifest = {
        "format": FORMAT,
        **asdict(extracted.origin),
        "classes": extracted.classes,
        "ignored": extracted.ignored,
        "data_version": data_version,
        "splits": {split: _document(found) for split, found in extracted.splits.items()},
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")


def read_features(folder: Path, pictures: Path = Path()) -> Extracted:
    """What `write_features` wrote, verified. `pictures` is the data's folder, for who wants to open them.

    Raises TrainingError when a file lacks or is not what was written.
    """
    try:
        manifest = read_document(folder / MANIFEST, _Manifest)
    except ValueError as error:
        raise _refused(str(error)) from error
    if manifest["format"] != FORMAT:
        raise _refused(f"format {manifest['format']} is not {FORMAT}: run the features step of this version")
    tensors = _tensors(folder / TENSORS, manifest["tensors_sha256"])
    if not set(TRAINED) <= set(manifest["splits"]):
        raise _refused(f"{MANIFEST} lacks one of the splits {', '.join(TRAINED)}")
    try:
        splits = {
            split: _features(manifest["splits"][split], tensors[f"{split}.values"], pictures) for split in TRAINED
        }
        start = nn.Linear(splits["train"].values.shape[2], len(manifest["classes"]))
        start.load_state_dict({name: tensors[f"start.{name}"] for name in ("weight", "bias")})
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise _refused(f"{TENSORS} and {MANIFEST} do not fit each other ({' '.join(str(error).split())})") from error
    origin = Origin(**{field.name: manifest[field.name] for field in fields(Origin)})  # type: ignore[literal-required]
    return Extracted(origin, tuple(manifest["classes"]), tuple(manifest["ignored"]), splits, start)


def require_origin(extracted: Extracted, wanted: Origin) -> None:
    """Raises TrainingError unless the features were made as `wanted`, naming each difference."""
    found, asked = asdict(extracted.origin), asdict(wanted)
    differences = [f"{name} is {found[name]}, not {asked[name]}" for name in asked if found[name] != asked[name]]
    if differences:
        raise _refused(f"they were made otherwise than this job wants them: {'; '.join(differences)}")


def require_same_pictures(extracted: Extracted, dataset: DataSet, group: Group, log: Callable[[str], None]) -> None:
    """Raises TrainingError unless the features are those of `dataset`, by name and content. Hosts share the reading."""
    stored = {name: digest for found in extracted.splits.values() for name, digest in found.content.items()}
    listed = {picture.name: picture for split in TRAINED for picture in dataset.splits[split]}
    odd = sorted(stored.keys() ^ listed.keys())
    if extracted.classes == dataset.classes and not odd:
        own = group.share(sorted(name for name, digest in stored.items() if digest))
        changed = [name for name in own if _sha256(listed[name]) != stored[name]]
        odd = sorted(name for part in group.gather(changed) for name in part)
    if extracted.classes != dataset.classes or odd:
        first = f": {len(odd)} files differ, the first is {quoted(odd[0])}" if odd else ": the classes differ"
        raise _refused(f"they are of other pictures than those in the channel 'training'{first}")
    log(f"features: of the same {len(listed)} files that the channel 'training' holds")


def _sha256(picture: Picture) -> str:
    try:
        return sha256_of(picture)
    except OSError:
        return ""


def _document(found: Features) -> dict[str, Any]:
    return {
        "files": found.content,
        "pictures": found.names,
        "labels": found.labels.tolist(),
        "bad_files": [asdict(file) for file in found.bad],
        "notes": found.notes,
        "network": found.network,
    }


def _tensors(path: Path, digest: str) -> dict[str, torch.Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _refused(f"{path.name}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise _refused(f"{path.name} is not the file that {MANIFEST} vouches for: its SHA-256 differs")
    return load(content)


def _features(split: _Split, values: torch.Tensor, root: Path) -> Features:
    names, labels = split["pictures"], np.array(split["labels"], dtype=np.int64)
    if values.ndim != 3 or not len(values) == len(labels) == len(names):
        raise ValueError(f"{len(names)} pictures and {len(labels)} labels for values {tuple(values.shape)}")
    return Features(
        pictures=tuple(Picture(name, root / name, int(label)) for name, label in zip(names, labels, strict=True)),
        values=values.numpy(),
        labels=labels,
        bad=tuple(BadFile(one["name"], one["kind"], one["reason"]) for one in split["bad_files"]),
        notes={name: tuple(kinds) for name, kinds in split["notes"].items()},
        content=dict(split["files"]),
        network=split["network"],
    )


def _refused(reason: str) -> TrainingError:
    return TrainingError(f"the features cannot be used: {reason}")
