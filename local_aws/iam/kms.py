"""What S3 asks of a bucket's key in the name of whoever reads or writes an object."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from xml.etree import ElementTree

from ministack import app

from local_aws.iam.policy import Request
from local_aws.settings import ACCOUNT_ID, REGION

_ACTIONS = {"s3:GetObject": "kms:Decrypt", "s3:GetObjectVersion": "kms:Decrypt", "s3:PutObject": "kms:GenerateDataKey"}
_BUCKET = "arn:aws:s3:::"


def behind(request: Request) -> Iterator[Request]:
    """The use of a key that comes with `request`: none, or one where the bucket's default encryption names a key."""
    action = _ACTIONS.get(request.action)
    if action and request.resource.startswith(_BUCKET):
        bucket = request.resource.removeprefix(_BUCKET).partition("/")[0]
        key = _key(app._get_module("s3")._bucket_encryption.get_scoped(ACCOUNT_ID, None, bucket) or "")
        if key:
            yield Request(action, key, {"kms:viaservice": f"s3.{REGION}.amazonaws.com"})


@lru_cache(maxsize=64)
def _key(configuration: str) -> str:
    """The key's ARN in a bucket's encryption configuration (XML), empty for S3's own keys."""
    if not configuration:
        return ""
    root = ElementTree.fromstring(configuration)  # noqa: S314 - MiniStack has taken it
    texts = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    return texts.get("KMSMasterKeyID", "") if texts.get("SSEAlgorithm") == "aws:kms" else ""
