"""Checkpoints of one host: its folder and an S3 prefix, kept alike while the job runs.

As on AWS: what is under the prefix is there at the start, what the script writes goes up, what it deletes goes from S3,
and what others put under the prefix meanwhile does not come down. All hosts of a job share the prefix.
"""

from __future__ import annotations

import time
from pathlib import Path

from local_aws import objects

SYNC_SECONDS = 2.0

Stamp = tuple[int, int]


class Checkpoints:
    """`folder` of one host and s3://bucket/prefix `uri`. Call from the job's thread. Raises objects.ObjectError."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri.rstrip("/")
        self.folder = folder
        self._known: dict[str, Stamp] = {}
        self._next = 0.0

    def restore(self) -> None:
        """Brings down what is under the prefix."""
        bucket, prefix = objects.parse_uri(f"{self.uri}/")
        for key in objects.keys(bucket, prefix):
            if key.endswith("/"):
                continue
            objects.save(bucket, key, self.folder, key[len(prefix) :])
        self._known = self._files()

    def _files(self) -> dict[str, Stamp]:
        found = {}
        for path in sorted(self.folder.rglob("*")):
            try:
                if path.is_file():
                    stat = path.stat()
                    found[path.relative_to(self.folder).as_posix()] = (stat.st_mtime_ns, stat.st_size)
            except FileNotFoundError:  # a temporary file that the script has renamed meanwhile
                continue
        return found

    def sync_when_due(self) -> None:
        """`sync`, if the last was SYNC_SECONDS ago."""
        if time.monotonic() >= self._next:
            self.sync()
            self._next = time.monotonic() + SYNC_SECONDS

    def sync(self) -> None:
        """Takes up what the script changed since the last time, and away what it deleted."""
        files = self._files()
        for name in self._known.keys() - files.keys():
            objects.delete_uri(f"{self.uri}/{name}")
            del self._known[name]
        for name, stamp in files.items():
            if self._known.get(name) == stamp:
                continue
            try:
                data = (self.folder / name).read_bytes()
            except FileNotFoundError:
                continue
            objects.write_uri(f"{self.uri}/{name}", data)
            self._known[name] = stamp
