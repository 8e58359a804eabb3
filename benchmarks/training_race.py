"""Ten trials of five epochs, and two of one: the baseline's way and ours, on the same pictures; time, and accuracy.

The baseline (benchmarks/baseline) pushes every picture through its frozen network in every epoch of every trial. Ours
computes features once (training/extract.py) and searches on them (training/tune.py) within the baseline's ranges; its
time is that of both processes, from start to end. The races against the clock:

- ResNet-50 on both sides, ours as the product runs it by OpenVINO, training views in bf16 where the processor has it,
  else in f32; and in the other precision. Both have the same random weights: no package carries pretrained ones, and a
  convolution takes as long whatever its weights.
- The same engine: eager torch in f32 on both sides, so that only the order of the work differs. Ours is the product's
  extractor with torch in OpenVINO's place. (The other way round is no choice: OpenVINO has no BatchNorm in training
  mode, as the baseline's is.)
- Each with its own default network, ResNet-50 against EfficientNet-lite0: what a user sees, not like against like.

The baseline's search would take more than an hour. Its cost per picture is measured on a part of the pictures, in two
sizes that show whether it is constant (the lower counts), and multiplied by the pictures x epochs x trials that it
would process. Ours is likewise extrapolated where its engine is not the product's, and for ResNet-50's five views,
which take minutes in f32; one view is run whole, so that `details` shows how far extrapolation is off. The search on
five views is timed for real, on the one view five times over. Extrapolated figures say so, and `details` holds what was
measured.

On a machine without AMX the goals on ResNet-50 are missed, and not for want of speed around the network: as
benchmarks/feature_speed.py shows, the network takes nearly all of the time of the features and runs at the machine's
own matrix throughput. Ours pushes 4,200 views through it (five views) or 1,000 (one) where the baseline pushes 52,000;
the rest of the ratio is the engine's. Two trials of one epoch are 2,400 against 1,000: there the engine is nearly all.

Accuracy is raced with EfficientNet-lite0 and its ImageNet weights on both sides, nothing extrapolated. The baseline
gets what it does not have by itself: three epochs, and the best of them. Ours has as many. One trial each, or it would
take a quarter of an hour: the baseline's is the first that its tuning draws, ours the first that our search tries.

The pictures are drawn dogs or, with DATA=folder, one's own.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.baseline import tuning
from benchmarks.baseline.hpo import Settings
from benchmarks.claims import Claim, claim, record, rounded
from benchmarks.parts import accuracy, extraction, jobs
from benchmarks.parts.pictures import Pictures, pictures
from training.features_store import read_features, write_features

BASELINES, OURS = "resnet50", accuracy.BACKBONE  # networks
LARGE, SMALL = (10, 5), (2, 1)  # trials, epochs
VIEWS = 5
PARTS = ({"train": 2, "valid": 1, "test": 1}, {"train": 4, "valid": 2, "test": 2})  # pictures of each class
VIEWED = 2  # training pictures of each class that ours is measured on where it is extrapolated
BATCH = 64  # of the baseline where its speed is measured
REPEATS = 3  # of our searches on the baseline's network, which take seconds


@dataclass(frozen=True)
class Cost:
    """Seconds of the baseline: of starting and ending a trial, and of one picture in each phase."""

    start: float
    train: float
    valid: float
    test: float

    @classmethod
    def of(cls, trial: tuning.Trial) -> Cost:
        """From what a trial logged of its last epoch: in the first, torch also prepares its kernels."""
        passes = {one.phase: one for one in trial.passes}
        train, valid, test = (passes[phase].seconds / passes[phase].pictures for phase in ("train", "valid", "Testing"))
        return cls(trial.seconds - sum(one.seconds for one in trial.passes), train, valid, test)

    @classmethod
    def lowest(cls, costs: Sequence[Cost]) -> Cost:
        """The lower of each figure, so that what disturbed a measurement does not count against the baseline."""
        return cls(*(min(figures) for figures in zip(*map(astuple, costs), strict=True)))

    def of_search(self, sizes: dict[str, int], trials: int, epochs: int) -> float:
        """A whole search with so many pictures of each split."""
        epoch = sizes["train"] * self.train + sizes["valid"] * self.valid
        return trials * (self.start + epochs * epoch + sizes["test"] * self.test)


@dataclass(frozen=True)
class Speed:
    """Seconds of our features job on an engine of one's choice: until it can begin, and of one view by `views`."""

    start: float
    view: dict[int, float]

    def of_features(self, sizes: dict[str, int], views: int) -> float:
        """The features of a data set; validation pictures have one view."""
        return self.start + sizes["train"] * views * self.view[views] + sizes["valid"] * self.view[1]


