"""The programs of `training/` as SageMaker runs them: processes that find their channels in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims import ROOT


@dataclass(frozen=True)
class Done:
    """A program that ran: the seconds from its process's start to its end, what it left where, and what it logged."""

    seconds: float
    folder: Path
    log: str


def run(program: str, folder: Path, channels: dict[str, Path], **hyperparameters: object) -> Done:
    """Runs training/PROGRAM.py, which leaves its results in `folder`. Raises SystemExit with its log when it fails."""
    given = [f"--{name}={value}" for name, value in hyperparameters.items()]
    paths = {f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()}
    environment = os.environ | paths | {"SM_MODEL_DIR": str(folder), "SM_OUTPUT_DATA_DIR": str(folder / "output")}
    command = [sys.executable, str(ROOT / "training" / f"{program}.py"), *given]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"training/{program}.py failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return Done(time.perf_counter() - began, folder, done.stdout)
