"""Reading a picture from S3; listing objects, and writing one whose size nobody knows before its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from kennel.errors import Forbidden, InternalError, NotFound
from kennel.s3uri import S3Uri

# Without s3:ListBucket a missing object is answered 403, not 404: to the caller both mean nothing to read.
_ABSENT = {"NoSuchKey", "NoSuchBucket", "404", "403", "AccessDenied"}

PART_BYTES = 8 * 1024 * 1024  # S3 takes parts of 5 MiB and more, 10,000 of them


def listed(client: Any, folder: S3Uri) -> Iterator[dict[str, Any]]:
    """ListObjectsV2's entries (Key, Size, ETag, LastModified) below `folder`, in the order of their keys."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=folder.bucket, Prefix=folder.key):
        yield from page.get("Contents", [])


def write(client: Any, uri: S3Uri, chunks: Iterable[bytes], content_type: str) -> None:
    """Put `chunks` together as one object, holding PART_BYTES of it at a time. If they end early there is no object."""
    where = {"Bucket": uri.bucket, "Key": uri.key}
    buffer, upload, parts = bytearray(), "", list[dict[str, Any]]()

    def send() -> None:
        number = len(parts) + 1
        answer = client.upload_part(**where, UploadId=upload, PartNumber=number, Body=bytes(buffer))
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        buffer.clear()

    try:
        for chunk in chunks:
            buffer += chunk
            if len(buffer) >= PART_BYTES:
                upload = upload or client.create_multipart_upload(**where, ContentType=content_type)["UploadId"]
                send()
        if not upload:
            client.put_object(**where, Body=bytes(buffer), ContentType=content_type)
            return
        if buffer:
            send()
        client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    except BaseException:
        if upload:
            client.abort_multipart_upload(**where, UploadId=upload)
        raise


def read(client: Any, uri: S3Uri, *, own_buckets: Sequence[str], max_bytes: int) -> bytes:
    """The object's first `max_bytes + 1` bytes: enough for the caller to see that it is too large.

    Raises Forbidden for a bucket that is not in `own_buckets` before anything is asked of S3, and NotFound.
    """
    if uri.bucket not in own_buckets:
        raise Forbidden("s3: the bucket is not one of this stack's own")
    try:
        answer = client.get_object(Bucket=uri.bucket, Key=uri.key, Range=f"bytes=0-{max_bytes}")
        data: bytes = answer["Body"].read(max_bytes + 1)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("InvalidRange", "416"):  # an empty object has no byte 0
            return b""
        if code in _ABSENT:
            raise NotFound("s3: there is no such object") from error
        raise InternalError("the object could not be read") from error
    except BotoCoreError as error:
        raise InternalError("the object could not be read") from error
    return data
