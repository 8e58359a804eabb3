"""Features that were computed before, so that none is computed twice: by an interrupted job, or before data grew."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.errors import TrainingError
from training.shards import ROWS, SUFFIX, Shard, mapped, sha256_of_file, write_shard
from training.tensors import Floats

SECONDS = 60.0  # of work that may be lost


class Shelf:
    """Rows of features by a key, which is a hash of all that they were made of, in a folder of shards.

    A shard's name is the hash of its content, so a half of one is told from a whole, and several hosts and jobs may
    write into one folder. Without a folder there is nothing on the shelf, and nothing stays there.
    """

    def __init__(self, folder: Path | None, identity: str, log: Callable[[str], None]) -> None:
        """identity: what all rows depend on besides their pictures."""
        self._folder, self._identity, self._log = folder, identity, log
        self._rows: dict[str, tuple[Floats, tuple[str, ...]]] = {}
        self._new: list[tuple[str, Floats, tuple[str, ...]]] = []
        self._written = time.monotonic()
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder else ():
            self._open(path)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def key(self, name: str, sha256: str) -> str:
        """That of a picture by its name, which decides what is drawn for its views, and the SHA-256 of its bytes."""
        return hashlib.sha256(json.dumps([self._identity, name, sha256]).encode()).hexdigest()

    def take(self, key: str) -> tuple[Floats, tuple[str, ...]]:
        """A row [views, features], and the notes on its picture."""
        return self._rows[key]

    def put(self, key: str, values: Floats, notes: tuple[str, ...]) -> None:
        """Keeps a row, from the next write on."""
        if self._folder is None:
            return
        self._new.append((key, values, notes))
        if len(self._new) == ROWS or time.monotonic() - self._written >= SECONDS:
            self.write()

    def write(self) -> None:
        """Writes a shard of what came since the last one. Raises TrainingError when it cannot be written."""
        self._written = time.monotonic()
        if self._folder is None or not self._new:
            return
        keys, values, notes = zip(*self._new, strict=True)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_shard(self._folder, np.stack(values), rows=json.dumps(list(zip(keys, notes, strict=True))))
        except OSError as error:
            raise TrainingError(f"features cannot be kept in {self._folder}: {error.strerror}") from error
        self._new.clear()

    def _open(self, path: Path) -> None:
        try:
            if sha256_of_file(path) != path.stem:
                self._log(f"features: {path.name} is left aside: it is not whole")
                return
            shard = Shard.open(path)
            rows = json.loads(shard.notes["rows"])
            self._rows |= {
                key: (values, tuple(notes)) for (key, notes), values in zip(rows, mapped([shard]), strict=True)
            }
        except (OSError, ValueError, KeyError) as error:
            self._log(f"features: {path.name} is left aside: {' '.join(str(error).split())}")
