"""`python -m training.data fetch`: an archive over a real connection, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import stat
import threading
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from training.data import fetch as fetching
from training.data.__main__ import main
from training.data.fetch import Wanted, fetch
from training.errors import TrainingError

PICTURES = {
    f"dogImages/{split}/{name}/{number}.jpg": bytes([number]) * 5000
    for split, count in (("train", 3), ("valid", 1), ("test", 1))
    for name in ("001.A", "002.B")
    for number in range(count)
}
COUNTS = {"train": 6, "valid": 2, "test": 2}
Usage = namedtuple("Usage", "free")


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@dataclass
class Server:
    """An archive behind HTTP, with what can go wrong there. `asked` and `sent` are its Ranges and bodies' lengths."""

    url: str = ""
    body: bytes = field(default_factory=lambda: zipped(PICTURES))
    ranges: bool = True
    ends_after: int | None = None
    asked: list[str | None] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers["Range"]
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        if request.path != "/dogImages.zip" or start >= len(self.body):
            request.send_error(404 if request.path != "/dogImages.zip" else 416)
            return
        body = self.body[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        body = body[: self.ends_after]
        self.sent.append(len(body))
        request.wfile.write(body)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on this machine is asked directly, whatever its way out is."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Not into the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        found.url = f"http://127.0.0.1:{http.server_address[1]}/dogImages.zip"
        yield found
        http.shutdown()
        thread.join()


def silent(_: str) -> None:
    """Nobody listens."""


def fetched(server: Server, folder: Path, sha256: str | None = None) -> Path:
    return fetch(Wanted(server.url, sha256, COUNTS), folder, silent, silent)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_is_fetched_is_unpacked_counted_and_hashed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", str(tmp_path), "--url", server.url, "--pictures", "6/2/2"]) == 0

    assert files(tmp_path) == {**PICTURES, "dogImages.zip": server.body}
    said = capsys.readouterr().out
    assert f"sha256     {hashlib.sha256(server.body).hexdigest()}" in said
    assert "pictures   6/2/2 (train, valid, test) of 2 classes" in said
    assert f"python -m training.data check {tmp_path}/dogImages" in said


def test_fetching_again_asks_for_nothing(server: Server, tmp_path: Path) -> None:
    fetched(server, tmp_path)

    assert fetched(server, tmp_path) == tmp_path / "dogImages"

    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.ends_after = 20_000
    with pytest.raises(TrainingError, match=rf"after 20,000 of {len(server.body):,} bytes .*goes on from there"):
        fetched(server, tmp_path)
    assert list(files(tmp_path)) == ["dogImages.zip.part"]
    server.ends_after = None

    fetched(server, tmp_path)

    assert server.asked == [None, "bytes=19999-"]
    assert sum(server.sent) == len(server.body) + 1
    assert files(tmp_path) == {**PICTURES, "dogImages.zip": server.body}


def test_ctrl_c_keeps_what_has_come_and_says_so(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = iter((True, False))

    def interrupted(self: object, count: int) -> None:
        if not next(pieces):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "PIECE", 1000)
        patch.setattr(fetching._Meter, "advance", interrupted)
        assert main(["fetch", str(tmp_path), "--url", server.url]) == 130
    assert "what was downloaded is kept" in capsys.readouterr().err
    assert (tmp_path / "dogImages.zip.part").read_bytes() == server.body[:2000]

    fetched(server, tmp_path)

    assert server.asked[-1] == "bytes=1999-"


def test_a_download_that_was_whole_already_is_only_confirmed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "dogImages.zip.part").write_bytes(server.body)

    fetched(server, tmp_path)

    assert server.sent == [1]


def test_a_server_that_cannot_resume_sends_all_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "dogImages.zip.part").write_bytes(b"x" * 30_000)
    server.ranges = False

    fetched(server, tmp_path)

    assert server.sent == [len(server.body)]
    assert files(tmp_path) == {**PICTURES, "dogImages.zip": server.body}


def test_a_part_that_is_longer_than_the_archive_is_begun_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "dogImages.zip.part").write_bytes(server.body + b"more")

    fetched(server, tmp_path)

    assert server.asked[-1] is None
    assert (tmp_path / "dogImages.zip").read_bytes() == server.body


def test_an_archive_that_was_damaged_on_its_way_puts_nothing_in_place(server: Server, tmp_path: Path) -> None:
    server.body = server.body.replace(b"\2" * 5000, b"\2" * 4999 + b"\3")

    with pytest.raises(TrainingError, match=r"damaged .*CRC.*delete it"):
        fetched(server, tmp_path)

    assert list(files(tmp_path)) == ["dogImages.zip"]


def test_an_archive_with_another_hash_is_not_unpacked(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is another than --sha256"):
        fetched(server, tmp_path, sha256="0" * 64)

    assert list(files(tmp_path)) == ["dogImages.zip"]


@pytest.mark.parametrize(
    "name", ["../out.jpg", "/out.jpg", "dogImages/../../out.jpg", "dogImages\\..\\out.jpg", "C:/o"]
)
def test_an_archive_that_leads_outside_is_refused_whole(server: Server, tmp_path: Path, name: str) -> None:
    server.body = zipped({**PICTURES, name: b"out"})

    with pytest.raises(TrainingError, match="leads out of its folder"):
        fetched(server, tmp_path / "in")

    assert list(files(tmp_path)) == ["in/dogImages.zip"]


def test_a_link_in_an_archive_is_refused(server: Server, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("dogImages/train/001.A/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    server.body = buffer.getvalue()

    with pytest.raises(TrainingError, match="leads out of its folder"):
        fetched(server, tmp_path)


def test_what_a_mac_puts_into_archives_is_left_out(server: Server, tmp_path: Path) -> None:
    extra = {"__MACOSX/dogImages/._train": b"x", "dogImages/train/.DS_Store": b"x"}
    server.body = zipped({**extra, **PICTURES})

    assert files(fetched(server, tmp_path).parent) == {**PICTURES, "dogImages.zip": server.body}


def test_another_number_of_pictures_than_published_is_an_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds 6/2/2 pictures and 7/2/2 are published"):
        fetch(Wanted(server.url, None, {**COUNTS, "train": 7}), tmp_path, silent, silent)


def test_without_room_nothing_is_downloaded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(1000))

    with pytest.raises(TrainingError, match=rf"room for 1,000 bytes and {len(server.body):,} are needed"):
        fetched(server, tmp_path)

    assert files(tmp_path) == {}


def test_a_refusal_and_a_missing_network_are_told_apart(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the server answered 404 Not Found"):
        fetch(Wanted(f"{server.url}.zip"), tmp_path, silent, silent)
    with pytest.raises(TrainingError, match=r"127\.0\.0\.1:1 cannot be reached .*refused.*a network is needed"):
        fetch(Wanted("http://127.0.0.1:1/dogs.zip"), tmp_path, silent, silent)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a.zip", "https://host/", "dogs.zip"])
def test_only_web_addresses_of_a_file_are_taken(url: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"an address such as https://HOST/NAME\.zip"):
        fetch(Wanted(url), tmp_path, silent, silent)
