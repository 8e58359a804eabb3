"""Memory and disk of the embedded AWS over time, and how fast they grow."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from benchmarks.soaking.victims import processes
from benchmarks.soaking.world import World

EVERY_SECONDS = 10.0
YOUNG_SECONDS = 300.0  # a process that has just started still loads what it needs; in a short soak, a sixth of it
KEPT = ("s3", "executions")  # folders of what was asked to be kept


@dataclass(frozen=True)
class Sample:
    """One look. Megabytes resident by kind; of the state on disk what was asked to be kept, and the rest.

    ``life`` counts the emulators, ``age`` is the seconds of the present one.
    """

    at: float
    life: int
    age: float
    emulator_mb: float
    all_mb: float
    by_kind_mb: dict[str, float]
    kept_mb: float
    rest_mb: float
    files: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Slope:
    """A growth an hour, with its standard error."""

    an_hour: float
    error: float


@dataclass
class Samples:
    """Looks every ten seconds."""

    world: World
    seen: list[Sample] = field(default_factory=list)

    @property
    def young(self) -> float:
        """Seconds of an emulator's youth."""
        return min(YOUNG_SECONDS, self.seen[-1].at / 6) if self.seen else YOUNG_SECONDS

    def run(self) -> None:
        """Looks until the soak is over."""
        while not self.world.over.wait(EVERY_SECONDS):
            with contextlib.suppress(psutil.Error, OSError):
                self.look()

    def look(self) -> None:
        """Adds a sample; none while the emulator is down."""
        found = processes(self.world.state)
        if not found["emulator"]:
            return
        emulator = found["emulator"][0]
        memory = {kind: sum(map(_resident_mb, members)) for kind, members in found.items()}
        kept, rest, files = self._disk()
        restarts = [kill.at for kill in self.world.kills if kill.kind == "emulator"]
        self.seen.append(
            Sample(
                at=self.world.seconds(),
                life=len(restarts),
                age=self.world.seconds() - (restarts[-1] if restarts else -1e6),
                emulator_mb=memory["emulator"],
                all_mb=sum(memory.values()),
                by_kind_mb={kind: round(value, 1) for kind, value in memory.items()},
                kept_mb=kept,
                rest_mb=rest,
                files=files,
                descriptors=emulator.num_fds(),
                threads=emulator.num_threads(),
            )
        )

    def _disk(self) -> tuple[float, float, int]:
        """Megabytes that were to be kept, megabytes of all else, and how many files that are not objects there are."""
        kept = rest = files = 0
        for path in self.world.state.rglob("*"):
            with contextlib.suppress(OSError):  # it has just gone
                if not path.is_file():
                    continue
                size = path.stat().st_size
                if path.relative_to(self.world.state).parts[0] in KEPT:
                    kept += size
                else:
                    rest += size
                    files += 1
        return kept / 1e6, rest / 1e6, files

    def grown(self, name: str) -> Slope:
        """How fast a member of Sample grows within the lives of emulators, without their youth."""
        return slope([(one.life, one.at, float(getattr(one, name))) for one in self.seen if one.age > self.young])

    def late(self, name: str, share: float) -> Slope:
        """How fast it grows in the last ``share`` of the time, when what has a bound is full, but for a youth."""
        last = self.seen[-1].at if self.seen else 0.0
        late = [one for one in self.seen if one.at > last * (1 - share) and one.age > self.young]
        return slope([(one.life, one.at, float(getattr(one, name))) for one in late])

    def overall(self, name: str) -> Slope:
        """How fast it grows from beginning to end, restarts and all."""
        return slope([(0, one.at, float(getattr(one, name))) for one in self.seen if one.at > self.young])

    def each(self, minutes: float) -> list[dict[str, float]]:
        """A sample every so many minutes, for the record."""
        rows: list[dict[str, float]] = []
        for one in self.seen:
            if not rows or one.at / 60 - rows[-1]["minute"] >= minutes:
                rows.append(
                    {
                        "minute": round(one.at / 60, 1),
                        "emulator_mb": round(one.emulator_mb, 1),
                        "all_mb": round(one.all_mb, 1),
                        "kept_mb": round(one.kept_mb, 1),
                        "rest_mb": round(one.rest_mb, 1),
                        "files": one.files,
                        "descriptors": one.descriptors,
                        "threads": one.threads,
                    }
                )
        return rows


def _resident_mb(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return float(process.memory_info().rss) / 1e6
    return 0.0


def slope(points: Sequence[tuple[int, float, float]]) -> Slope:
    """The common slope, an hour, of several series (which, seconds, value), each with a level of its own.

    Neighbouring residuals go together, so there are fewer independent points than points: by (1 - r) / (1 + r), where r
    is how closely each follows the one before.
    """
    groups: dict[int, list[tuple[float, float]]] = {}
    for group, at, value in points:
        groups.setdefault(group, []).append((at / 3600, value))
    centred: list[tuple[float, float]] = []
    for members in groups.values():
        at, value = (sum(column) / len(members) for column in zip(*members, strict=True))
        centred += [(x - at, y - value) for x, y in members]
    spread = sum(x * x for x, _ in centred)
    if len(centred) < len(groups) + 3 or not spread:
        return Slope(math.nan, math.nan)
    rise = sum(x * y for x, y in centred) / spread
    left = [y - rise * x for x, y in centred]
    squares = sum(one * one for one in left)
    if not squares:
        return Slope(rise, 0.0)
    follows = min(0.98, max(0.0, sum(a * b for a, b in itertools.pairwise(left)) / squares))
    independent = max(1.0, (len(left) - len(groups) - 1) * (1 - follows) / (1 + follows))
    return Slope(rise, math.sqrt(squares / spread / independent))
