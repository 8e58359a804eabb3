"""Arrays on disk in several files: written one by one, read as one array that lies in no memory until it is used."""

import ctypes
import hashlib
import json
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from training.stopping import WRITING
from training.tensors import Floats

ROWS = 1024  # of a shard: with float32 its size is a whole number of pages, whatever a row's width
SUFFIX = ".safetensors"
_ALIGNED = 1 << 16  # bytes: the largest page of the processors in use
_NAME = "values"
_MAP_FIXED = 0x10


@dataclass(frozen=True)
class Shard:
    """One file: float32 values [rows, ...], which begin at byte `start`, and whatever text was stored with them."""

    path: Path
    start: int
    shape: tuple[int, ...]
    notes: dict[str, str]

    @classmethod
    def open(cls, path: Path) -> "Shard":
        """Raises OSError, or ValueError for a file that is no shard."""
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size - 8 - length
            header: dict[str, Any] = json.loads(file.read(length)) if size >= 0 else {}
        about = header.get(_NAME, {})
        if about.get("dtype") != "F32" or about.get("data_offsets") != [0, size]:
            raise ValueError(f"{path.name} is no shard of features")
        return cls(path, 8 + length, tuple(about["shape"]), header.get("__metadata__", {}))

    @property
    def size(self) -> int:
        """Of the values, in bytes."""
        return 4 * int(np.prod(self.shape))


def write_shard(folder: Path, values: Floats, name: str = "", **notes: str) -> tuple[str, str]:
    """Writes `values` as a safetensors file whose values begin at a page. It is there whole or not at all.

    Its name is `name`, else the SHA-256 of its content. Returns the file's name and its SHA-256. Raises OSError.
    """
    content = save({_NAME: np.ascontiguousarray(values)}, notes or None)
    length = int.from_bytes(content[:8], "little")
    spaces = -(8 + length) % _ALIGNED  # which the format allows at the end of the header
    head = (length + spaces).to_bytes(8, "little") + content[8 : 8 + length] + b" " * spaces
    body = memoryview(content)[8 + length :]
    digest = hashlib.sha256(head)
    digest.update(body)
    file = (name or digest.hexdigest()) + SUFFIX
    partial = folder / f".{name or 'shard'}.{os.getpid()}.partial"  # other processes may write here, too
    with WRITING:
        with partial.open("wb") as target:
            target.write(head)
            target.write(body)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(folder / file)
    return file, digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """Without holding the file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mapped(shards: Sequence[Shard]) -> Floats:
    """The shards' values, one after the other: float32 [all rows, ...], mapped, so that what is not used is not read.

    What is written into the array stays in memory. Raises OSError, or ValueError when the shards do not fit together.
    """
    if len({shard.shape[1:] for shard in shards}) != 1:
        raise ValueError("the shards are none, or their rows have different shapes")
    rows = sum(shard.shape[0] for shard in shards)
    if not rows:
        return np.empty((0, *shards[0].shape[1:]), np.float32)
    fit = all(shard.start % _ALIGNED == 0 for shard in shards) and all(s.size % _ALIGNED == 0 for s in shards[:-1])
    if not fit:  # rows of an odd width
        return np.concatenate([np.memmap(one.path, np.float32, "c", one.start, one.shape) for one in shards])
    values: Floats = np.frombuffer(_side_by_side(shards), np.float32)
    return values.reshape(rows, *shards[0].shape[1:])


def _side_by_side(shards: Sequence[Shard]) -> mmap.mmap:
    """A stretch of memory over which the files' values are laid, each in the place of its own pages.

    Python cannot say where a file is to be mapped, the C library can. The stretch is given back as one.
    """
    total = sum(shard.size for shard in shards)
    stretch = mmap.mmap(-1, total, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    place = ctypes.addressof(ctypes.c_char.from_buffer(stretch))
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    for shard in shards:
        with shard.path.open("rb") as file:
            access, how = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
            if library.mmap(place, shard.size, access, how, file.fileno(), shard.start) != place:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(shard.path))
        place += shard.size
    return stretch
