"""Features: every picture through the frozen backbone once, before any head is trained."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.backbones import Backbone
from training.data import Picture
from training.distributed import Group
from training.engine import Compiled
from training.pictures import read, views
from training.usage import Progress

Log = Callable[[str], None]


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Features:
    """The features of one split's good pictures.

    values   float32 [pictures, views, features]
    labels   int64 [pictures]
    """

    pictures: tuple[Picture, ...]
    values: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    bad: tuple[BadFile, ...]
    notes: dict[str, tuple[str, ...]]
    content: dict[str, str]  # file name -> SHA-256 of its bytes

    @property
    def names(self) -> tuple[str, ...]:
        """The pictures' file names, in order."""
        return tuple(picture.name for picture in self.pictures)


@dataclass(frozen=True)
class _Outcome:
    """What one file gave; it travels between hosts, the features themselves do so apart."""

    sha256: str
    bad: tuple[str, str] | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Extractor:
    """Decodes, draws views and runs the backbone, one core per thread. Hosts share the pictures of a split."""

    compiled: Compiled
    backbone: Backbone
    threads: int
    seed: int
    group: Group
    log: Log

    def extract(self, split: str, pictures: Sequence[Picture], count: int) -> Features:
        """The features of `pictures`, `count` views of each; every host gets all of them, in this order."""
        own = self.group.share(pictures)
        values = np.zeros((len(own), count, self.backbone.features), dtype=np.float32)
        outcomes = self._work(split, own, values)
        gathered = self.group.gather(outcomes)
        values = self.group.gather_rows(values, len(pictures))
        ordered: list[_Outcome] = [gathered[n % self.group.world][n // self.group.world] for n in range(len(pictures))]
        good = [n for n, outcome in enumerate(ordered) if outcome.bad is None]
        pairs = list(zip(pictures, ordered, strict=True))
        return Features(
            pictures=tuple(pictures[n] for n in good),
            values=values if len(good) == len(pictures) else values[good],
            labels=np.array([pictures[n].label for n in good], dtype=np.int64),
            bad=tuple(BadFile(picture.name, *outcome.bad) for picture, outcome in pairs if outcome.bad),
            notes={picture.name: outcome.notes for picture, outcome in pairs if outcome.notes},
            content={picture.name: outcome.sha256 for picture, outcome in pairs},
        )

    def _work(self, split: str, pictures: Sequence[Picture], values: npt.NDArray[np.float32]) -> list[_Outcome]:
        """Fills `values` [pictures, views, features] and says what became of each file."""
        local = threading.local()
        count, preprocess = values.shape[1], self.backbone.preprocess

        def one(position: int) -> _Outcome:
            picture = pictures[position]
            reading = read(picture, preprocess)
            if reading.pixels is None:
                return _Outcome(reading.sha256, (reading.kind, reading.reason), ())
            batch = views(picture, reading.pixels, preprocess, count, self.seed)
            if not hasattr(local, "request"):
                local.request = self.compiled.request()
            values[position] = self.compiled.run(local.request, batch)
            return _Outcome(reading.sha256, None, reading.notes)

        outcomes: list[_Outcome] = []
        progress = Progress(f"features: {split}", len(pictures), self.log)
        with ThreadPoolExecutor(self.threads, thread_name_prefix="features") as pool:
            for outcome in pool.map(one, range(len(pictures))):
                outcomes.append(outcome)
                progress.advance()
        return outcomes
