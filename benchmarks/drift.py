"""The alarm of drift on real photographs: how often it fires when nothing has changed, and when something has.

A training with default settings on 20 breeds. Its validation photographs and the test photographs, which it saw
neither of but for choosing an epoch and calibrating, go through what answers in an endpoint (`serving.model`), and what
that would log of them through what the watching function compares (`kennel.drift`).

Unshifted: the 400 photographs are halved at random, time and again; one half is the baseline, hours are drawn from the
other. As deployed, too: validation is the baseline, hours are drawn from test. Shifted: hours of test photographs that
were made darker, blurred or grey, of one breed alone, or of breeds that the model does not know; and of a stream in
which a third of the pictures is shifted. An hour is drawn without replacement, where there are enough pictures.

What it does not show: hours of real traffic, in which pictures come in clusters (one caller, one dog). Those differ
from one another by more than chance; DriftThreshold is for them.

Needs the development photographs beside the checkout (../shared/data/dogs and dogs-unknown, or DATA=folder and, beside
it, folder-unknown); they are not in this repository.
"""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from benchmarks.claims import ROOT, claim, figure, record
from benchmarks.unknown_breeds import photographs, pictures_in, trained
from serving.log import JsonLines
from serving.manifest import read_manifest
from serving.model import Model, softmax
from serving.sampled import Numbers, look
from training.drift import drift_baseline

HOURS = (30, 50, 100, 200)
SPLITS, HOURS_A_SPLIT = 1000, 2
DRAWS = 500
SHARE = 0.1  # of pictures that are sampled by default
MIXED = 1 / 3

COMPARE = """
import json, sys
from kennel.drift import Sample, compare
for line in sys.stdin:
    asked = json.loads(line)
    found = compare([Sample(*one) for one in asked["hour"]], asked["baseline"], asked["names"])
    print(json.dumps([found.classes, found.confidence, found.features]))
"""
SHIFTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "darker by half": lambda picture: ImageEnhance.Brightness(picture).enhance(0.5),
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 100)),
    "grey": lambda picture: ImageOps.grayscale(picture).convert("RGB"),
}


@dataclass(frozen=True)
class Stream:
    """Pictures as the model answers them: logits [n, classes], looks [n, 4], samples as `kennel.drift` takes them."""

    logits: Numbers
    looks: Numbers
    samples: list[list[Any]]

    def baseline(self, chosen: Sequence[int], temperature: float) -> Any:
        """What training would write if these were the validation pictures."""
        logits = self.logits[chosen]
        return drift_baseline(logits, np.array([softmax(row, temperature) for row in logits]), self.looks[chosen])

    def hour(self, chosen: Iterable[int]) -> list[list[Any]]:
        """The samples of these pictures."""
        return [self.samples[number] for number in chosen]


def seen(model: Model, pictures: Iterable[bytes]) -> Stream:
    """The pictures through the model."""
    logits, looks, samples = [], [], []
    for data in pictures:
        pixels = model.decode(data)
        logits.append(model.logits(pixels[None])[0])
        looks.append(look(pixels))
        told = model.sample(logits[-1], looks[-1])
        samples.append([told[name] for name in ("model", "precision", "index", "confidence", "features")])
    return Stream(np.array(logits), np.array(looks), samples)


def joined(first: Stream, second: Stream) -> Stream:
    """Both."""
    logits, looks = (np.concatenate(pair) for pair in ((first.logits, second.logits), (first.looks, second.looks)))
    return Stream(logits, looks, first.samples + second.samples)


def changed(path: Path, change: Callable[[Image.Image], Image.Image]) -> bytes:
    """A photograph, changed."""
    buffer = io.BytesIO()
    with Image.open(path) as picture:
        change(picture.convert("RGB")).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def scores(asked: Sequence[tuple[Any, list[list[Any]]]], names: Sequence[str]) -> np.ndarray:
    """[hours, parts]: each hour against its baseline, by what the function imports."""
    lines = "\n".join(json.dumps({"baseline": before, "hour": hour, "names": names}) for before, hour in asked)
    environ = os.environ | {"PYTHONPATH": str(ROOT / "layers" / "common")}
    command = [sys.executable, "-c", COMPARE]
    done = subprocess.run(command, input=lines, env=environ, capture_output=True, text=True, check=True)
    return np.array([json.loads(line) for line in done.stdout.splitlines()])


def fired(asked: Sequence[tuple[Any, list[list[Any]]]], names: Sequence[str]) -> float:
    """The share of hours in which the alarm would fire."""
    return float((scores(asked, names).max(axis=1) >= 1).mean())


