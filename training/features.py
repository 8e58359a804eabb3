"""Features: every picture through the frozen backbone once, before any head is trained."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.preprocess import Preprocess
from training.backbones import Backbone
from training.data import Picture
from training.distributed import Group
from training.frozen import MOST_ERROR, Decoded, Network, Outcome, evenly, worst_error
from training.pictures import read, sha256_of, views
from training.shelf import Shelf
from training.usage import Progress

Log = Callable[[str], None]
CHECKED_PICTURES = 32


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
    network  what computed them, and in which precision
    """

    pictures: tuple[Picture, ...]
    values: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    bad: tuple[BadFile, ...]
    notes: dict[str, tuple[str, ...]]
    content: dict[str, str]  # file name -> SHA-256 of its bytes
    network: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The pictures' file names, in order."""
        return tuple(picture.name for picture in self.pictures)


@dataclass(frozen=True)
class _Files:
    """Files that are read when they are asked for, `count` views of each (`training.frozen.Files`)."""

    pictures: Sequence[Picture]
    preprocess: Preprocess
    count: int
    seed: int
    shelf: Shelf

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, position: int) -> Decoded:
        picture = self.pictures[position]
        kept = self._kept(picture) if len(self.shelf) else None
        if kept:
            return Decoded(kept)
        reading = read(picture, self.preprocess)
        if reading.pixels is None:
            return Decoded(Outcome(reading.sha256, (reading.kind, reading.reason)))
        batch = views(picture, reading.pixels, self.preprocess, self.count, self.seed)
        return Decoded(Outcome(reading.sha256, None, reading.notes), batch)

    def _kept(self, picture: Picture) -> Outcome | None:
        """What is known of a picture whose features are on the shelf."""
        try:
            digest = sha256_of(picture)
        except OSError:
            return None  # reading it says the same in the end
        key = self.shelf.key(picture.name, digest)
        return Outcome(digest, None, self.shelf.take(key)[1]) if key in self.shelf else None


@dataclass(frozen=True)
class Extractor:
    """Decodes, draws views and runs the network. Hosts share the pictures of a split.

    kept   a folder in which features outlive this job; what is found there is not computed again
    code   a hash of the code, which kept features depend on as well
    """

    network: Network
    backbone: Backbone
    seed: int
    group: Group
    log: Log
    kept: Path | None = None
    code: str = ""

    def extract(self, split: str, pictures: Sequence[Picture], count: int) -> Features:
        """The features of `pictures`, `count` views of each; every host gets all of them, in this order."""
        own = self.group.share(pictures)
        values = np.zeros((len(own), count, self.backbone.features), dtype=np.float32)
        outcomes = self._work(split, own, values)
        gathered = self.group.gather([astuple(outcome) for outcome in outcomes])
        values = self.group.gather_rows(values, len(pictures))
        ordered = [_outcome(*gathered[n % self.group.world][n // self.group.world]) for n in range(len(pictures))]
        good = [n for n, outcome in enumerate(ordered) if outcome.bad is None]
        pairs = list(zip(pictures, ordered, strict=True))
        return Features(
            pictures=tuple(pictures[n] for n in good),
            values=values if len(good) == len(pictures) else values[good],
            labels=np.array([pictures[n].label for n in good], dtype=np.int64),
            bad=tuple(BadFile(picture.name, *outcome.bad) for picture, outcome in pairs if outcome.bad),
            notes={picture.name: outcome.notes for picture, outcome in pairs if outcome.notes},
            content={picture.name: outcome.sha256 for picture, outcome in pairs},
            network=self.network.name,
        )

    def _work(self, split: str, pictures: Sequence[Picture], values: npt.NDArray[np.float32]) -> list[Outcome]:
        """Fills `values` [pictures, views, features] and says what became of each file."""
        outcomes: list[Outcome] = []
        progress = Progress(f"features: {split}", len(pictures), self.log)
        shelf = self._shelf(values.shape[1])
        files = _Files(pictures, self.backbone.preprocess, values.shape[1], self.seed, shelf)
        computed = 0
        for position, (outcome, found) in enumerate(self.network.run(files)):
            if outcome.bad is None:
                key = shelf.key(pictures[position].name, outcome.sha256)
                values[position] = shelf.take(key)[0] if found is None else found
            if found is not None:
                shelf.put(key, found, outcome.notes)
                computed += 1
            outcomes.append(outcome)
            progress.advance()
        shelf.write()
        if len(shelf):
            good = sum(outcome.bad is None for outcome in outcomes)
            self.log(f"features: {split}: {good - computed} pictures were computed before, {computed} now")
        return outcomes

    def _shelf(self, count: int) -> Shelf:
        """What was computed before just as it would be now."""
        made = [self.code, self.network.name, self.backbone.weights_sha256, asdict(self.backbone.preprocess)]
        return Shelf(self.kept, json.dumps([*made, self.seed, count]), self.log)


def _outcome(sha256: str, bad: Sequence[str] | None, notes: Sequence[str]) -> Outcome:
    """An outcome as it was before it travelled: JSON has no tuples."""
    return Outcome(sha256, (bad[0], bad[1]) if bad else None, tuple(notes))


def agreeing(
    fast: Network | None, exact: Network, pictures: Sequence[Picture], backbone: Backbone, *, group: Group, log: Log
) -> Network:
    """The fast network if on a sample of `pictures` its features are the exact one's but for rounding, on every host.

    Else the exact one, and the log says why.
    """
    if fast is None:
        return exact
    files = _Files(pictures, backbone.preprocess, 1, 0, Shelf(None, "", log))
    batches = [files[n].views for n in evenly(len(pictures), CHECKED_PICTURES)]
    good = [batch for batch in batches if batch is not None]
    error = worst_error(*(network.features(np.concatenate(good)) for network in (fast, exact))) if good else math.inf
    error = max(group.gather(error if math.isfinite(error) else math.inf))
    agree = error <= MOST_ERROR
    taken = fast if agree else exact
    log(
        f"features: {fast.name} is off {exact.name} by at most {error:.2%} on {len(good)} pictures, "
        f"{'within' if agree else 'more than'} {MOST_ERROR:.0%}: training views by {taken.name}"
    )
    return taken
