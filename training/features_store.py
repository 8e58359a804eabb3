"""Features on disk: shards of each split, the head to start from, and features.json, which vouches for all of them."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
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
from training.shards import ROWS, Shard, mapped, sha256_of_file, write_shard

FORMAT = 2
MANIFEST = "features.json"
START = "start.safetensors"


class _File(TypedDict):
    """A file and the SHA-256 of its bytes."""

    name: str
    sha256: str


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
    shards: Sequence[_File]


class _Manifest(TypedDict):
    """features.json."""

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
    start: _File


def write_features(folder: Path, extracted: Extracted, data_version: str) -> None:
    """Writes all files into `folder`, the manifest last: without it nothing takes the features."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    content = save(extracted.start.state_dict())
    (folder / START).write_bytes(content)
    manifest = {
        "format": FORMAT,
        **asdict(extracted.origin),
        "classes": extracted.classes,
        "ignored": extracted.ignored,
        "data_version": data_version,
        "splits": {
            split: _document(found) | {"shards": _write_shards(folder, split, found)}
            for split, found in extracted.splits.items()
        },
        "start": {"name": START, "sha256": hashlib.sha256(content).hexdigest()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")


def read_features(folder: Path, pictures: Path = Path()) -> Extracted:
    """What `write_features` wrote, verified; values are mapped from their files, not held (`training.shards.mapped`).

    `pictures` is the data's folder, for who wants to open them. Raises TrainingError when a file lacks or is not what
    was written.
    """
    try:
        manifest = read_document(folder / MANIFEST, _Manifest)
    except ValueError as error:
        raise _refused(str(error)) from error
    if manifest["format"] != FORMAT:
        raise _refused(f"format {manifest['format']} is not {FORMAT}: run the features step of this version")
    if not set(TRAINED) <= set(manifest["splits"]):
        raise _refused(f"{MANIFEST} lacks one of the splits {', '.join(TRAINED)}")
    try:
        _verify(
            folder, [manifest["start"], *(file for split in TRAINED for file in manifest["splits"][split]["shards"])]
        )
        splits = {split: _features(manifest["splits"][split], folder, pictures) for split in TRAINED}
        start = nn.Linear(splits["train"].values.shape[2], len(manifest["classes"]))
        start.load_state_dict(load((folder / START).read_bytes()))
    except OSError as error:
        raise _refused(f"{Path(error.filename or '').name}: {error.strerror}") from error
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise _refused(f"{MANIFEST} and the files do not fit each other ({' '.join(str(error).split())})") from error
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


def _write_shards(folder: Path, split: str, found: Features) -> list[_File]:
    """ROWS pictures a file, in their order."""
    parts = range(0, max(1, len(found.values)), ROWS)
    names = [f"{split}-{number:05}" for number in range(len(parts))]
    written = [write_shard(folder, found.values[n : n + ROWS], name) for n, name in zip(parts, names, strict=True)]
    return [{"name": name, "sha256": digest} for name, digest in written]


def _verify(folder: Path, files: Sequence[_File]) -> None:
    """Reads all files, holding none, some at a time."""
    if odd := [file["name"] for file in files if Path(file["name"]).name != file["name"]]:
        raise ValueError(f"{odd[0]} is no plain name")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = pool.map(lambda file: sha256_of_file(folder / file["name"]), files)
        for file, digest in zip(files, digests, strict=True):
            if digest != file["sha256"]:
                raise _refused(f"{file['name']} is not the file that {MANIFEST} vouches for: its SHA-256 differs")


def _features(split: _Split, folder: Path, root: Path) -> Features:
    names, labels = split["pictures"], np.array(split["labels"], dtype=np.int64)
    values = mapped([Shard.open(folder / file["name"]) for file in split["shards"]])
    if values.ndim != 3 or not len(values) == len(labels) == len(names):
        raise ValueError(f"{len(names)} pictures and {len(labels)} labels for values {tuple(values.shape)}")
    return Features(
        pictures=tuple(Picture(name, root / name, int(label)) for name, label in zip(names, labels, strict=True)),
        values=values,
        labels=labels,
        bad=tuple(BadFile(one["name"], one["kind"], one["reason"]) for one in split["bad_files"]),
        notes={name: tuple(kinds) for name, kinds in split["notes"].items()},
        content=dict(split["files"]),
        network=split["network"],
    )


def _refused(reason: str) -> TrainingError:
    return TrainingError(f"the features cannot be used: {reason}")
