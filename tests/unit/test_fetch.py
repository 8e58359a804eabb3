"""Reading a stranger's URL: a hostile resolver, hostile servers, and the real address rules between them.

The resolver is a table from names to addresses; connections to the public documentation-like addresses it answers are
led to servers on this machine. Nothing here needs a network.
"""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from kennel.errors import (
    ImageTooLarge,
    UnsupportedMediaType,
    UrlTooSlow,
    UrlUnreadable,
)
from kennel.fetch import Network, fetch_image

from tests.unit.fakes import png
from tests.unit.hostile import OTHER_PUBLIC, PUBLIC, Script, World, answer, redirect, serving

fetch_limited = partial(fetch_image, max_bytes=10_000, timeout_seconds=5.0)

# --- What works -------------------------------------------------------------------------------------------------------


def test_a_picture_is_read_from_the_checked_address_under_its_own_name() -> None:
    with serving(answer(png())) as (world, heads):
        assert world.fetch("http://dogs.example/a%20dog.png?size=1&x=%2f#part") == png()

    assert world.connections == [(PUBLIC, 80)]
    head = heads[0].decode()
    assert head.startswith("GET /a%20dog.png?size=1&x=%2f HTTP/1.1\r\n")
    assert "\r\nHost: dogs.example\r\n" in head
    assert "\r\nAccept-Encoding: identity\r\n" in head


def test_a_body_without_a_length_and_a_chunked_body_are_read() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(png()), png())
    until_closed = b"HTTP/1.0 200 OK\r\n\r\n" + png()
    for wire in (chunked, until_closed):
        with serving(lambda connection, wire=wire: connection.sendall(wire)) as (world, _):  # type: ignore[misc]
            assert world.fetch() == png()


def test_three_redirects_are_followed_each_looked_up_anew() -> None:
    hops = [redirect("//two.example/x"), redirect("/y", "301 Moved"), redirect("http://dogs.example/z", "307 T")]
    with serving(*hops, answer(png())) as (world, heads):
        world.names["two.example"] = [[OTHER_PUBLIC]]
        assert world.fetch() == png()

    assert world.lookups == ["dogs.example", "two.example", "two.example", "dogs.example"]
    assert [address for address, _ in world.connections] == [PUBLIC, OTHER_PUBLIC, OTHER_PUBLIC, PUBLIC]
    assert b"\r\nHost: two.example\r\n" in heads[2]


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with serving(answer(png())) as (world, _):
        world.names["dogs.example"] = [["2606:2800:21f::1", PUBLIC]]

        def connect(address: str, port: int, timeout_seconds: float) -> socket.socket:
            if ":" in address:
                raise OSError("network is unreachable")
            return world.connect(address, port, timeout_seconds)

        network = Network(resolve=world.resolve, connect=connect)
        assert fetch_image("http://dogs.example/", max_bytes=10_000, timeout_seconds=5, network=network) == png()


# --- Bodies and time --------------------------------------------------------------------------------------------------


def test_an_announced_length_over_the_cap_is_refused_unread() -> None:
    with serving(answer(png(), length=10_001)) as (world, _), pytest.raises(ImageTooLarge):
        world.fetch()


def test_an_endless_body_is_cut_at_the_cap() -> None:
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + png(1000))
        while True:
            sent += connection.send(b"\x00" * 1000)

    with serving(endless) as (world, _), pytest.raises(ImageTooLarge):
        world.fetch()
    assert sent < 10_000_000  # what the kernel buffered, not what a reader took


def test_a_lying_length_does_not_lift_the_cap() -> None:
    with (
        serving(answer(png(50_000), "Transfer-Encoding: chunked", length=100)) as (world, _),
        pytest.raises((ImageTooLarge, UrlUnreadable)),
    ):
        world.fetch()


def test_a_drip_of_bytes_ends_at_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + png()[:16])
        while True:
            time.sleep(0.05)
            connection.sendall(b"\x00")

    assert_too_slow(drip)


def test_a_drip_of_headers_ends_at_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            time.sleep(0.05)
            connection.sendall(b"z")

    assert_too_slow(drip)


def test_endless_interim_answers_end_at_the_deadline() -> None:
    def interim(connection: socket.socket) -> None:
        while True:
            time.sleep(0.02)
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    assert_too_slow(interim)


def test_silence_ends_at_the_deadline() -> None:
    assert_too_slow(lambda connection: time.sleep(3))