class Race:
    """One data set, and a folder for all that is made of it."""

    def __init__(self, raced: Pictures, scratch: Path) -> None:
        self.pictures, self._scratch = raced, scratch
        self._began = time.monotonic()
        self._resnet50 = extraction.resnet50(scratch / "weights")

    def say(self, what: str) -> None:
        """One line of progress."""
        print(f"{time.monotonic() - self._began:4.0f} s  {what}", flush=True)

    def baseline_costs(self, device: str = "cpu") -> list[Cost]:
        """What the baseline takes on each of PARTS; on another `device` its defect 4 is mended."""
        costs = []
        for number, part in enumerate(PARTS):
            self.say(f"the baseline on {part} pictures of each class, on {device}")
            data = self.pictures.linked(self._scratch / f"race-{device}-{number}", part)
            settings = Settings(0.01, BATCH, epochs=2, all_epochs=True, backbone=BASELINES, device=device)
            costs.append(Cost.of(tuning.run(data, self._scratch / "baseline", settings)))
        return costs

    def features(self, backbone: str, views: int) -> jobs.Done:
        """Ours: the features job."""
        self.say(f"our features: {backbone}, views: {views}")
        channels = {"training": self.pictures.folder, "pretrained": self._scratch / "weights"}
        folder = self._scratch / f"{backbone}-{views}"
        return jobs.run("extract", folder, channels, backbone=backbone, views=views)

    def precision(self, features: jobs.Done) -> str:
        """What the job took for training views: bf16 where the processor has it, else f32."""
        return read_features(features.folder).splits["train"].network.rpartition(" ")[2]

    def search(self, features: jobs.Done, trials: int, epochs: int, repeats: int) -> float:
        """Ours: the median seconds of a search on those features."""
        self.say(f"our search on {features.folder.name}: {trials} trials x {epochs} epochs, repeats: {repeats}")
        folder = self._scratch / "search"
        return statistics.median(accuracy.search(folder, features, trials, epochs).seconds for _ in range(repeats))

    def repeated(self, features: jobs.Done) -> jobs.Done:
        """One view's features as if there were VIEWS: a search has as much to do with them."""
        found = read_features(features.folder)
        train = replace(found.splits["train"], values=found.splits["train"].values.repeat(VIEWS, axis=1))
        folder = self._scratch / "repeated"
        write_features(folder, replace(found, splits=found.splits | {"train": train}), "repeated")
        return replace(features, folder=folder)

    def speed(self, engine: str, process: float) -> Speed:
        """Ours on another engine. `process` is what a process takes until the engine is made."""
        self.say(f"our extractor on {engine}")
        began = time.perf_counter()
        extractor = extraction.extractor(self._resnet50, extraction.network(self._resnet50, engine))
        start = process + time.perf_counter() - began
        some = self.pictures.first("train", VIEWED)
        with extraction.one_thread():
            return Speed(start, {n: extraction.seconds(extractor, some, n) / (len(some) * n) for n in (VIEWS, 1)})


