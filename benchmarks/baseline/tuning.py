"""The baseline's tuning: random values, a training for each, and the lowest metric line wins, as SageMaker does it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.baseline.hpo import Settings
from benchmarks.claims import ROOT

LEARNING_RATES = (0.001, 0.1)  # continuous
BATCH_SIZES = (32, 64, 128, 256, 512)
METRIC = re.compile(r"Testing Loss: ([0-9\.]+)")  # to be as low as possible: defect 2
_EPOCH = re.compile(
    r"^(?:Epoch (\d+) )?(train|valid|Testing): .*accuracy ([\d.]+), (\d+) pictures in ([\d.]+) s$", re.M
)


@dataclass(frozen=True)
class Pass:
    """Once over a split: `phase` is train, valid or Testing; `epoch` counts from 0."""

    phase: str
    epoch: int
    accuracy: float
    pictures: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A training that ran: its values, the seconds from its process's start to its end, and what it logged."""

    settings: Settings
    seconds: float
    log: str

    @property
    def metric(self) -> float:
        """The last value of the metric in the log; infinite where there is none, as after a loss that was no number."""
        found = METRIC.findall(self.log)
        return float(found[-1]) if found else float("inf")

    @property
    def passes(self) -> list[Pass]:
        """All that it ran, in order."""
        return [
            Pass(phase, int(epoch or 0), float(accuracy), int(pictures), float(seconds))
            for epoch, phase, accuracy, pictures, seconds in _EPOCH.findall(self.log)
        ]


def drawn(count: int, chance: Random) -> list[tuple[float, int]]:
    """A learning rate and a batch size for each of `count` trials."""
    return [(chance.uniform(*LEARNING_RATES), chance.choice(BATCH_SIZES)) for _ in range(count)]


def run(data: Path, model_dir: Path, settings: Settings) -> Trial:
    """One training in a process of its own. Raises SystemExit with the end of its log when it fails."""
    command = [sys.executable, "-m", "benchmarks.baseline", "train", "--backbone", settings.backbone]
    command += ["--learning_rate", str(settings.learning_rate), "--batch_size", str(settings.batch_size)]
    command += [
        "--device",
        settings.device,
        "--epochs",
        str(settings.epochs),
        *(["--all-epochs"] if settings.all_epochs else []),
    ]
    environment = os.environ | {"SM_CHANNEL_TRAINING": str(data), "SM_MODEL_DIR": str(model_dir)}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the baseline's training failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return Trial(settings, time.perf_counter() - began, done.stdout)


def best(trials: Iterable[Trial]) -> Trial:
    """The one that the tuning takes: of the lowest metric, the first where several are equally low."""
    return min(trials, key=lambda trial: trial.metric)
