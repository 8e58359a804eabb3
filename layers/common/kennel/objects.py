"""Reading a picture from S3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from kennel.errors import Forbidden, InternalError, NotFound
from kennel.s3uri import S3Uri

# Without s3:ListBucket a missing object is answered 403, not 404: to the caller both mean nothing to read.
_ABSENT = {"NoSuchKey", "NoSuchBucket", "404", "403", "AccessDenied"}


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
