"""What our own services remember: tables of JSON records, each record written through to a database of one file.

MiniStack saves its services when it stops; ours are written at every change, because a killed emulator must still know
which job was running and which endpoints to bring back. A change costs as much as what it changes, however much there
is: a job changes its record with every metric that it prints.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections import UserDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    place INTEGER PRIMARY KEY, name TEXT NOT NULL, key TEXT NOT NULL, record TEXT NOT NULL, UNIQUE (name, key)
)
"""
_PUT = """
INSERT INTO records (name, key, record) VALUES (?, ?, ?) ON CONFLICT (name, key) DO UPDATE SET record = excluded.record
"""
_TAKE = "DELETE FROM records WHERE name = ? AND key = ?"


class Table(UserDict[str, Record]):
    """Records by their keys, in order of creation.

    changed   the keys, in their order, that were put in or taken out and are not written yet; who changes a record in
              its place adds its key
    """

    def __init__(self) -> None:
        super().__init__()
        self.changed: list[str] = []

    def __setitem__(self, key: str, record: Record) -> None:
        super().__setitem__(key, record)
        self.changed.append(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.changed.append(key)


class Store:
    """Named tables of records. Reads give the live records: change them only inside `change()`."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.DatabaseError for a file that is no database."""
        self._lock = threading.RLock()
        self._depth = 0
        self._tables: dict[str, Table] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")  # what a killed process has written, the kernel has
        self._database.execute(_SCHEMA)
        for (name, key), text in self._written().items():
            self.table(name).data[key] = json.loads(text)

    def table(self, name: str) -> Table:
        """The records of `name` by key, in order of creation."""
        return self._tables.setdefault(name, Table())

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Holds the lock for a change of any table, which is on disk when the block has ended well.

        A change within a change is written with the outer one.
        """
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            if not self._depth:
                self._write()

    def unwritten(self) -> list[str]:
        """Which records ("table key") are not on disk as they are: somebody changed them and did not say so."""
        with self._lock:
            live = {(name, key): json.dumps(one) for name, table in self._tables.items() for key, one in table.items()}
            return sorted({" ".join(place) for place, _ in live.items() ^ self._written().items()})

    def _written(self) -> dict[tuple[str, str], str]:
        rows = self._database.execute("SELECT name, key, record FROM records ORDER BY place")
        return {(name, key): text for name, key, text in rows}

    def _write(self) -> None:
        with self._database:  # all of it or, where that fails, nothing
            self._database.execute("BEGIN")
            for name, table in list(self._tables.items()):
                for key in dict.fromkeys(table.changed):
                    if key in table:
                        self._database.execute(_PUT, (name, key, json.dumps(table[key])))
                    else:
                        self._database.execute(_TAKE, (name, key))
        for table in list(self._tables.values()):
            table.changed.clear()
