"""The local S3, from inside the process: no HTTP, no boto3, one copy of the bytes.

Reading is plain look-up and safe from any thread; writing goes through MiniStack's own request handler on its loop, so
that versions, encryption headers and notifications are as for any other PutObject.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack import app

from local_aws.iam.callers import AccessDeniedError, require
from local_aws.iam.policy import Request


class ObjectError(Exception):
    """A bucket or key that is not there, or a URI that is not s3://bucket/key; the message is for a person."""


def _may(action: str, bucket: str, key: str = "", prefix: str | None = None) -> None:
    """The role in whose name this context acts may do it to the object or bucket. Raises ObjectError."""
    context = {} if prefix is None else {"s3:prefix": prefix}
    try:
        require([Request(action, f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}", context)])
    except AccessDeniedError as error:
        raise ObjectError(f"Access Denied (403): {error.message}") from error


def parse_uri(uri: str) -> tuple[str, str]:
    """s3://bucket/key -> (bucket, key)."""
    scheme, _, place = uri.partition("://")
    bucket, _, key = place.partition("/")
    if scheme != "s3" or not bucket:
        raise ObjectError(f"not an S3 URI: {uri}")
    return bucket, key.lstrip("/")


def keys(bucket: str, prefix: str) -> list[str]:
    """Every key of `bucket` that starts with `prefix`, sorted. Raises ObjectError for an unknown bucket."""
    _may("s3:ListBucket", bucket, prefix=prefix)
    record = app._get_module("s3")._buckets.get(bucket)
    if record is None:
        raise ObjectError(f"NoSuchBucket (404): The specified bucket does not exist: {bucket}")
    return sorted(key for key in list(record["objects"]) if key.startswith(prefix))


def read(bucket: str, key: str) -> bytes:
    """The bytes of one object. Raises ObjectError."""
    _may("s3:GetObject", bucket, key)
    data: bytes | None = app._get_module("s3")._get_object_data(bucket, key)
    if data is None:
        raise ObjectError(f"NoSuchKey (404): The specified key does not exist: s3://{bucket}/{key}")
    return data


def read_uri(uri: str) -> bytes:
    """The bytes of s3://bucket/key. Raises ObjectError."""
    return read(*parse_uri(uri))


def save(bucket: str, key: str, folder: Path, name: str) -> None:
    """Writes one object as `folder`/`name`. Raises ObjectError, also for a name that leads out of the folder."""
    target = folder / name
    if ".." in target.parts:
        raise ObjectError(f"Data download failed:the key leads out of its folder: {key}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(read(bucket, key))


def exists(uri: str) -> bool:
    """Whether s3://bucket/key is there."""
    try:
        bucket, key = parse_uri(uri)
        _may("s3:GetObject", bucket, key)
    except ObjectError:
        return False
    record = app._get_module("s3")._buckets.get(bucket)
    return record is not None and key in record["objects"]


def write_uri(uri: str, data: bytes) -> None:
    """Stores `data` under s3://bucket/key. Call from a worker thread, never from the event loop. Raises ObjectError."""
    bucket, key = parse_uri(uri)
    _may("s3:PutObject", bucket, key)
    headers = {"content-type": "application/octet-stream", "content-length": str(len(data))}
    status, _, body = app.call_service_handler_sync(
        app.SERVICE_HANDLERS["s3"], "PUT", f"/{bucket}/{key}", headers, data, {}
    )
    if status >= 300:
        raise ObjectError(f"could not write {uri}: {bytes(body or b'')[:300].decode(errors='replace')}")


def delete_uri(uri: str) -> None:
    """Deletes s3://bucket/key; one that is not there is no error. Worker threads only. Raises ObjectError."""
    bucket, key = parse_uri(uri)
    _may("s3:DeleteObject", bucket, key)
    status, _, body = app.call_service_handler_sync(
        app.SERVICE_HANDLERS["s3"], "DELETE", f"/{bucket}/{key}", {}, b"", {}
    )
    if status >= 300:
        raise ObjectError(f"could not delete {uri}: {bytes(body or b'')[:300].decode(errors='replace')}")


def persisted(service: Any) -> Callable[[str, str, Any], None]:
    """MiniStack's writing of an object to its file, after which no copy of the bytes stays in memory.

    It forgets those of the object itself, and keeps those of every version of it: all that was ever written to a
    versioned bucket.
    """
    original: Callable[[str, str, Any], None] = service._persist_object

    def wrapped(bucket: str, key: str, record: Any) -> None:
        original(bucket, key, record)
        written = isinstance(record, dict) and record.get("body") is None
        latest = (record.get("version_id") or "null") if written else None
        # Those that hold bytes are few: looking for the file of every version would cost each of them a dozen calls.
        held = (one for one in service._object_versions.get((bucket, key), []) if one.get("data") is not None)
        for version in held:
            if version["version_id"] == latest or service._version_file_exists(bucket, key, version["version_id"]):
                version["data"] = None

    return wrapped
