"""Archives that came from somewhere else: unpacked only inside their folder, and only plain files and folders."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

MAX_UNPACKED_BYTES = 8 * 1024**3


class ArchiveError(Exception):
    """The archive is damaged or holds something it must not; the message is for a person."""


def _check_member(member: tarfile.TarInfo) -> None:
    # tarfile's own filter="data" has been bypassed before (CVE-2025-4517, through links): no links at all, then.
    parts = Path(member.name).parts
    if not (member.isreg() or member.isdir()):
        raise ArchiveError(f"{member.name}: only plain files and folders are taken")
    if member.name.startswith("/") or ".." in parts:
        raise ArchiveError(f"{member.name}: leads out of its folder")


def unpack(data: bytes, folder: Path) -> None:
    """Unpacks the .tar.gz `data` into `folder` (made if need be). Raises ArchiveError."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
            members = archive.getmembers()
            for member in members:
                _check_member(member)
            if sum(member.size for member in members) > MAX_UNPACKED_BYTES:
                raise ArchiveError("unpacks to more than 8 GiB")
            archive.extractall(folder, members=members, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArchiveError(f"not a readable tar archive: {error}") from error


def pack(folder: Path, target: Path) -> None:
    """Writes the content of `folder` as `target`, a .tar.gz with names relative to `folder`."""
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name)
