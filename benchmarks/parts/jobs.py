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
    return start(program, folder, channels, {}, **hyperparameters).done()


@dataclass(frozen=True)
class Started:
    """A program that runs."""

    program: str
    process: subprocess.Popen[str]
    folder: Path
    began: float

    def done(self) -> Done:
        """Waits for its end. Raises SystemExit with its log when it fails."""
        out, err = self.process.communicate()
        if self.process.returncode:
            raise SystemExit(f"{self.program} failed:\n{out[-2000:]}\n{err[-2000:]}")
        return Done(time.perf_counter() - self.began, self.folder, out)

    def wait_for(self, text: str) -> None:
        """Reads its log until a line holds `text`. Raises SystemExit when it ends before."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            if text in line:
                return
        raise SystemExit(f"{self.program} ended before it said {text!r}:\n{self.process.communicate()[1][-2000:]}")


def start(
    program: str, folder: Path, channels: dict[str, Path], environ: dict[str, str], **hyperparameters: object
) -> Started:
    """Starts what `run` runs, with `environ` beside what every job is told."""
    given = [f"--{name}={value}" for name, value in hyperparameters.items()]
    paths = {f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()}
    own = {"SM_MODEL_DIR": str(folder), "SM_OUTPUT_DATA_DIR": str(folder / "output")}
    command = [sys.executable, str(ROOT / "training" / f"{program}.py"), *given]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | paths | own | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return Started(f"training/{program}.py", process, folder, began)
