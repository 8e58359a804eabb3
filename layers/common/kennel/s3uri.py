"""`s3://bucket/key` addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass

# AWS's rules for general purpose bucket names, as far as they can be told from the name alone.
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_MAX_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class S3Uri:
    """A bucket and a key; the key is empty for a whole bucket, and ends with `/` for a folder."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def folder(self) -> S3Uri:
        """The same place as a prefix that ends with `/` (or is empty)."""
        return self if not self.key or self.key.endswith("/") else S3Uri(self.bucket, f"{self.key}/")


def parse(text: str) -> S3Uri:
    """`s3://bucket/key` -> S3Uri. Raises ValueError saying what is wrong; the message does not repeat the key."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme != "s3":
        raise ValueError("is not of the form s3://bucket/key")
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError("has no valid bucket name")
    if len(key.encode("utf-8", "surrogatepass")) > _MAX_KEY_BYTES:
        raise ValueError(f"has a key of more than {_MAX_KEY_BYTES} bytes")
    if not key.isprintable():
        raise ValueError("has a key with characters that cannot be printed")
    return S3Uri(bucket, key)


def data_folder(text: str, data_bucket: str) -> S3Uri:
    """A folder of the stack's data bucket, the only one that jobs may read. Raises ValueError saying what is wrong."""
    folder = parse(text).folder()
    if folder.bucket != data_bucket:
        raise ValueError(f"{folder.bucket} is not this stack's data bucket, {data_bucket}")
    return folder
