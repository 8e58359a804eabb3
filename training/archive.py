"""A model.tar.gz back to the model directory that it was made of."""

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from training.errors import TrainingError

NAME = "model.tar.gz"
MAX_MEMBERS = 1000
MAX_BYTES = 8 * 1024**3  # unpacked; the largest model directory made here is a hundredth of it


def unpack(channel: Path, target: Path) -> Path:
    """Unpacks `channel`/model.tar.gz into `target` and returns it.

    Only plain files and folders within `target` are taken. Raises TrainingError for anything else, and for an archive
    that is broken or larger than any model.
    """
    path = channel / NAME
    if not path.is_file():
        raise TrainingError(f"{path}: there is no such file; the channel must hold one archive of that name")
    try:
        with tarfile.open(path, "r:gz") as archive:
            _extract(archive, path, target)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise TrainingError(f"{path} cannot be unpacked: {' '.join(str(error).split())}") from error
    return target


def _extract(archive: tarfile.TarFile, path: Path, target: Path) -> None:
    # Every member is looked at here and written by us: tarfile's own filters have been led astray before.
    left = MAX_BYTES
    for count, member in enumerate(archive, start=1):
        left -= member.size
        if count > MAX_MEMBERS or left < 0:
            raise TrainingError(f"{path}: more than {MAX_MEMBERS} files or {MAX_BYTES} bytes; that is no model")
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
            raise TrainingError(f"{path}: {member.name!r} leads out of its folder; the archive is refused")
        if not (member.isreg() or member.isdir()):
            raise TrainingError(f"{path}: {member.name!r} is neither a file nor a folder; the archive is refused")
        place = target / name
        if member.isdir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None  # a regular file has content
        with source, place.open("wb") as copy:
            shutil.copyfileobj(source, copy)