def test_slow_redirects_share_one_deadline() -> None:
    def slow_redirect(connection: socket.socket) -> None:
        time.sleep(0.25)
        redirect("/next")(connection)

    assert_too_slow(slow_redirect)


def test_a_drip_of_a_handshake_ends_at_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")  # the head of a TLS record of 16 KB
        while True:
            time.sleep(0.05)
            connection.sendall(b"\x00")

    assert_too_slow(drip, "https://dogs.example/", head=False)


def assert_too_slow(script: Script, url: str = "http://dogs.example/dog.png", *, head: bool = True) -> None:
    with serving(script, head=head) as (world, _):
        began = time.monotonic()
        with pytest.raises(UrlTooSlow):
            world.fetch(url, timeout_seconds=0.5)
        assert time.monotonic() - began < 2.5  # far below what the script would go on for


def test_a_resolver_that_hangs_ends_at_the_deadline() -> None:
    released = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        released.wait(5)
        return [PUBLIC]

    with pytest.raises(UrlTooSlow):
        fetch_image("http://dogs.example/", max_bytes=1, timeout_seconds=0.2, network=Network(resolve=resolve))
    released.set()


def test_a_bomb_that_is_not_called_compressed_is_no_picture() -> None:
    bomb = gzip.compress(png(5_000_000))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)
    for script in (answer(bomb), lambda connection: connection.sendall(chunked)):
        with serving(script) as (world, _), pytest.raises(UnsupportedMediaType):
            world.fetch()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "GZIP"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    body = gzip.compress(png(5_000_000))
    with (
        serving(answer(body, f"Content-Encoding: {encoding}")) as (world, _),
        pytest.raises(UrlUnreadable, match="compressed"),
    ):
        world.fetch()


def test_what_is_not_a_picture_is_refused_whatever_it_is_called() -> None:
    with (
        serving(answer(b"<html>" + b"x" * 5000, "Content-Type: image/png")) as (world, _),
        pytest.raises(UnsupportedMediaType),
    ):
        world.fetch()


def test_a_body_that_breaks_off_is_not_a_picture() -> None:
    with serving(answer(png(), length=5000)) as (world, _), pytest.raises(UrlUnreadable, match="broke off"):
        world.fetch()


@pytest.mark.parametrize("wire", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
def test_what_does_not_speak_http_is_unreadable(wire: bytes) -> None:
    with serving(lambda connection: connection.sendall(wire)) as (world, _), pytest.raises(UrlUnreadable):
        world.fetch()


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial", "304 Same", "404 Not Found", "500 Oh no", "302 Nowhere"]
)
def test_other_statuses_are_unreadable_and_named(status: str) -> None:
    with serving(answer(b"", status=status)) as (world, _), pytest.raises(UrlUnreadable, match=status[:3]):
        world.fetch()


def test_messages_never_hold_path_or_query() -> None:
    with serving(answer(b"", status="403 No")) as (world, _), pytest.raises(UrlUnreadable) as caught:
        world.fetch("http://dogs.example/private?token=secret")
    assert "private" not in str(caught.value)
    assert "secret" not in str(caught.value)


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_https_announces_and_verifies_the_name_on_the_pinned_connection(tmp_path: Path) -> None:
    server_tls, client_tls = _certificates(tmp_path, "dogs.example")
    announced: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: announced.append(name)
    with _tls_server(server_tls, png()) as port:
        world = World(port)
        world.names["cats.example"] = [[OTHER_PUBLIC]]

        picture = fetch_limited("https://dogs.example/", network=world.network(client_tls))
        with pytest.raises(UrlUnreadable, match="certificate"):
            fetch_limited("https://cats.example/", network=world.network(client_tls))
        with pytest.raises(UrlUnreadable, match="certificate"):  # the system's authorities do not know this one
            fetch_limited("https://dogs.example/", network=world.network())

    assert picture == png()
    assert world.connections[0] == (PUBLIC, 443)
    assert announced == ["dogs.example", "cats.example", "dogs.example"]


@contextmanager
def _tls_server(context: ssl.SSLContext, body: bytes) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(4096)
                    answer(body)(connection)
            except OSError:  # the client does not trust us
                plain.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _certificates(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's context, a client's that trusts it alone): a self-signed certificate for `name`."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, secret)
    return server, ssl.create_default_context(cafile=str(pem))
