"""Fine-tuning by two processes on two cores against one process on one core: how much faster, and the same weights.

Both sides are training/train.py with method finetune, under the environment that SageMaker gives its hosts, each
process pinned to a core of its own. What is compared is the stage `finetune` of the job's own record: a short training
of the whole EfficientNet-lite0 (decoding, augmentation, steps, validation before and after), one epoch over a part of
the photographs (DATA=folder for one's own; drawn dogs where there are neither). Medians of ROUNDS; the sides alternate.
The start of the processes, features and export are left out: the first is the same on both sides, the others
are not fine-tuning; `details` has the whole jobs. Each rank tells the hash of its weights.

The ranks wait for each other at every step, so what else runs on either core holds up both: measure on a quiet machine.
"""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims import claim, figure, record, rounded
from benchmarks.parts import jobs
from benchmarks.parts.pictures import photographs

PART = {"train": 12, "valid": 2}  # pictures of each class
ROUNDS = 2
SETTINGS = {"method": "finetune", "epochs": 1, "batch_size": 32}


@dataclass(frozen=True)
class Side:
    """One job of one or two processes: seconds of its fine-tuning, of the whole job, and each rank's weights."""

    finetune: float
    whole: float
    weights: tuple[tuple[str, ...], ...]


def main() -> int:
    """Measure and record."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        print("skipped: two cores are needed")
        return 0
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        folder = Path(scratch)
        found = photographs(folder)
        data = found.linked(folder / "part", PART)
        features = jobs.run("extract", folder / "features", {"training": data})
        channels = {"training": data, "features": features.folder}
        sides: dict[int, list[Side]] = {1: [], 2: []}
        for number in range(ROUNDS):
            for processes, measured in sides.items():
                measured.append(fine_tuned(folder / f"{number}-{processes}", channels, cores[:processes]))
                print(f"{processes} processes: {measured[-1].finetune:.1f} s", flush=True)
    one, two = (statistics.median(side.finetune for side in measured) for measured in sides.values())
    ranks = {weights for side in sides[2] for weights in side.weights}
    claims = [
        claim("DDP fine-tuning, 2 processes on 2 cores over 1 on 1", ">=", 1.7, one / two, "x"),
        claim("weights of both ranks identical", ">=", 1, float(len(ranks) == 1), "yes = 1"),
        figure(
            "pictures fine-tuned a second on one core, validation and all",
            len(found.found.classes) * PART["train"] / one,
            "pictures/s",
        ),
    ]
    details = {
        "pictures": f"{found}; of each class {PART}",
        "finetune_seconds": {processes: [side.finetune for side in measured] for processes, measured in sides.items()},
        "whole_job_seconds": {processes: [side.whole for side in measured] for processes, measured in sides.items()},
    }
    return record("finetune_ddp", claims, rounded(details))


def fine_tuned(folder: Path, channels: dict[str, Path], cores: list[int]) -> Side:
    """One job, with a process for each of the cores."""
    hosts = [f"algo-{number}" for number in range(1, len(cores) + 1)]
    shared = {"SM_HOSTS": json.dumps(hosts), "SM_NUM_CPUS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    started = []
    for host, core in zip(hosts, cores, strict=True):
        environ = {**shared, "SM_CURRENT_HOST": host}
        started.append(jobs.start("train", folder / host, channels, environ, **SETTINGS))
        os.sched_setaffinity(started[-1].process.pid, {core})  # before it has threads, which inherit it
    done = [one.done() for one in started]
    timings = json.loads((done[0].folder / "training.json").read_text())["timings_seconds"]
    weights = tuple(tuple(re.findall(r"sha256 of the (\w+ \w+)", one.log)) for one in done)
    return Side(timings["finetune"], done[0].seconds, weights)


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