def times(race: Race, features: dict[tuple[str, int], jobs.Done]) -> tuple[list[Claim], dict[str, Any]]:
    """The races against the clock. `features` are ours by network and views."""
    costs, sizes = race.baseline_costs(), race.pictures.sizes
    cost = Cost.lowest(costs)
    searches = {key: race.search(features[key], *LARGE, repeats=1) for key in ((OURS, VIEWS), (OURS, 1))}
    for views, made in ((1, features[BASELINES, 1]), (VIEWS, race.repeated(features[BASELINES, 1]))):
        searches[BASELINES, views] = race.search(made, *LARGE, repeats=REPEATS)
    small_search = race.search(features[BASELINES, 1], *SMALL, repeats=REPEATS)
    speeds = {engine: race.speed(engine, cost.start) for engine in ("f32", "bf16", extraction.EAGER)}
    theirs, theirs_small = (cost.of_search(sizes, *search) for search in (LARGE, SMALL))
    ours = {key: made.seconds + searches[key] for key, made in features.items()}
    guessed = {
        (engine, views): speed.of_features(sizes, views) + searches[BASELINES, views]
        for engine, speed in speeds.items()
        for views in (VIEWS, 1)
    }
    ours_small = features[BASELINES, 1].seconds + small_search

    def faster(what: str, goal: float, baseline: float, own: float) -> Claim:
        return claim(what, ">=", goal, baseline / own, "x")

    large, one = f"{LARGE[0]} trials x {LARGE[1]} epochs", "(baseline extrapolated)"
    both, own = "(both extrapolated)", race.precision(features[BASELINES, 1])
    other = "bf16" if own == "f32" else "f32"
    claims = [
        faster(f"{large}, ResNet-50 both, ours f32 {VIEWS} views {both}", 100, theirs, guessed["f32", VIEWS]),
        faster(f"{large}, ResNet-50 both, ours {own} one view {one}", 400, theirs, ours[BASELINES, 1]),
        faster(f"{large}, ResNet-50 both, ours bf16 {VIEWS} views {both}", 100, theirs, guessed["bf16", VIEWS]),
        faster(f"{large}, ResNet-50 both, ours {other} one view {both}", 400, theirs, guessed[other, 1]),
        faster(f"{large}, ResNet-50 and torch both, ours {VIEWS} views {both}", 12, theirs, guessed["eager", VIEWS]),
        faster(f"{large}, each its default network, ours {VIEWS} views {one}", 100, theirs, ours[OURS, VIEWS]),
        faster(f"{large}, each its default network, ours one view {one}", 400, theirs, ours[OURS, 1]),
        faster(
            f"{SMALL[0]} trials x {SMALL[1]} epoch, ResNet-50 both, ours {own} one view {one}",
            15,
            theirs_small,
            ours_small,
        ),
    ]
    details = {
        "baseline_parts_per_class": PARTS,
        "baseline_batch": BATCH,
        "baseline_measured_seconds_per_picture": [asdict(cost) for cost in costs],
        "baseline_cost_of_a_training_picture_in_the_larger_part_over_the_smaller": costs[-1].train / costs[0].train,
        "baseline_extrapolated_seconds": {"10x5": theirs, "2x1": theirs_small},
        "our_features_seconds": {f"{name}, {views}": made.seconds for (name, views), made in features.items()},
        "our_search_seconds": {f"{name}, {views}": found for (name, views), found in searches.items()}
        | {f"{BASELINES}, 1, 2x1": small_search},
        "our_measured_seconds_per_view": {engine: asdict(speed) for engine, speed in speeds.items()},
        "our_extrapolated_seconds": {f"{engine}, {views}": found for (engine, views), found in guessed.items()},
    }
    return claims, details


def main() -> int:
    """Measure and record."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        race = Race(pictures(Path(scratch)), Path(scratch))
        race.say(str(race.pictures))
        made = ((BASELINES, 1), (OURS, 1), (OURS, VIEWS))
        features = {(name, views): race.features(name, views) for name, views in made}
        claims, details = times(race, features)
        more, right = accuracy.race(race.pictures, Path(scratch), features[OURS, VIEWS], VIEWS, race.say)
        race.say("done")
        details |= {"pictures": str(race.pictures), "accuracy": right, "benchmark_seconds": time.monotonic() - began}
    return record("training_race", [*claims, *more], rounded(details))


if __name__ == "__main__":
    sys.exit(main())
