"""Reading a picture from a stranger's URL without becoming the stranger's tool.

The threats and what meets them:
- an internal address, by name, number or redirect: every address a name resolves to must be public
  (kennel.addresses), on every hop, and the connection goes to the very address that was checked: there is no second
  lookup that could be answered otherwise (rebinding);
- another protocol or service: http and https only, ports 80 and 443 only, no user or password, no proxy settings;
- a slow or endless answer: one deadline over lookup, handshake, headers, redirects and body, and a cap on bytes while
  they stream;
- a compressed bomb: no Content-Encoding is accepted;
- something else than a picture: the first bytes decide, and nothing more is read when they are wrong.

Messages name the host at most, never the path, the query, or the address a name resolved to.
"""

from __future__ import annotations

import http.client
import io
import queue
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kennel import images
from kennel.addresses import is_ipv6, is_public
from kennel.errors import (
    AddressNotAllowed,
    BadUrl,
    ImageTooLarge,
    RequestError,
    UnsupportedMediaType,
    UrlTooSlow,
    UrlUnreadable,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_PORTS = {80, 443}
_MAX_URL = 2048
_MAX_REDIRECTS = 3
_MAX_ADDRESSES = 4  # a name with more is tried on its first four; all of them are checked
_CHUNK = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_PRINTABLE = re.compile(r"[\x21-\x5b\x5d-\x7e]+")  # ASCII without space and backslash, which parsers disagree about
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_HEADERS = {
    "Accept": "image/jpeg, image/png, image/webp",
    "Accept-Encoding": "identity",
    "User-Agent": "kennel",
    "Connection": "close",
}


def system_resolve(host: str, port: int) -> list[str]:
    """Every address the system has for `host`. Numbers in any spelling (decimal, octal, hex) become what they are."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def system_connect(address: str, port: int, timeout_seconds: float) -> socket.socket:
    """A TCP connection to a numeric address."""
    return socket.create_connection((address, port), timeout=timeout_seconds)


@dataclass(frozen=True)
class Network:
    """The seam to the outside world. The defaults are the safe ones; tests put a hostile resolver here."""

    resolve: Callable[[str, int], list[str]] = system_resolve
    connect: Callable[[str, int, float], socket.socket] = system_connect
    allowed: Callable[[str], bool] = is_public
    tls: ssl.SSLContext | None = None  # None: made on first https use, which costs a cold start 20 ms


def fetch_image(url: str, *, max_bytes: int, timeout_seconds: float, network: Network | None = None) -> bytes:
    """The bytes of the picture at `url`: at most `max_bytes`, within `timeout_seconds` in all.

    Raises BadUrl, AddressNotAllowed, UrlUnreadable, UrlTooSlow, ImageTooLarge or UnsupportedMediaType.
    """
    world = network or Network()
    deadline = _Deadline(timeout_seconds)
    for _ in range(_MAX_REDIRECTS + 1):
        target = _Target.of(url)
        try:
            answer = _read(target, world, deadline, max_bytes)
        except RequestError:
            raise
        except TimeoutError:
            raise UrlTooSlow(f"{target.host} did not answer within {timeout_seconds:g} seconds") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UrlUnreadable(f"{target.host} could not be read: {_reason(error)}") from error
        if isinstance(answer, bytes):
            return answer
        url = urllib.parse.urljoin(url, answer.location)
    raise UrlUnreadable(f"the URL redirects more than {_MAX_REDIRECTS} times")


@dataclass(frozen=True, slots=True)
class _Target:
    """One hop's URL, taken apart and checked as far as that goes without asking anyone."""

    secure: bool
    host: str
    port: int
    request_target: str  # path and query, as sent in the request line

    @classmethod
    def of(cls, url: str) -> _Target:
        if len(url) > _MAX_URL or not _PRINTABLE.fullmatch(url):
            raise BadUrl(f"the URL is longer than {_MAX_URL} characters or has characters that must be percent-encoded")
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = (parts.hostname or ""), parts.port
        except ValueError:
            raise BadUrl("the URL is malformed") from None
        if parts.scheme not in ("http", "https"):
            raise BadUrl("the URL's scheme is neither http nor https")
        if "@" in parts.netloc:
            raise BadUrl("the URL has a user or a password in it")
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        if port not in _PORTS:
            raise BadUrl("the URL's port is neither 80 nor 443")
        if not (is_ipv6(host) if "[" in parts.netloc else _HOST_NAME.fullmatch(host)):
            raise BadUrl("the URL's host is not a name or an address")
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.scheme == "https", host, port, (parts.path or "/") + query)


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str


