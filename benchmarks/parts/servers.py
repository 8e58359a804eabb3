"""A server under test: started, asked, loaded, measured over all of its processes, and ended with all of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil

from benchmarks.claims import ROOT

# Every process of a server has this in its environment, whoever started it: daemons and workers, too.
TAG = "KENNEL_RACE"
START_SECONDS, POLL_SECONDS = 120.0, 0.03
STOP_SECONDS = 3.0


class NoAnswerError(Exception):
    """A server that did not come up, or answered with something else than 200; the message says how."""


@dataclass(frozen=True)
class Window:
    """What a load saw, and what the server's processes took meanwhile."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_request: float
    load_cpu_ms_per_request: float
    failed: int


@dataclass(frozen=True)
class Memory:
    """Megabytes of all processes: pages shared between them in equal parts (PSS), and counted for each (RSS)."""

    pss_mb: float
    rss_mb: float
    processes: int


@dataclass(frozen=True)
class Server:
    """One that runs and has answered."""

    port: int
    path: str
    tag: str
    seconds_to_first_answer: float

    def ask(self, picture: bytes) -> Any:
        """Its answer's JSON. Raises `NoAnswerError`."""
        status, body = _post(self.port, self.path, picture)
        if status != 200:
            raise NoAnswerError(f"status {status}: {body[:200]!r}")
        return json.loads(body)

    def loaded(self, at_a_time: int, seconds: float, pictures: Path) -> Window:
        """The load of `benchmarks.parts.load`, from a process of its own."""
        arguments = [str(self.port), self.path, str(at_a_time), str(seconds), str(pictures)]
        command = [sys.executable, "-m", "benchmarks.parts.load", *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                before = _cpu(self.tag)
                process.stdout.readline()
                after = _cpu(self.tag)
                line = process.stdout.readline()
                process.wait(STOP_SECONDS + 10)
            finally:
                process.kill()
        if not line:
            raise NoAnswerError("the load ended without a result")
        found = json.loads(line)
        spent = sum(seconds - before.get(one, 0.0) for one, seconds in after.items())
        return window(found, spent)

    def memory(self) -> Memory:
        """Now."""
        found = []
        for one in _tagged(self.tag):
            with contextlib.suppress(psutil.Error):
                found.append(one.memory_full_info())
        return Memory(sum(one.pss for one in found) / 1e6, sum(one.rss for one in found) / 1e6, len(found))


def window(found: Mapping[str, Any], cpu_seconds: float) -> Window:
    """The figures of a load's result and of the CPU time of the server meanwhile. Raises `NoAnswerError` for none.

    An answer counts for the rate by the share of its time that lies in the window, so that one which ends in a bunch of
    others, as those of a batch do, does not count wholly or not at all. Percentiles are of those that ended in it.
    """
    seconds, spans = found["seconds"], found["spans"]
    times = sorted((answered - asked) * 1e3 for asked, answered in spans if answered <= seconds)
    if not times:
        raise NoAnswerError(f"no answer in {seconds:.1f} s; {found['failed']}")
    done = sum(
        (min(answered, seconds) - max(asked, 0)) / (answered - asked) for asked, answered in spans if asked < seconds
    )
    return Window(
        requests_per_second=done / seconds,
        p50_ms=percentile(times, 0.50),
        p99_ms=percentile(times, 0.99),
        cpu_ms_per_request=cpu_seconds * 1e3 / done,
        load_cpu_ms_per_request=found["own_cpu_seconds"] * 1e3 / done,
        failed=sum(found["failed"].values()),
    )


def percentile(ordered: list[float], share: float) -> float:
    """The least of `ordered` values that at least `share` of them do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@dataclass(frozen=True)
class Start:
    """How a server is started, and where it then takes pictures."""

    command: list[str]
    port: int
    path: str = "/invocations"
    environ: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running(start: Start, picture: bytes, log: Path) -> Iterator[Server]:
    """A server, from when it has answered `picture`. Raises `NoAnswerError`, with the end of its log."""
    tag, port, path = secrets.token_hex(8), start.port, start.path
    began = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            start.command, cwd=ROOT, env={**os.environ, **start.environ, TAG: tag}, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            try:
                _wait(process, port, path, picture)
                yield Server(port, path, tag, time.perf_counter() - began)
            except NoAnswerError as error:
                said = log.read_text(errors="replace").strip()[-1500:]
                raise NoAnswerError(f"{error}; its log ends with: {said}") from error
        finally:
            _end(process, tag)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], port: int, path: str, picture: bytes) -> None:
    ends = time.perf_counter() + START_SECONDS
    status: object = "nothing"
    while time.perf_counter() < ends:
        if process.poll() not in (None, 0):  # 0: one that leaves its daemons behind
            raise NoAnswerError(f"it ended with status {process.returncode}")
        try:
            status, _ = _post(port, path, picture)
            if status == 200:
                return
        except (OSError, http.client.HTTPException) as error:
            status = error
        time.sleep(POLL_SECONDS)
    raise NoAnswerError(f"no answer in {START_SECONDS:g} s: {status}")


def _post(port: int, path: str, picture: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, picture, {"content-type": "image/jpeg"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _tagged(tag: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(TAG) == tag:
                found.append(process)
    return found


def _cpu(tag: str) -> dict[int, float]:
    """Seconds of CPU time by process."""
    found = {}
    for process in _tagged(tag):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found


def _end(process: subprocess.Popen[bytes], tag: str) -> None:
    """Asks the first process to stop, and ends by force what is then left of all."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    while left := _tagged(tag):
        for one in left:
            with contextlib.suppress(psutil.Error):
                one.kill()
        psutil.wait_procs(left, timeout=STOP_SECONDS)
    process.wait()


def ends_cleanly() -> None:
    """Makes SIGTERM what Ctrl-C is: an exception, so that every server is ended."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
