"""Draws a data set of dogs: `python -m tools.draw_dogs OUT [--breeds 12] [--train 40 --valid 10 --test 10] [--seed 0]`.

The layout is that of the public dogImages set: OUT/train, OUT/valid, OUT/test, each with one NNN.Breed_name folder a
breed. The breeds differ in build, ears, tail and markings; their colours overlap, and pose, place, light and camera
vary, so that a classifier has to look. The same arguments draw the same pictures, byte for byte. `--unknown N` draws N
dogs of a breed that is not among the classes into OUT-unknown/Carolina_dog; `--short-side MIN MAX` sets the size.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

import numpy as np

from tools.dogs.breeds import BREEDS, UNKNOWN, Breed
from tools.dogs.figure import draw_dog
from tools.dogs.scene import background, compose, photograph

SIDES = (208, 320)  # the shorter side of a picture, pixels: the least and the most
OVERSAMPLING = 1.6


@dataclass(frozen=True)
class Job:
    """One picture to draw: which breed, where to, and what its chance depends on."""

    breed: Breed
    path: Path
    key: str
    sides: tuple[int, int] = SIDES


def draw_picture(breed: Breed, key: str, sides: tuple[int, int] = SIDES) -> bytes:
    """A JPEG of a dog of `breed`; the same breed, key and sides give the same bytes."""
    digest = hashlib.sha256(f"{key}/{breed.folder}".encode()).digest()
    random, noise = Random(digest), np.random.default_rng(list(digest))  # noqa: S311 - drawing, not secrets
    short = random.randint(*sides)
    size = (int(short * random.uniform(1.0, 1.45)), short)
    if random.random() < 0.15:
        size = (short, int(short * 1.2))
    canvas = (int(size[0] * OVERSAMPLING), int(size[1] * OVERSAMPLING))
    place = background(canvas, random, noise)
    dog = draw_dog(breed, canvas, random, noise)
    return photograph(compose(dog, place, random), size, random, noise)


def plan(
    out: Path, breeds: int, splits: dict[str, int], unknown: int, seed: int, *, sides: tuple[int, int] = SIDES
) -> list[Job]:
    """Every picture of the set. Raises ValueError for more breeds than there are, and for sides that are none."""
    if not 2 <= breeds <= len(BREEDS):
        raise ValueError(f"--breeds {breeds}: from 2 to {len(BREEDS)} can be drawn")
    if not 64 <= sides[0] <= sides[1]:
        raise ValueError(f"--short-side {sides[0]} {sides[1]}: the least, at least 64 pixels, and then the most")
    jobs = []
    for breed in BREEDS[:breeds]:
        number = 0
        for split, count in splits.items():
            for _ in range(count):
                number += 1
                name = f"{breed.folder.partition('.')[2]}_{number:05}.jpg"
                jobs.append(Job(breed, out / split / breed.folder / name, f"{seed}/{split}/{number}", sides))
    folder = out.with_name(f"{out.name}-unknown") / UNKNOWN.folder
    jobs += [
        Job(UNKNOWN, folder / f"{UNKNOWN.folder}_{i:05}.jpg", f"{seed}/unknown/{i}", sides)
        for i in range(1, unknown + 1)
    ]
    return jobs


def draw_set(jobs: Iterable[Job], processes: int | None = None) -> int:
    """Draws every job's picture, in several processes; the number of pictures."""
    # spawn: no helper inherits threads or sockets of the program that draws.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(_draw, jobs, chunksize=16))


def _draw(job: Job) -> int:
    job.path.parent.mkdir(parents=True, exist_ok=True)
    job.path.write_bytes(draw_picture(job.breed, job.key, job.sides))
    return 1


def main(argv: list[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.draw_dogs", description="Draws a data set of dogs.")
    parser.add_argument("out", type=Path, help="folder to write, in the dogImages layout")
    parser.add_argument("--breeds", type=int, default=12, help=f"2 to {len(BREEDS)}")
    parser.add_argument("--train", type=int, default=40, help="pictures of each breed")
    parser.add_argument("--valid", type=int, default=10)
    parser.add_argument("--test", type=int, default=10)
    parser.add_argument("--unknown", type=int, default=0, help="pictures of a breed that is not among the classes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short-side", type=int, nargs=2, default=SIDES, metavar=("MIN", "MAX"), help="in pixels")
    arguments = parser.parse_args(argv)
    splits = {"train": arguments.train, "valid": arguments.valid, "test": arguments.test}
    started = time.perf_counter()
    try:
        sides = (arguments.short_side[0], arguments.short_side[1])
        jobs = plan(arguments.out, arguments.breeds, splits, arguments.unknown, arguments.seed, sides=sides)
    except ValueError as error:
        parser.error(str(error))
    count = draw_set(jobs)
    print(f"{count} pictures of {arguments.breeds} breeds in {arguments.out} ({time.perf_counter() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
