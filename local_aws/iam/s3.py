"""S3's part of the table: it has no names of operations on the wire, only methods, paths and query parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from local_aws.iam.policy import Request
from local_aws.iam.wire import Call

# (method, has a key, query parameter or "") -> action. The first parameter that is there decides.
_ACTIONS: dict[tuple[str, bool, str], str] = {
    ("GET", False, "location"): "s3:GetBucketLocation",
    ("GET", False, "uploads"): "s3:ListBucketMultipartUploads",
    ("GET", False, "versions"): "s3:ListBucketVersions",
    ("GET", False, "versioning"): "s3:GetBucketVersioning",
    ("GET", False, "policy"): "s3:GetBucketPolicy",
    ("GET", False, "tagging"): "s3:GetBucketTagging",
    ("GET", False, ""): "s3:ListBucket",
    ("HEAD", False, ""): "s3:ListBucket",
    ("GET", True, "uploadId"): "s3:ListMultipartUploadParts",
    ("GET", True, "tagging"): "s3:GetObjectTagging",
    ("GET", True, "attributes"): "s3:GetObjectAttributes",
    ("GET", True, "versionId"): "s3:GetObjectVersion",
    ("HEAD", True, "versionId"): "s3:GetObjectVersion",
    ("GET", True, ""): "s3:GetObject",
    ("HEAD", True, ""): "s3:GetObject",
    ("PUT", True, "tagging"): "s3:PutObjectTagging",
    ("PUT", True, ""): "s3:PutObject",
    ("POST", True, "uploads"): "s3:PutObject",
    ("POST", True, "uploadId"): "s3:PutObject",
    ("DELETE", True, "uploadId"): "s3:AbortMultipartUpload",
    ("DELETE", True, "tagging"): "s3:DeleteObjectTagging",
    ("DELETE", True, "versionId"): "s3:DeleteObjectVersion",
    ("DELETE", True, ""): "s3:DeleteObject",
}
_LIST_KEYS = {"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys"}
# Query parameters that say which operation it is; with one that is not above the operation is not in the table.
_SUBRESOURCES = frozenset(
    """accelerate acl analytics attributes cors delete encryption inventory intelligent-tiering legal-hold lifecycle
    location logging metrics notification object-lock ownershipControls policy policyStatus publicAccessBlock
    replication requestPayment restore retention select tagging torrent uploadId uploads versionId versioning versions
    website""".split()  # noqa: SIM905 - a list of words reads better so
)


class UnknownOperationError(Exception):
    """An operation that is not in the table of actions; the message says so."""


def _first(query: Mapping[str, Any], name: str) -> str:
    value = query.get(name, "")
    return str(value[0]) if isinstance(value, list) else str(value)


def _deleted(bucket: str, body: bytes) -> Iterator[Request]:
    """DeleteObjects: every key by itself."""
    text = body.decode(errors="replace")
    for entry in re.findall(r"<Object>(.*?)</Object>", text, re.DOTALL):
        key = re.search(r"<Key>(.*?)</Key>", entry, re.DOTALL)
        version = "<VersionId>" in entry
        action = "s3:DeleteObjectVersion" if version else "s3:DeleteObject"
        yield Request(action, f"arn:aws:s3:::{bucket}/{key.group(1) if key else '*'}")


def unseen(call: Call, exists: Callable[[str, str], bool]) -> Iterator[Request]:
    """Whether an object that is not there may be known not to be: with s3:ListBucket it is a 404, else a 403."""
    bucket, _, key = unquote(call.path).lstrip("/").partition("/")
    if call.method in ("GET", "HEAD") and key and not exists(bucket, key):
        yield Request("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": key})


def requests(call: Call) -> Iterator[Request]:
    """What an S3 request (path style) needs. Raises UnknownOperationError."""
    method, query, headers = call.method, call.query, call.headers
    bucket, _, key = unquote(call.path).lstrip("/").partition("/")
    if not bucket:
        yield Request("s3:ListAllMyBuckets", "*")
        return
    if method == "POST" and not key and "delete" in query:
        yield from _deleted(bucket, call.body)
        return
    # uploadId says more than partNumber and the rest that may stand beside it.
    names = [name for name in _SUBRESOURCES if name in query]
    if method == "PUT" and key and "uploadId" in query:
        names = []
    action = _ACTIONS.get((method, bool(key), names[0] if names else ""))
    if action is None or len(names) > 1:
        shown = f"{method} {'an object' if key else 'a bucket'} {' '.join(sorted(names))}".strip()
        raise UnknownOperationError(f"s3: {shown}")
    arn = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    context: dict[str, str | list[str]] = {}
    if action.startswith("s3:List"):
        context = {name: _first(query, member) for member, name in _LIST_KEYS.items() if member in query}
    yield Request(action, arn, context)
    if headers.get("x-amz-tagging"):
        tags = dict(parse_qsl(headers["x-amz-tagging"]))
        keys: dict[str, str | list[str]] = {f"aws:requesttag/{name.lower()}": value for name, value in tags.items()}
        yield Request("s3:PutObjectTagging", arn, {**keys, "aws:tagkeys": list(tags)})
    source = unquote(headers.get("x-amz-copy-source", "")).lstrip("/")
    if source:
        name, _, version = source.partition("?versionId=")
        yield Request("s3:GetObjectVersion" if version else "s3:GetObject", f"arn:aws:s3:::{name}")
