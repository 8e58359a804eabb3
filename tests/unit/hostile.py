"""A hostile internet on this machine: a resolver that answers from a table, and servers that play scripts."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kennel.fetch import Network, fetch_image, system_resolve

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "93.184.216.35"

Script = Callable[[socket.socket], None]


class World:
    """A resolver that answers from a table, and connections that are recorded and led to the scripted server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.names: dict[str, list[list[str]]] = {"dogs.example": [[PUBLIC]]}
        self.lookups: list[str] = []
        self.connections: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int) -> list[str]:
        """The next answer for `host`; the last one repeats. Numbers go to the system: they need no network."""
        self.lookups.append(host)
        if host not in self.names:
            return system_resolve(host, port)
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connect(self, address: str, port: int, timeout_seconds: float) -> socket.socket:
        self.connections.append((address, port))
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_seconds)

    def network(self, tls: ssl.SSLContext | None = None) -> Network:
        return Network(resolve=self.resolve, connect=self.connect, tls=tls)

    def fetch(self, url: str = "http://dogs.example/dog.png", *, timeout_seconds: float = 5.0) -> bytes:
        return fetch_image(url, max_bytes=10_000, timeout_seconds=timeout_seconds, network=self.network())


@contextmanager
def serving(*scripts: Script, head: bool = True) -> Iterator[tuple[World, list[bytes]]]:
    """A server that plays one script a connection (the last one again and again), and the heads it has read.

    head   whether it waits for a request before it plays
    """
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        count = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            script = scripts[min(count, len(scripts) - 1)]
            count += 1
            threading.Thread(target=play, args=(connection, script), daemon=True).start()

    def play(connection: socket.socket, script: Script) -> None:
        with connection:
            connection.settimeout(5)
            try:
                if head:
                    heads.append(request_head(connection))
                script(connection)
            except OSError:  # the client has hung up, as it should
                pass

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield World(listener.getsockname()[1]), heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def request_head(connection: socket.socket) -> bytes:
    """What a client sends up to the empty line."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(4096)
    return read


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> Script:
    """A whole answer at once."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(head).encode() + body)


def redirect(location: str, status: str = "302 Found") -> Script:
    return answer(b"", f"Location: {location}", status=status)
