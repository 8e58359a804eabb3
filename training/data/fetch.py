"""A data set from the web: downloaded so that it can go on later, checked, and put in place whole or not at all."""

import errno
import hashlib
import http.client
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

from training.data import SPLITS, scan
from training.errors import TrainingError
from training.usage import PROGRESS_SECONDS

# The public set of 133 dog breeds, and how many pictures of it are published. No hash of it is.
PUBLIC = "https://s3-us-west-1.amazonaws.com/udacity-aind/dog-project/dogImages.zip"
PUBLISHED = {"train": 6680, "valid": 835, "test": 836}

TIMEOUT = 60  # seconds without a byte
PIECE = 1 << 16  # bytes; what an interruption loses at most
_LEFT_BY_SYSTEMS = frozenset({"__MACOSX", ".DS_Store"})
Log = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to fetch, and what is known of it: the archive's SHA-256 and the pictures by split, each None if unknown."""

    url: str = PUBLIC
    sha256: str | None = None
    pictures: Mapping[str, int] | None = None


def fetch(wanted: Wanted, folder: Path, say: Log, progress: Log) -> Path:
    """Brings the data set into `folder` and gives the folder with train/, valid/ and test/ in it.

    What is there already is not fetched again: a part of the archive is gone on with, a whole one is only unpacked.
    `say` is told of results, `progress` of long work. Raises TrainingError saying what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / _archive_name(wanted.url)
    if not archive.exists():
        part = archive.with_name(f"{archive.name}.part")
        download(wanted.url, part, progress)
        part.rename(archive)
    say(f"archive    {archive}, {archive.stat().st_size:,} bytes")
    found = _sha256(archive, progress)
    say(f"sha256     {found}")
    if wanted.sha256 not in (None, found):
        raise TrainingError(
            f"{archive} is not what was asked for: its SHA-256 is another than --sha256. Nothing was unpacked; delete "
            "it to download it again"
        )
    root = unpack(archive, folder, progress)
    say(f"data       {root}")
    _count(root, wanted.pictures, say)
    return root


def download(url: str, part: Path, progress: Log) -> None:
    """Downloads `url` into `part`, going on where that ends. Raises TrainingError; what has come is then kept.

    The last byte is asked for once more, so that a part that is complete is no range which the server must refuse. A
    server that cannot go on in the middle sends all, which replaces what was there.
    """
    start = max(0, part.stat().st_size - 1) if part.exists() else 0
    asked = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers={"User-Agent": "kennel", **asked})  # noqa: S310 - see _archive_name
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - see _archive_name
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            part.unlink()  # it is longer than the whole, so it is of something else
            return download(url, part, progress)
        raise TrainingError(f"{url}: the server answered {error.code} {error.reason}") from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise TrainingError(
            f"{urlsplit(url).netloc} cannot be reached ({reason}): a network is needed, or HTTPS_PROXY for a way out; "
            "the same command tries again"
        ) from error
    with answer:
        if start and answer.status != http.client.PARTIAL_CONTENT:
            progress("the server cannot go on in the middle: from the beginning again")
            start = 0
        elif start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise TrainingError(f"the server sent another part than it was asked for: delete {part} to begin anew")
        _receive(answer, part, start, progress)
    return None


def _receive(answer: http.client.HTTPResponse, part: Path, start: int, progress: Log) -> None:
    """Writes the body of `answer` into `part`, behind its first `start` bytes."""
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length else None
    meter = _Meter(part.name.removesuffix(".part"), start, total, progress)
    if total:
        _require_room(part.parent, total - start)
    try:
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            while piece := answer.read(PIECE):
                file.write(piece)
                meter.advance(len(piece))
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            reason = f"{part.parent} is full: make room, and the same command goes on where it stopped"
            raise TrainingError(reason) from error
        raise _ended(part, meter.done, total, str(error) or type(error).__name__) from error
    if total is not None and meter.done != total:
        raise _ended(part, meter.done, total, "the server ended it")


def unpack(archive: Path, folder: Path, progress: Log) -> Path:
    """Unpacks a zip into `folder` and gives the folder within it that holds train/.

    Everything is unpacked beside its place, where each file's checksum is compared, and moved there when all is good.
    A folder that is there already is left as it is. Raises TrainingError, and then nothing was put in place.
    """
    scratch = folder / f".{archive.name}.unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened)
            tops = sorted({top for top, *_ in members})
            lacking = {top for top in tops if not (folder / top).exists()}
            _extract(opened, {to: what for to, what in members.items() if to[0] in lacking}, scratch, progress)
        for top in sorted(lacking):
            (scratch / top).rename(folder / top)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise TrainingError(
            f"{archive} is damaged or no zip file ({error}): delete it and run the same command again"
        ) from error
    except OSError as error:
        raise TrainingError(f"{archive} could not be unpacked: {error}; the same command tries again") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _root(folder, tops)


def _members(opened: zipfile.ZipFile) -> dict[tuple[str, ...], zipfile.ZipInfo]:
    """The files of the archive by the parts of their paths. Raises TrainingError for one that leads elsewhere."""
    members = {}
    for info in opened.infolist():
        name = info.filename
        parts = PurePosixPath(name).parts
        if info.is_dir() or not _LEFT_BY_SYSTEMS.isdisjoint(parts):
            continue
        leads_out = not parts or name.startswith("/") or ".." in parts or "\\" in name or PureWindowsPath(name).drive
        if leads_out or stat.S_ISLNK(info.external_attr >> 16):
            raise TrainingError(f"the archive holds {name!r}, which leads out of its folder: nothing was unpacked")
        members[parts] = info
    return members


def _extract(
    opened: zipfile.ZipFile, members: Mapping[tuple[str, ...], zipfile.ZipInfo], scratch: Path, progress: Log
) -> None:
    total = sum(info.file_size for info in members.values())
    _require_room(scratch.parent, total)
    meter = _Meter("unpacked", 0, total, progress)
    for parts, info in members.items():
        target = scratch.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(info) as source, target.open("xb") as file:
            while piece := source.read(PIECE):  # at its end the checksum is compared
                file.write(piece)
                meter.advance(len(piece))


def _root(folder: Path, tops: list[str]) -> Path:
    """Where train/ lies: in `folder`, or in one of its `tops`."""
    for root in (folder, *(folder / top for top in tops)):
        if (root / "train").is_dir():
            return root
    raise TrainingError(f"the archive holds no folder train/: {', '.join(tops[:5]) or 'it is empty'}")


def _count(root: Path, published: Mapping[str, int] | None, say: Log) -> None:
    """Says how much is there. Raises TrainingError when that is not what is `published`."""
    dataset = scan(root)
    found = {split: len(dataset.splits[split]) for split in SPLITS}
    say(f"pictures   {_shown(found)} ({', '.join(SPLITS)}) of {len(dataset.classes):,} classes")
    if published is not None and found != published:
        raise TrainingError(
            f"{root} holds {_shown(found)} pictures and {_shown(published)} are published: delete it, and the same "
            "command unpacks it again"
        )


def _shown(pictures: Mapping[str, int]) -> str:
    return "/".join(str(pictures[split]) for split in SPLITS)


def _archive_name(url: str) -> str:
    """The file name in `url`. Raises TrainingError unless it is an http(s) address that has one."""
    parts = urlsplit(url)
    name = PurePosixPath(parts.path).name
    if parts.scheme not in ("http", "https") or not parts.netloc or not name:
        raise TrainingError(f"{url}: an address such as https://HOST/NAME.zip is wanted")
    return name


def _ended(part: Path, done: int, total: int | None, reason: str) -> TrainingError:
    of = f" of {total:,}" if total is not None else ""
    return TrainingError(
        f"the download ended after {done:,}{of} bytes ({reason}): the same command goes on from there, in {part}"
    )


def _require_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TrainingError(f"{folder} has room for {free:,} bytes and {needed:,} are needed: make room, then again")


def _sha256(path: Path, progress: Log) -> str:
    whole = hashlib.sha256()
    meter = _Meter("hashed", 0, path.stat().st_size, progress)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            whole.update(piece)
            meter.advance(len(piece))
    return whole.hexdigest()


class _Meter:
    """Says now and then how many of `total` bytes are done, and how many a second; `start` were there before."""

    def __init__(self, what: str, start: int, total: int | None, log: Log) -> None:
        self.done = start
        self._what, self._start, self._total, self._log = what, start, total, log
        self._began = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        """So many bytes more are done."""
        self.done += count
        now = time.monotonic()
        if now - self._said >= PROGRESS_SECONDS:
            rate = (self.done - self._start) / (now - self._began)
            of = f" of {self._total / 1e6:,.0f}" if self._total else ""
            left = f", {(self._total - self.done) / rate:,.0f} s left" if self._total else ""
            self._log(f"{self._what} {self.done / 1e6:,.0f}{of} MB, {rate / 1e6:,.1f} MB/s{left}")
            self._said = now