def _read(target: _Target, world: Network, deadline: _Deadline, max_bytes: int) -> bytes | _Redirect:
    """One hop: resolve, check, connect to what was checked, ask, and read the picture or where it has gone."""
    addresses = _resolve(target, world, deadline)
    if not addresses or not all(world.allowed(address) for address in addresses):
        raise AddressNotAllowed(f"{target.host} does not lead to a public address")
    wire = _connect(target, addresses, world, deadline)
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.default_port = 443 if target.secure else 80  # so that the Host header has a port only where it must
    connection.sock = wire  # what http.client needs of a socket: sendall, makefile, close
    try:
        connection.request("GET", target.request_target, headers=_HEADERS)
        answer = connection.getresponse()
        if answer.status in _REDIRECTS and answer.getheader("Location"):
            return _Redirect(str(answer.getheader("Location")))
        return _body(answer, target.host, max_bytes)
    finally:
        connection.close()
        wire.hang_up()


def _resolve(target: _Target, world: Network, deadline: _Deadline) -> list[str]:
    """The lookup has no time limit of its own, so it runs aside and is given up at the deadline."""
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(world.resolve(target.host, target.port))
        except (OSError, ValueError) as error:  # ValueError: what the IDNA codec cannot encode
            found.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = found.get(timeout=deadline.remaining())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise UrlUnreadable(f"{target.host} has no address") from answer
    return answer


def _connect(target: _Target, addresses: list[str], world: Network, deadline: _Deadline) -> _TimedSocket:
    last: OSError | None = None
    for address in addresses[:_MAX_ADDRESSES]:
        try:
            plain = world.connect(address, target.port, deadline.remaining())
        except OSError as error:
            deadline.remaining()
            last = error
            continue
        return _TimedSocket(_secured(plain, target, world, deadline) if target.secure else plain, deadline)
    raise last or OSError("no address")


def _secured(plain: socket.socket, target: _Target, world: Network, deadline: _Deadline) -> ssl.SSLSocket:
    """TLS over the pinned connection: the name in the URL, not the address, is announced (SNI) and verified."""
    try:
        plain.settimeout(deadline.remaining())
        context = world.tls or ssl.create_default_context()
        return context.wrap_socket(plain, server_hostname=target.host.rstrip("."))
    except BaseException:
        plain.close()
        raise


def _body(answer: http.client.HTTPResponse, host: str, max_bytes: int) -> bytes:
    if answer.status != 200:
        raise UrlUnreadable(f"{host} answered with status {answer.status}")
    encoding = (answer.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise UrlUnreadable(f"{host} answered with a compressed body, which was not asked for")
    if answer.length is not None and answer.length > max_bytes:
        raise ImageTooLarge(f"the picture at {host} has more than {max_bytes} bytes")
    data = bytearray()
    while chunk := answer.read1(_CHUNK):
        data += chunk
        if len(data) > max_bytes:
            raise ImageTooLarge(f"the picture at {host} has more than {max_bytes} bytes")
        if len(data) >= images.HEADER_BYTES and images.sniff(bytes(data[: images.HEADER_BYTES])) is None:
            raise UnsupportedMediaType(f"what {host} answered is not a JPEG, PNG or WebP picture")
    if answer.length:  # read1 answers a body that broke off like one that ended
        raise UrlUnreadable(f"{host} broke off in the middle of the picture")
    return bytes(data)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not valid"
    if isinstance(error, ssl.SSLError):
        return "no secure connection could be made"
    return "the connection failed" if isinstance(error, OSError) else "its answer is not HTTP"


class _Deadline:
    """One point in time for everything."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, always positive; TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _TimedSocket:
    """A socket whose every read and write gets only what is left until the deadline: a drip cannot stretch it."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: ReadableBuffer) -> None:
        self._sock.settimeout(self._deadline.remaining())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What http.client reads the answer from; `mode` is always "rb"."""
        return io.BufferedReader(_TimedReader(self._sock, self._deadline))

    def close(self) -> None:
        """http.client closes before it reads the body; a real socket waits for its files, this one for hang_up."""

    def hang_up(self) -> None:
        """Close the connection."""
        self._sock.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._sock.settimeout(self._deadline.remaining())
        return self._sock.recv_into(buffer)
