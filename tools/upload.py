"""Put a folder of labelled pictures (the dogImages layout) into the data bucket."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SPLITS = ("train", "valid", "test")


class DataError(Exception):
    """The folder is not a data set; the message says what is missing."""


def picture_files(folder: Path) -> list[Path]:
    """Every file below train/, valid/ and test/, sorted. Raises DataError naming what is missing."""
    missing = [split for split in SPLITS[:2] if not (folder / split).is_dir()]
    if missing:
        raise DataError(
            f"{folder} is not a data set: no folder {' and no folder '.join(missing)} "
            "(expected train/CLASS/*.jpg, valid/CLASS/*.jpg and, for a final score, test/CLASS/*.jpg)"
        )
    files = sorted(path for split in SPLITS for path in (folder / split).glob("*/*") if path.is_file())
    if not files:
        raise DataError(f"{folder} has no pictures")
    return files


def upload(s3: Any, folder: Path, bucket: str, prefix: str, progress: Callable[[int, int], None]) -> int:
    """Upload the data set to ``s3://bucket/prefix``, after removing what lies there; returns the number of files.

    What was there before is deleted first, so that a run never trains on a mixture of two data sets.
    """
    files = picture_files(folder)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        old = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        if old:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": old, "Quiet": True})
    with ThreadPoolExecutor(max_workers=8) as pool:
        sent = pool.map(lambda path: s3.upload_file(str(path), bucket, _key(prefix, folder, path)), files)
        for count, _ in enumerate(sent, start=1):
            progress(count, len(files))
    return len(files)


def _key(prefix: str, folder: Path, path: Path) -> str:
    return prefix + path.relative_to(folder).as_posix()
