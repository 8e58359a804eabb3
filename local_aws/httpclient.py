"""A small HTTP/1.1 client for one loopback server: keep-alive connections, one request at a time on each.

InvokeEndpoint passes through it, so it does little: no redirects, no cookies, no TLS, no decoding.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

_HEAD_LIMIT = 64 * 1024


class ConnectionLostError(Exception):
    """The connection failed before an answer was complete."""


@dataclass(frozen=True)
class Answer:
    """What the server said. Header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Requests to http://127.0.0.1:`port`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[Connection] = []

    def close(self) -> None:
        """Closes the idle connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes, limit: float) -> Answer:
        """One request. Raises ConnectionLostError, or TimeoutError after `limit` seconds."""
        async with asyncio.timeout(limit):
            connection = self._take()
            if connection is not None:
                with contextlib.suppress(_StaleError):
                    return await self._exchange(connection, method, path, headers, body, reused=True)
            try:
                fresh = await asyncio.open_connection("127.0.0.1", self.port, limit=_HEAD_LIMIT)
            except OSError as error:
                raise ConnectionLostError(str(error)) from error
            return await self._exchange(fresh, method, path, headers, body, reused=False)

    def _take(self) -> Connection | None:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    async def _exchange(
        self, connection: Connection, method: str, path: str, headers: Mapping[str, str], body: bytes, *, reused: bool
    ) -> Answer:
        reader, writer = connection
        answered = False
        try:
            lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            answered = True
            answer, keep = await self._read(reader, head)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
            writer.close()
            # A server may close a kept connection at any time: nothing of the answer means nothing was done with it.
            clean = isinstance(error, ConnectionError) or (
                isinstance(error, asyncio.IncompleteReadError) and not error.partial
            )
            if reused and not answered and clean:
                raise _StaleError from error
            raise ConnectionLostError(repr(error)) from error
        except BaseException:
            writer.close()
            raise
        if keep:
            self._idle.append(connection)
        else:
            writer.close()
        return answer

    @staticmethod
    async def _read(reader: asyncio.StreamReader, head: bytes) -> tuple[Answer, bool]:
        status_line, *lines = head.decode("latin-1").split("\r\n")
        status = int(status_line.split(" ", 2)[1])
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }
        keep = headers.get("connection", "").lower() != "close" and status_line.startswith("HTTP/1.1")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = await _read_chunks(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body, keep = await reader.read(), False
        return Answer(status, headers, body), keep


class _StaleError(Exception):
    """A kept connection turned out to be closed: try a fresh one."""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    return b"".join(parts)
