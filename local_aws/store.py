"""What our own services remember: tables of JSON records, written through to one file.

MiniStack saves its services when it stops; ours are written at every change, because a killed emulator must still know
which job was running and which endpoints to bring back.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Store:
    """Named tables of records. Reads give the live records: change them only inside `change()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._tables: dict[str, dict[str, Record]] = {}
        if path.exists():
            self._tables = json.loads(path.read_text())

    def table(self, name: str) -> dict[str, Record]:
        """The records of `name` by key, in order of creation."""
        return self._tables.setdefault(name, {})

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Holds the lock for a change of any table; the file is replaced when the block ends well."""
        with self._lock:
            yield
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".tmp")
            fresh.write_text(json.dumps(self._tables))
            fresh.replace(self.path)
