"""The pictures that training is measured on: a folder of one's own, or drawn dogs as large as photographs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims import ROOT
from training.data import SPLITS, DataSet, Picture, scan

SHORT_SIDE = ("330", "390")  # pixels; with the longer side about 450 x 360 on average, as in public sets of dogs


@dataclass(frozen=True)
class Pictures:
    """A data set, and the folder it lies in."""

    found: DataSet
    folder: Path
    drawn: bool

    @property
    def sizes(self) -> dict[str, int]:
        """Pictures by split."""
        return {split: len(self.found.splits[split]) for split in SPLITS}

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.sizes.items())
        return f"{'drawn dogs' if self.drawn else 'DATA'}: {len(self.found.classes)} classes, {counts}"

    def first(self, split: str, each: int) -> list[Picture]:
        """The first pictures of every class."""
        classes = range(len(self.found.classes))
        of_class = ([one for one in self.found.splits[split] if one.label == label] for label in classes)
        return [picture for pictures in of_class for picture in pictures[:each]]

    def linked(self, target: Path, each: Mapping[str, int]) -> Path:
        """A data set in `target` of links to the first pictures of every class: `each` of each split."""
        for split, count in each.items():
            for picture in self.first(split, count):
                link = target / split / self.found.classes[picture.label] / picture.path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(picture.path.resolve())
        return target


def pictures(scratch: Path) -> Pictures:
    """Those of the folder that DATA names; without it dogs, drawn into `scratch`."""
    return _of(os.environ.get("DATA"), scratch)


def photographs(scratch: Path) -> Pictures:
    """The same, and without DATA the development photographs where they lie beside the checkout."""
    beside = ROOT.parent / "shared" / "data" / "dogs"
    return _of(os.environ.get("DATA") or (str(beside) if beside.is_dir() else None), scratch)


def _of(named: str | None, scratch: Path) -> Pictures:
    folder = Path(named).resolve() if named else scratch / "dogs"
    if not named:
        command = [sys.executable, "-m", "tools.draw_dogs", str(folder), "--short-side", *SHORT_SIDE]
        subprocess.run(command, cwd=ROOT, check=True)
    return Pictures(scan(folder), folder, not named)
