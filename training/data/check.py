"""What a person wants to know about a data set before money is spent on training."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from serving.preprocess import Preprocess
from training.data import SPLITS, TRAINED, DataSet, Picture, scan, version
from training.data.alike import DIFFERENCES, Floats, Link, fingerprint, groups, pairs
from training.errors import TrainingError
from training.pictures import Reading, read, sha256_of
from training.usage import Progress

Log = Callable[[str], None]
Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class File:
    """One file of a split, and what became of it: a `Reading` without its pixels."""

    picture: Picture
    reading: Reading

    @property
    def split(self) -> str:
        """train, valid or test."""
        return self.picture.name.partition("/")[0]

    @property
    def short_side(self) -> int:
        """Of the stored picture, pixels; 0 when it is bad."""
        return min(self.reading.size or (0, 0))


@dataclass(frozen=True)
class Copies:
    """Two files or more that show the same. `likeness` is the correlation of what they show; 1.0: the same bytes."""

    files: tuple[File, ...]
    likeness: float

    @property
    def same_bytes(self) -> bool:
        """Whether the files are equal, not only what they show."""
        return len({file.reading.sha256 for file in self.files}) == 1

    @property
    def leak(self) -> bool:
        """Whether they lie in several splits: what is to judge the training has been seen by it."""
        return len({file.split for file in self.files}) > 1

    @property
    def conflict(self) -> bool:
        """Whether they lie in several classes: one of the labels is wrong."""
        return len({file.picture.label for file in self.files}) > 1


@dataclass(frozen=True)
class Findings:
    """What was found. `input_size` is the side of the model's input, pixels."""

    dataset: DataSet
    files: tuple[File, ...]
    copies: tuple[Copies, ...]
    input_size: int

    @cached_property
    def good(self) -> tuple[File, ...]:
        """The files that training would use."""
        return tuple(file for file in self.files if not file.reading.kind)

    @cached_property
    def bad(self) -> tuple[File, ...]:
        """The files that training would refuse."""
        return tuple(file for file in self.files if file.reading.kind)

    @property
    def leaks(self) -> tuple[Copies, ...]:
        """Copies across splits."""
        return tuple(copies for copies in self.copies if copies.leak)

    @property
    def conflicts(self) -> tuple[Copies, ...]:
        """Copies under several classes."""
        return tuple(copies for copies in self.copies if copies.conflict)

    @property
    def repeated(self) -> tuple[Copies, ...]:
        """Copies within one class of one split: they only weigh more than others."""
        return tuple(copies for copies in self.copies if not copies.leak and not copies.conflict)

    @property
    def small(self) -> tuple[File, ...]:
        """Pictures that are enlarged more than twice for the model, the smallest first."""
        found = (file for file in self.good if file.short_side * 2 < self.input_size)
        return tuple(sorted(found, key=lambda file: file.short_side))

    @cached_property
    def counts(self) -> dict[str, tuple[int, ...]]:
        """Good pictures by split and then by class, in the order of the classes."""
        found = {split: [0] * len(self.dataset.classes) for split in SPLITS}
        for file in self.good:
            found[file.split][file.picture.label] += 1
        return {split: tuple(numbers) for split, numbers in found.items()}

    @property
    def lacking(self) -> tuple[str, ...]:
        """What is missing, each in a sentence: a split without a good picture, a class that nothing is learnt about."""
        empty = tuple(f"{split}/ holds no usable picture" for split in SPLITS if not any(self.counts[split]))
        if "train/ holds no usable picture" in empty:
            return empty
        unknown = (name for name, count in zip(self.dataset.classes, self.counts["train"], strict=True) if not count)
        return (*empty, *(f"train/ holds no usable picture of {name}" for name in unknown))

    @property
    def version(self) -> str | None:
        """As `data_version` says it; None when a file could not be read at all."""
        content = {file.picture.name: file.reading.sha256 for file in self.files if file.split in TRAINED}
        return version(content) if all(content.values()) else None

    @property
    def ready(self) -> bool:
        """Whether nothing was found that would spoil training or its evaluation."""
        return not (self.lacking or self.bad or self.leaks or self.conflicts)


def check(root: Path, preprocess: Preprocess, least: float, log: Log) -> Findings:
    """Reads every file of the data set below `root`, as training would, and compares what the pictures show.

    least   from which correlation on two pictures are taken for copies; 1: only those of equal bytes

    Raises TrainingError when the folders are not a data set.
    """
    dataset = scan_folder(root)
    pictures = [picture for split in SPLITS for picture in dataset.splits[split]]
    fingerprints = np.zeros((len(pictures), DIFFERENCES), dtype=np.float32)

    def one(position: int) -> File:
        reading = read(pictures[position], preprocess)
        if reading.pixels is not None:
            fingerprints[position] = fingerprint(reading.pixels)
        return File(pictures[position], replace(reading, pixels=None))

    files = tuple(_in_threads(one, range(len(pictures)), "read", log))
    return Findings(dataset, files, tuple(_copies(files, fingerprints, least, log)), preprocess.size)


def data_version(root: Path, log: Log) -> str:
    """The data version of the data set below `root`, as training states it in model.json and training.json.

    The files of train/ and valid/ count, usable or not; those of test/ do not, because training never opens them, nor
    does what is left aside, such as .DS_Store. Raises TrainingError when a file cannot be read.
    """
    dataset = scan_folder(root)
    pictures = [picture for split in TRAINED for picture in dataset.splits[split]]

    def one(picture: Picture) -> tuple[str, str]:
        try:
            return picture.name, sha256_of(picture)
        except OSError as error:
            raise TrainingError(f"{picture.path} cannot be read: {error.strerror or error}") from error

    return version(dict(_in_threads(one, pictures, "hashed", log)))


def scan_folder(root: Path) -> DataSet:
    """`scan`, which a person has pointed at a folder. Raises TrainingError, also when it is none."""
    if not root.is_dir():
        raise TrainingError(f"{root} is not a folder")
    return scan(root)


def _in_threads(work: Callable[[Thing], Answer], things: Sequence[Thing], what: str, log: Log) -> Iterator[Answer]:
    """What `work` makes of each of `things`, in their order, on all cores."""
    progress = Progress(what, len(things), log)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="data") as pool:
        for answer in pool.map(work, things):
            progress.advance()
            yield answer


def _copies(files: Sequence[File], fingerprints: Floats, least: float, log: Log) -> Iterator[Copies]:
    """Groups of good files that show the same; `fingerprints` [files, DIFFERENCES]."""
    alike = _links(files, fingerprints, least, log)
    for members, likeness in groups(len(files), alike).items():
        yield Copies(tuple(files[position] for position in members), likeness)


def _links(files: Sequence[File], fingerprints: Floats, least: float, log: Log) -> Iterator[Link]:
    """Which two good files are copies: of equal bytes each with the first, of others those that look the same."""
    first: dict[str, int] = {}
    for position, file in enumerate(files):
        if file.reading.kind:
            continue
        known = first.setdefault(file.reading.sha256, position)
        if known != position:
            yield known, position, 1.0
    if least < 1:
        distinct = list(first.values())
        progress = Progress("compared", len(distinct), log)
        for one, other, likeness in pairs(fingerprints[distinct], least, progress.advance):
            yield distinct[one], distinct[other], likeness
