"""Records on disk as they come, a line of JSON each: what has been answered for is there after a SIGKILL.

They lie in pieces, and the oldest piece goes when all together are larger than they may be: whoever keeps the same
records in memory is told, so that disk and memory have one bound.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PIECES = 8


class Journal:
    """The records in `folder`, at most about `limit` bytes of them. `forget` gets those of a piece that goes."""

    def __init__(self, folder: Path, limit: int, forget: Callable[[Iterator[Any]], None]) -> None:
        self.folder = folder
        self.limit = limit
        self._forget = forget
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        pieces = self._pieces()
        self._number = int(pieces[-1].stem) if pieces else 0
        self._begin()

    def append(self, record: Any) -> None:
        """Writes one record; it outlives this process when this returns. Any thread."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._size += len(line)
            if self._size < self.limit // PIECES:
                return
            self._file.close()
            self._begin()
            self._drop()

    def replay(self) -> Iterator[Any]:
        """Every record, in the order they came."""
        for piece in self._pieces():
            yield from _records(piece)

    def close(self) -> None:
        """No record comes any more."""
        self._file.close()

    def _pieces(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def _begin(self) -> None:
        """A new piece: the last one may end in half a line, if its writer was killed."""
        self._number += 1
        self._file = (self.folder / f"{self._number:08}.jsonl").open("ab", buffering=0)
        self._size = 0

    def _drop(self) -> None:
        pieces = self._pieces()
        total = sum(piece.stat().st_size for piece in pieces)
        for piece in pieces[:-1]:
            size = piece.stat().st_size
            if total > self.limit or not size:
                self._forget(_records(piece))
                piece.unlink()
                total -= size


def _records(piece: Path) -> Iterator[Any]:
    with piece.open("rb") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:  # half a line
                continue
