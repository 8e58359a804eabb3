"""The load of `benchmarks.serving`, a process of its own: `python -m benchmarks.parts.load PORT PATH N SECONDS FOLDER`.

N connections, each of which posts one picture of FOLDER after the other and waits for the answer. After a warm-up it
writes a line `begin`, SECONDS or more later a line `end`, and then a line of JSON: what was answered, also to what was
asked in this window and answered later. It runs on uvloop and httptools and writes each request in one piece, so that
it takes a small part of what any server does.
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

WARM_SECONDS, MOST_WARM_SECONDS = 0.7, 6.0  # it lasts until each connection can have had an answer
FEWEST = 16  # answers that a window has to see: for slow servers it is up to LONGER times as long
LONGER = 6
TAIL_SECONDS = 5.0  # for answers to what was asked in the window, while the load goes on
LEAVE_SECONDS = 1.5  # for what is on its way at the end: the next load should not find it


@dataclass
class Load:
    """What is sent, and what came back since `counted` began: when good answers were asked for and there, and others.

    asked   by connection, when what it waits for was sent
    """

    requests: list[bytes]
    asked: dict[int, float] = field(default_factory=dict)
    spans: list[tuple[float, float]] = field(default_factory=list)
    answers: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def answered(self, number: int, status: int) -> None:
        """Counts the answer to a connection's request."""
        self.answers += 1
        if status == 200:
            self.spans.append((self.asked.pop(number), time.perf_counter()))
        else:
            self.failed[f"status {status}"] += 1

    def forget(self) -> None:
        """What came so far was to warm up."""
        self.spans.clear()
        self.failed.clear()


class Connection(asyncio.Protocol):
    """Sends a request as soon as the one before is answered, until it is over."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.number = load, number
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        first = number % len(load.requests)
        self._requests = cycle(load.requests[first:] + load.requests[:first])
        self._transport: Any = None
        self._parser: Any = None

    def connection_made(self, transport: Any) -> None:
        """Sends the first one."""
        self._transport, self._parser = transport, httptools.HttpResponseParser(self)
        self._send()

    def _send(self) -> None:
        self.load.asked[self.number] = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        """Part of an answer."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """The whole of it."""
        self.load.answered(self.number, self._parser.get_status_code())
        if self.load.over or not self._parser.should_keep_alive():
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        """It is over, or the server closed it."""
        if self.load.asked.pop(self.number, None) is not None and not self.load.over:
            self.load.failed["no answer"] += 1
        if not self.closed.done():  # the load was ended meanwhile
            self.closed.set_result(None)


async def keep_up(load: Load, port: int, number: int) -> None:
    """One connection after the other, so that one is always there."""
    while not load.over:
        try:
            made = await asyncio.get_running_loop().create_connection(
                lambda: Connection(load, number), "127.0.0.1", port
            )
        except OSError:
            load.failed["no connection"] += 1
            await asyncio.sleep(0.05)
        else:
            await made[1].closed


async def run(port: int, path: str, at_a_time: int, seconds: float, folder: Path) -> None:
    """Loads, and prints the window's outcome."""
    load = Load([request(path, picture.read_bytes()) for picture in sorted(folder.glob("*.jpg"))])
    tasks = [asyncio.create_task(keep_up(load, port, number)) for number in range(at_a_time)]
    await asyncio.sleep(WARM_SECONDS)
    warm = time.perf_counter() + MOST_WARM_SECONDS - WARM_SECONDS
    while load.answers < at_a_time and time.perf_counter() < warm:
        await asyncio.sleep(0.02)
    load.forget()
    print("begin", flush=True)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    while len(load.spans) < FEWEST and time.perf_counter() - began < LONGER * seconds:
        await asyncio.sleep(seconds / 10)
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    print("end", flush=True)
    while any(asked < ended for asked in load.asked.values()) and time.perf_counter() - ended < TAIL_SECONDS:
        await asyncio.sleep(0.02)
    found = {
        "seconds": ended - began,
        "own_cpu_seconds": cpu,
        "spans": [(asked - began, answered - began) for asked, answered in load.spans],
        "failed": dict(load.failed),
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
