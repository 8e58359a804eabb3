"""Starts, stops and looks at the background emulator of a state directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from local_aws.processes import marked, reap
from local_aws.settings import REPOSITORY_ROOT, STATE_MARK, Paths

START_SECONDS = 30.0
STOP_SECONDS = 20.0
# The emulator, and through it Lambda functions, sees none of the caller's AWS settings or Python path.
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
    "LOG_LEVEL", "SERVICES", "SFN_WAIT_SCALE",
    "LOCAL_AWS_AUTOSAVE", "LOCAL_AWS_INVOKE_TIMEOUT", "LOCAL_AWS_STARTUP_TIMEOUT", "LOCAL_AWS_STOP_GRACE",
    "LOCAL_AWS_IAM", "LOCAL_AWS_TIME_FACTOR", "LOCAL_AWS_CLI",
    "LOCAL_AWS_SPOT_INTERRUPTIONS", "LOCAL_AWS_SPOT_INTERRUPT_AFTER",
)  # fmt: skip


class SupervisorError(Exception):
    """What was asked for cannot be done; the message is for a person."""


def running(paths: Paths) -> dict[str, Any] | None:
    """local_aws.json of a living emulator, or None."""
    try:
        info: dict[str, Any] = json.loads(paths.info.read_text())
        process = psutil.Process(info["pid"])
        if process.status() == psutil.STATUS_ZOMBIE or process.environ().get(STATE_MARK) != str(paths.root):
            return None
    except (OSError, ValueError, psutil.Error):
        return None
    return info


def last_port(paths: Paths) -> int:
    """The port of the state's earlier life if nobody has it now, else 0: what was told of it should stay true."""
    for file in (paths.info, paths.info.with_suffix(".last.json")):
        try:
            port = int(json.loads(file.read_text())["port"])
            with socket.create_server(("127.0.0.1", port)):
                return port
        except (OSError, ValueError, KeyError):
            continue
    return 0


def environment(paths: Paths) -> dict[str, str]:
    """The environment of the emulator process."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Buffers of whole archives go back to the system at once; by itself glibc comes to keep them, in pieces.
    memory = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
    return {**passed, **memory, STATE_MARK: str(paths.root), "PYTHONUNBUFFERED": "1"}


def prepare(paths: Paths) -> None:
    """Before a start: refuses a second one, ends what a killed one left. Raises SupervisorError."""
    info = running(paths)
    if info is not None:
        raise SupervisorError(
            f"already up at {info['endpoint_url']} (pid {info['pid']}); stop it with: python -m local_aws down"
        )
    reap(paths.root)


def command(paths: Paths, port: int) -> list[str]:
    """The emulator's command line."""
    return [sys.executable, "-m", "local_aws.server", str(paths.root), str(port)]


def up(root: Path, port: int) -> dict[str, Any]:
    """Starts the emulator in the background; returns local_aws.json once it answers. Port 0: the last, or any free."""
    paths = Paths(root.resolve())
    paths.root.mkdir(parents=True, exist_ok=True)
    with _alone(paths):
        prepare(paths)
        return _start(paths, port or last_port(paths))


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """One `up` or `down` of a state directory at a time: a second one would reap what the first is starting."""
    with (paths.root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(paths: Paths, port: int) -> dict[str, Any]:
    paths.info.unlink(missing_ok=True)
    with paths.log.open("wb") as log:
        process = subprocess.Popen(
            command(paths, port),
            cwd=REPOSITORY_ROOT,
            env=environment(paths),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        info = running(paths)
        if info is not None and info["pid"] == process.pid:
            return info
        if process.poll() is not None:
            words = paths.log.read_text(errors="replace").strip().splitlines()
            raise SupervisorError(
                words[-1].removeprefix("error: ") if words else "the emulator ended at once, without a word"
            )
        time.sleep(0.02)
    process.kill()
    reap(paths.root)
    raise SupervisorError(f"the emulator did not answer within {START_SECONDS:.0f} s; see {paths.log}")


def down(root: Path) -> bool:
    """Stops the emulator and everything it started. False when there was nothing to stop."""
    paths = Paths(root.resolve())
    if not paths.root.exists():
        return False
    with _alone(paths):
        info = running(paths)
        if info is not None:
            process = psutil.Process(info["pid"])
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
        orphans = reap(paths.root)
    return info is not None or orphans > 0


def status(root: Path) -> dict[str, Any] | None:
    """local_aws.json with the processes and the memory they hold (resident set sizes, summed), or None."""
    paths = Paths(root.resolve())
    info = running(paths)
    if info is None:
        return None
    processes: list[dict[str, Any]] = []
    for process in marked(paths.root):
        try:
            words = " ".join(process.cmdline()[1:4])
            processes.append(
                {"pid": process.pid, "command": words, "resident_mb": round(process.memory_info().rss / 1e6, 1)}
            )
        except psutil.Error:
            continue
    return {**info, "processes": processes, "resident_mb": round(sum(one["resident_mb"] for one in processes), 1)}
