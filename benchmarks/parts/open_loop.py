"""A client that sends requests when they are due, whatever became of those before, and says how each ended.

One thread, bare asyncio streams on kept connections: about a tenth of a millisecond of CPU a request, so that what is
measured is the server. Nothing is tried again.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

TIMEOUT_SECONDS = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *\d", re.IGNORECASE)

Judge = Callable[[int, bytes], bool]  # the number of a payload, the body of its 200 -> whether it is the right answer


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request ended. Seconds: `due` on time.monotonic's clock, `late` from then until it was sent, `took` until
    its end.

    status        0 where there was no answer
    right         of a 200: it is the answer to this request's payload
    retry_after   the answer says when to come back
    """

    due: float
    late: float
    took: float
    status: int
    right: bool
    retry_after: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a body, as they came."""

    status: int
    retry_after: bool
    body: bytes


class Client:
    """Sends payloads to one port of this machine, by number."""

    def __init__(self, port: int, payloads: Sequence[bytes], judge: Judge) -> None:
        self._port, self._payloads, self._judge = port, payloads, judge
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._numbers = itertools.count()

    async def ask(self, number: int) -> Reply:
        """Payload `number` modulo how many there are. Raises OSError or ValueError when no answer comes."""
        async with asyncio.timeout(TIMEOUT_SECONDS), self._connection() as (reader, writer):
            writer.write(self._payloads[number % len(self._payloads)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if length is None:
                raise ValueError("an answer without a length")
            body = await reader.readexactly(int(length[1]))
        return Reply(int(head[9:12]), bool(_RETRY_AFTER.search(head)), body)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A kept connection that the server has not closed meanwhile, or a new one; kept again unless it fails."""
        while self._idle and self._idle[-1][0].at_eof():
            self._idle.pop()[1].close()
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield reader, writer
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))

    async def one(self, due: float) -> Answer:
        """The next payload, now."""
        number, late = next(self._numbers), time.monotonic() - due
        try:
            reply = await self.ask(number)
        except (OSError, ValueError, EOFError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
            return Answer(due, late, time.monotonic() - due, 0, right=False, retry_after=False)
        took = time.monotonic() - due
        right = reply.status == 200 and self._judge(number % len(self._payloads), reply.body)
        return Answer(due, late, took, reply.status, right, reply.retry_after)

    async def in_turn(self, at_a_time: int, seconds: float) -> list[Answer]:
        """`at_a_time` requests inside at any moment, each sent when one has ended."""
        end = time.monotonic() + seconds

        async def again() -> list[Answer]:
            answers = []
            while (now := time.monotonic()) < end:
                answers.append(await self.one(now))
            return answers

        return [answer for answers in await asyncio.gather(*(again() for _ in range(at_a_time))) for answer in answers]

    async def due(self, times: Iterator[float]) -> list[Answer]:
        """One request at each of `times`, on time.monotonic's clock; ends when all have ended."""
        running: set[asyncio.Task[Answer]] = set()
        answers: list[Answer] = []

        def ended(task: asyncio.Task[Answer]) -> None:
            running.discard(task)
            answers.append(task.result())

        for due in times:
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.one(due))
            running.add(task)
            task.add_done_callback(ended)
        while running:
            await asyncio.wait(running)
            await asyncio.sleep(0)  # for the callbacks
        return answers

    def close(self) -> None:
        """Closes what is kept."""
        while self._idle:
            self._idle.pop()[1].close()


def evenly(rate: float, seconds: float) -> Iterator[float]:
    """`rate` times a second from now on, for `seconds`."""
    began = time.monotonic()
    return (began + n / rate for n in range(round(rate * seconds)))


def at_random(rate: float, seconds: float) -> Iterator[float]:
    """The same as often on average, as independent callers come (a Poisson process)."""
    draw, due = random.Random(0), time.monotonic()
    end = due + seconds
    while (due := due + draw.expovariate(rate)) < end:
        yield due


def post(body: bytes, content_type: str, attributes: str) -> bytes:
    """A request for POST /invocations, as it goes over the wire."""
    head = (
        "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"X-Amzn-SageMaker-Custom-Attributes: {attributes}\r\n\r\n"
    )
    return head.encode() + body
