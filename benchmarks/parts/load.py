"""The load of `benchmarks.serving`, a process of its own: `python -m benchmarks.parts.load PORT PATH N SECONDS FOLDER`.

N connections, each of which posts one picture of FOLDER after the other and waits for the answer. After a warm-up it
writes `begin` and a newline, and SECONDS or more later a line of JSON: what was answered in between. It runs on
uvloop and httptools and writes each request in one piece, so that it takes a small part of what any server does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httptools
import uvloop

WARM_SECONDS = 0.7
FEWEST = 16  # answers that a window has to see: for slow servers it is up to LONGER times as long
LONGER = 6
LEAVE_SECONDS = 1.5  # for what is on its way at the end: the next load should not find it


@dataclass
class Load:
    """What is sent, and what came back: milliseconds of answers that ended in the window, by kind of end."""

    requests: list[bytes]
    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    counting: bool = False
    over: bool = False

    def answered(self, status: int, seconds: float) -> None:
        """Counts an answer, when it is time to count."""
        if self.counting:
            self.statuses[status] += 1
            if status == 200:
                self.latencies_ms.append(seconds * 1e3)


class Connection(asyncio.Protocol):
    """Sends a request as soon as the one before is answered, until it is over."""

    def __init__(self, load: Load, first: int) -> None:
        self.load = load
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = cycle(load.requests[first:] + load.requests[:first])
        self._transport: Any = None
        self._parser: Any = None
        self._began = 0.0

    def connection_made(self, transport: Any) -> None:
        """Sends the first one."""
        self._transport, self._parser = transport, httptools.HttpResponseParser(self)
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        """Part of an answer."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """The whole of it."""
        self.load.answered(self._parser.get_status_code(), time.perf_counter() - self._began)
        self._began = 0.0
        if self.load.over or not self._parser.should_keep_alive():
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        """It is over, or the server closed it."""
        self.load.lost += bool(self._began)
        self.closed.set_result(None)


async def keep_up(load: Load, port: int, number: int) -> None:
    """One connection after the other, so that one is always there."""
    while not load.over:
        try:
            made = await asyncio.get_running_loop().create_connection(
                lambda: Connection(load, number % len(load.requests)), "127.0.0.1", port
            )
        except OSError:
            load.lost += 1
            await asyncio.sleep(0.05)
        else:
            await made[1].closed


async def run(port: int, path: str, at_a_time: int, seconds: float, folder: Path) -> None:
    """Loads, and prints the window's outcome."""
    load = Load([request(path, picture.read_bytes()) for picture in sorted(folder.glob("*.jpg"))])
    tasks = [asyncio.create_task(keep_up(load, port, number)) for number in range(at_a_time)]
    await asyncio.sleep(WARM_SECONDS)
    print("begin", flush=True)
    began, cpu, load.counting = time.perf_counter(), time.process_time(), True
    await asyncio.sleep(seconds)
    while len(load.latencies_ms) < FEWEST and time.perf_counter() - began < LONGER * seconds:
        await asyncio.sleep(seconds / 10)
    load.counting, took, cpu = False, time.perf_counter() - began, time.process_time() - cpu
    found = {
        "seconds": took,
        "own_cpu_seconds": cpu,
        "latencies_ms": load.latencies_ms,
        "statuses": dict(load.statuses),
        "lost": load.lost,
    }
    print(json.dumps(found), flush=True)
    load.over = True
    await asyncio.wait(tasks, timeout=LEAVE_SECONDS)


def request(path: str, body: bytes) -> bytes:
    """A picture's POST, whole."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: image/jpeg\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


if __name__ == "__main__":
    port, path, at_a_time, seconds, folder = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(int(port), path, int(at_a_time), float(seconds), Path(folder)))
