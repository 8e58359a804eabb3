"""Custom resource: publishes the training and serving code that ships with the stack to the artifact bucket.

Create and Update write `s3://Bucket/code/<sha256>/source.tar.gz`, the same bytes for the same code, and answer
`CodeUri` and `CodeSha256` (of the uncompressed archive). Delete leaves the bucket alone: a pipeline
run in flight may be using it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

logger = Logger()

# Put beside this file by the Makefile: training/, serving/, requirements.txt.
BUNDLE = Path(__file__).parent / "bundle"
_ANSWER_TRIES = 3


@cache
def _s3() -> Any:
    return boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve one custom resource request; CloudFormation always gets an answer, SUCCESS or FAILED."""
    answer: dict[str, Any] = {
        "Status": "SUCCESS",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        # On a failed Create there is no id yet; CloudFormation wants one, and will ask to delete it.
        "PhysicalResourceId": event.get("PhysicalResourceId", "not-published"),
    }
    logger.info(
        "custom resource", extra={"request_type": event["RequestType"], "logical_id": event["LogicalResourceId"]}
    )
    try:
        if event["RequestType"] != "Delete":
            data = publish(BUNDLE, event["ResourceProperties"]["Bucket"])
            answer |= {"PhysicalResourceId": data["CodeSha256"], "Data": data}
    except Exception as error:
        logger.exception("publishing failed")
        answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:1000]}
    _send(event["ResponseURL"], answer)
    return answer


def publish(bundle: Path, bucket: str) -> dict[str, str]:
    """Put the archive of `bundle` into `bucket` unless it is there; answers {"CodeUri", "CodeSha256"}."""
    archive = pack(bundle)
    sha256 = hashlib.sha256(archive).hexdigest()
    key = f"code/{sha256}/source.tar.gz"
    try:
        _s3().put_object(
            Bucket=bucket,
            Key=key,
            Body=gzip.compress(archive, mtime=0),
            ContentType="application/gzip",
            IfNoneMatch="*",  # looking first would need the rights to read and to list
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":  # it is there, and one key is one content
            raise
    return {"CodeUri": f"s3://{bucket}/{key}", "CodeSha256": sha256}


def pack(bundle: Path) -> bytes:
    """An uncompressed tar of every file under `bundle`: sorted, no times, owners or modes: equal code, equal bytes."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    if not files:
        raise FileNotFoundError("the function was built without its bundle: no file in bundle/")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in files:
            content = path.read_bytes()
            member = tarfile.TarInfo(path.relative_to(bundle).as_posix())  # mtime 0, uid 0, mode 0644
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _send(url: str, answer: dict[str, Any]) -> None:
    """PUT the answer to the signed URL (never logged). Without it CloudFormation waits an hour, hence the tries."""
    body = json.dumps(answer).encode()
    for attempt in range(1, _ANSWER_TRIES + 1):
        # No Content-Type: the URL is signed without one.
        request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - CloudFormation chose this URL
                return
        except OSError as error:
            logger.warning(
                "answer not delivered", extra={"attempt": attempt, "reason": str(getattr(error, "reason", error))}
            )
            if attempt == _ANSWER_TRIES:
                raise
            time.sleep(attempt)