def main() -> int:
    """Measure and record."""
    found = photographs()
    if found is None:
        return 0
    dogs, strangers = found
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        folder = trained(dogs, Path(scratch) / "model")
        model = Model(read_manifest(folder), threads=1)
        manifest = json.loads((folder / "model.json").read_text())
    test_files = pictures_in(dogs / "test")
    valid = seen(model, (path.read_bytes() for path in pictures_in(dogs / "valid")))
    test = seen(model, (path.read_bytes() for path in test_files))
    shifted = {name: seen(model, (changed(path, change) for path in test_files)) for name, change in SHIFTS.items()}
    shifted["unknown breeds"] = seen(model, (path.read_bytes() for path in pictures_in(strangers)))
    names = list(model.manifest.classes)
    draw = np.random.default_rng(11)
    quiet, by_size = unshifted(joined(valid, test), model.precision.temperature, names, draw)
    baseline = manifest["precisions"][model.precision.name]["drift"]
    deployed = {
        size: [(baseline, test.hour(draw.choice(len(test.samples), size, replace=False))) for _ in range(DRAWS)]
        for size in HOURS[:-1]
    }
    breeds = [path.parent.name for path in test_files]
    power = {name: detected(baseline, one, names, draw) for name, one in shifted.items()}
    power["one breed"] = of_one_breed(baseline, test, breeds, names, draw)
    mixed = {name: mixtures(baseline, test, one, names, draw) for name, one in shifted.items()}
    spent_us, line_bytes = cost_of_a_sample(model, test_files[0])
    answer_us = time_of_an_answer(model, test_files[0])
    claims = [
        claim("unshifted hours in which the alarm of drift fires", "<=", 0.001, quiet, "share"),
        *(
            claim(f"hours of 100 sampled pictures, {name}: the alarm fires", ">=", 0.9, one[100], "share")
            for name, one in power.items()
        ),
        claim(
            "a tenth of the pictures sampled: of the time of an answer",
            "<=",
            0.01,
            SHARE * spent_us / answer_us,
            "share",
        ),
        figure("a sampled picture's line in the log", line_bytes, "bytes"),
    ]
    details = {
        "unshifted_hours": SPLITS * HOURS_A_SPLIT * len(HOURS),
        "unshifted_hours_that_fire_by_sampled_pictures": by_size,
        "as_deployed_hours_that_fire_by_sampled_pictures": {n: fired(asked, names) for n, asked in deployed.items()},
        "shifted_hours_that_fire_by_sampled_pictures": power,
        "a_third_of_100_pictures_shifted_hours_that_fire": mixed,
        "microseconds_of_a_sampled_picture": spent_us,
        "microseconds_of_an_answer_on_one_core": answer_us,
    }
    return record("drift", claims, details)


def unshifted(
    pool: Stream, temperature: float, names: Sequence[str], draw: np.random.Generator
) -> tuple[float, dict[int, float]]:
    """The share of hours that fire, in all and by how many pictures were sampled."""
    asked: dict[int, list[tuple[Any, list[list[Any]]]]] = {size: [] for size in HOURS}
    for _ in range(SPLITS):
        order = draw.permutation(len(pool.samples))
        half = len(order) // 2
        before, rest = pool.baseline(order[:half].tolist(), temperature), order[half:]
        for size, hours in asked.items():
            hours += [(before, pool.hour(draw.permutation(rest)[:size])) for _ in range(HOURS_A_SPLIT)]
    by_size = {size: fired(hours, names) for size, hours in asked.items()}
    return float(np.mean(list(by_size.values()))), by_size


def detected(baseline: Any, stream: Stream, names: Sequence[str], draw: np.random.Generator) -> dict[int, float]:
    """The share of hours of a shifted stream that fire, by how many pictures were sampled."""
    there = len(stream.samples)
    return {
        size: fired(
            [(baseline, stream.hour(draw.choice(there, size, replace=there < size))) for _ in range(DRAWS)], names
        )
        for size in HOURS[:-1]
    }


def of_one_breed(
    baseline: Any, test: Stream, breeds: Sequence[str], names: Sequence[str], draw: np.random.Generator
) -> dict[int, float]:
    """The same where all pictures are of one breed, another one from hour to hour."""
    every = sorted(set(breeds))
    places = {breed: [n for n, one in enumerate(breeds) if one == breed] for breed in every}
    return {
        size: fired(
            [(baseline, test.hour(draw.choice(places[every[number % len(every)]], size))) for number in range(DRAWS)],
            names,
        )
        for size in HOURS[:-1]
    }


def mixtures(baseline: Any, test: Stream, stream: Stream, names: Sequence[str], draw: np.random.Generator) -> float:
    """The same of 100 pictures, a third of which are shifted."""
    count = round(100 * MIXED)
    there = len(stream.samples)

    def hour() -> list[list[Any]]:
        usual = test.hour(draw.choice(len(test.samples), 100 - count, replace=False))
        return usual + stream.hour(draw.choice(there, count, replace=there < count))

    return fired([(baseline, hour()) for _ in range(DRAWS)], names)


def cost_of_a_sample(model: Model, path: Path) -> tuple[float, int]:
    """Microseconds that keeping a picture's numbers takes, and the bytes of its line."""
    pixels = model.decode(path.read_bytes())
    logits, formatter = model.logits(pixels[None])[0], JsonLines()

    def line() -> str:
        facts = {
            "request_id": "6a7f3c2e-0000-4000-8000-0123456789ab",
            "trace": "Root=1-67891233-abcdef012345678912345678",
        }
        entry = logging.makeLogRecord({"levelname": "INFO", "msg": "sampled"})
        entry.facts = facts | model.sample(logits, look(pixels))
        return formatter.format(entry)

    return median_us(line), len(line()) + 1


def time_of_an_answer(model: Model, path: Path) -> float:
    """Microseconds from a picture's bytes to its logits, on one core."""
    data = path.read_bytes()
    return median_us(lambda: model.run(data))


def median_us(work: Callable[[], object]) -> float:
    """The median of 100 runs after ten that nobody counts."""
    taken = []
    for _ in range(110):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1e6)
    return float(np.median(taken[10:]))


if __name__ == "__main__":
    sys.exit(main())
