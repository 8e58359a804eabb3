"""Looking at a training data set in S3 (`train/ valid/ test/`, one folder a class) without downloading it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kennel import images, objects
from kennel.errors import InvalidRun
from kennel.s3uri import S3Uri

_REQUIRED = ("train", "valid")
_SPLITS = (*_REQUIRED, "test")
_MAX_SMOKE_BYTES = 4_500_000  # what classify takes
_SMOKE_TRIES = 5
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was found: `pictures` counts all splits, `of_split` each one's, `classes` those of train/.

    `version` is one hash of every picture's name, size and ETag; `judged` is the split that a model is judged on:
    test, or valid when there is no test picture.
    """

    folder: S3Uri
    pictures: int
    classes: int
    smoke_picture: S3Uri
    version: str
    judged: str
    of_split: Mapping[str, int]


@dataclass(slots=True)
class _Split:
    pictures_of: Counter[str] = field(default_factory=Counter)  # class folder -> pictures
    sizes: list[tuple[int, str]] = field(default_factory=list)  # (bytes, key)
    lines: list[str] = field(default_factory=list)  # what identifies each picture


def inspect(client: Any, folder: S3Uri) -> Dataset:
    """Count the pictures of `folder` and find one for the smoke test. Raises InvalidRun with all that is wrong."""
    splits = {name: _read_split(client, folder, name) for name in _SPLITS}
    problems = _problems(folder, splits)
    smoke = None if problems else _smoke_picture(client, folder, [*splits["test"].sizes], [*splits["valid"].sizes])
    if smoke is None:
        raise InvalidRun(
            problems or [f"data: {folder} has no readable test or valid picture of at most {_MAX_SMOKE_BYTES} bytes"]
        )
    of_split = {name: split.pictures_of.total() for name, split in splits.items()}
    lines = sorted(line for split in splits.values() for line in split.lines)
    version = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    judged = "test" if splits["test"].sizes else "valid"
    classes = len(splits["train"].pictures_of)
    return Dataset(folder, sum(of_split.values()), classes, smoke, version, judged, of_split)


def _read_split(client: Any, folder: S3Uri, name: str) -> _Split:
    split = _Split()
    prefix = f"{folder.key}{name}/"
    for item in objects.listed(client, S3Uri(folder.bucket, prefix)):
        key, size, etag = item["Key"], item["Size"], item.get("ETag", "")
        parts = key[len(prefix) :].split("/")
        # a picture is CLASS/NAME; what lies elsewhere, folder markers and hidden files are not
        if len(parts) == 2 and all(parts) and not parts[1].startswith("."):
            split.pictures_of[parts[0]] += 1
            split.sizes.append((size, key))
            split.lines.append(f"{key[len(folder.key) :]}\t{size}\t{etag}")
    return split


def _problems(folder: S3Uri, splits: dict[str, _Split]) -> list[str]:
    missing = [
        f"data: {folder}{name}/ has no picture in a class folder" for name in _REQUIRED if not splits[name].pictures_of
    ]
    if missing:
        return missing
    train = set(splits["train"].pictures_of)
    problems = [f"data: {folder}train/ has one class only, {min(train)}"] if len(train) < 2 else []
    for name in _SPLITS[1:]:
        classes = set(splits[name].pictures_of)
        problems += _difference(f"data: {folder}{name}/ has classes that train/ lacks", classes - train)
        if name in _REQUIRED:
            problems += _difference(f"data: {folder}{name}/ lacks classes of train/", train - classes)
    return problems


def _difference(sentence: str, classes: set[str]) -> list[str]:
    if not classes:
        return []
    more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
    return [f"{sentence}: {', '.join(sorted(classes)[:_SHOWN])}{more}"]


def _smoke_picture(client: Any, folder: S3Uri, *candidates: list[tuple[int, str]]) -> S3Uri | None:
    """A picture that an endpoint must be able to answer, of the first split that has one.

    Data sets hold broken files. The picture of middle size is neither a stub nor a giant, and its first bytes must be
    those of a picture.
    """
    for sizes in candidates:
        fitting = sorted((size, key) for size, key in sizes if images.HEADER_BYTES <= size <= _MAX_SMOKE_BYTES)
        if not fitting:
            continue
        middle = fitting[len(fitting) // 2][0]
        for _, key in sorted(fitting, key=lambda item: abs(item[0] - middle))[:_SMOKE_TRIES]:
            head = client.get_object(Bucket=folder.bucket, Key=key, Range=f"bytes=0-{images.HEADER_BYTES - 1}")[
                "Body"
            ].read()
            if images.sniff(head):
                return S3Uri(folder.bucket, key)
    return None
