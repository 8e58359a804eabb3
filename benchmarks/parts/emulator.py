"""What the embedded AWS takes of the machine, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tools import full_demo, local_stack

# Folders of the state that hold what is running: what they hold must go with it (local_aws/settings.py).
PASSING = ("jobs", "instances", "tmp")


@dataclass(frozen=True)
class Footprint:
    """Megabytes resident (of the emulator alone, of all its processes), processes, listening ports, files by folder."""

    emulator_mb: float
    all_mb: float
    processes: int
    ports: int
    files: dict[str, int]

    @property
    def passing_files(self) -> int:
        """Files of jobs, instances and temporary ones."""
        return sum(self.files.get(folder, 0) for folder in PASSING)


def footprint(state: Path) -> Footprint:
    """What the embedded AWS with its state in `state` takes now."""
    tree = _tree(state)
    files: dict[str, int] = {}
    for path in state.rglob("*"):
        if path.is_file():
            folder = path.relative_to(state).parts[0] if path.parent != state else "."
            files[folder] = files.get(folder, 0) + 1
    return Footprint(
        emulator_mb=round(tree[0].memory_info().rss / 1e6, 1),
        all_mb=round(sum(one.memory_info().rss for one in tree if one.is_running()) / 1e6, 1),
        processes=len(tree),
        ports=len(_ports(tree)),
        files=files,
    )


def _tree(state: Path) -> list[psutil.Process]:
    emulator = psutil.Process(json.loads((state / "local_aws.json").read_text())["pid"])
    return [emulator, *emulator.children(recursive=True)]


def _ports(tree: list[psutil.Process]) -> set[int]:
    found: set[int] = set()
    for one in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {
                each.laddr.port
                for each in one.net_connections("inet")
                if each.status == psutil.CONN_LISTEN and each.laddr
            }
    return found


@dataclass
class Leavings:
    """What was still there after the embedded AWS had been stopped."""

    processes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.processes) + len(self.files) + len(self.ports)


@contextlib.contextmanager
def watched(time_factor: str = full_demo.TIME_FACTOR) -> Iterator[tuple[Path, Path, Leavings]]:
    """A folder for data, one for the state of an embedded AWS, which is stopped at the end, and then what it left.

    All temporary files of this process and of those it starts go into a folder of their own, to be counted.
    """
    leavings = Leavings()
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as name:
        scratch = Path(name)
        state, temporary = scratch / "aws", scratch / "tmp"
        temporary.mkdir()
        kept, environment = tempfile.tempdir, dict(os.environ)
        tempfile.tempdir, os.environ["TMPDIR"] = str(temporary), str(temporary)
        os.environ.setdefault("LOCAL_AWS_TIME_FACTOR", time_factor)
        ports: set[int] = set()
        try:
            with local_stack.stopped_afterwards(state):
                try:
                    yield scratch, state, leavings
                finally:
                    with contextlib.suppress(OSError, psutil.Error):  # it may not even have started
                        ports = _ports(_tree(state))
        finally:
            tempfile.tempdir = kept
            os.environ.clear()
            os.environ.update(environment)
        leavings.processes = _of(scratch)
        leavings.files = [str(path.relative_to(temporary)) for path in temporary.rglob("*")]
        leavings.files += [str(path.relative_to(state)) for folder in PASSING for path in (state / folder).rglob("*")]
        listening = {
            one.laddr.port for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN and one.laddr
        }
        leavings.ports = sorted(ports & listening)


def _of(scratch: Path) -> list[str]:
    """Command lines of processes that have anything to do with the folder."""
    return [
        " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline", "environ"])
        if process.pid != os.getpid() and str(scratch) in f"{process.info['cmdline']} {process.info['environ']}"
    ]
