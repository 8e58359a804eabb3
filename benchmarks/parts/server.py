"""The serving process of `serving/`, as a container starts it, on a model directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.claims import ROOT


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    process: psutil.Process
    port: int

    def resident_mb(self) -> float:
        """Resident megabytes of the process, with any that it has started."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_info().rss for one in family) / 1e6


@contextmanager
def serving(model: Path, log: Path, **environment: str) -> Iterator[Server]:
    """The server on a free port, ready; told to stop at the end. Raises RuntimeError when it ends, or stops unclean."""
    settings = {"MODEL_DIR": str(model), "HOST": "127.0.0.1", "PORT": "0"} | environment
    with log.open("wb") as file:
        command = [sys.executable, "-m", "serving", "serve"]
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=file)
    try:
        yield Server(psutil.Process(process.pid), _port(process, log))
        process.terminate()
        if process.wait(30):
            raise RuntimeError(f"the server ended with status {process.returncode}")
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Waits until it says that it is ready."""
    while process.poll() is None:
        events = {line["event"]: line for line in map(json.loads, _whole_lines(log))}
        if "ready" in events:
            return int(events["listening"]["port"])
        time.sleep(0.02)
    raise RuntimeError(f"the server ended with status {process.returncode}: {log.read_text()}")


def _whole_lines(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
