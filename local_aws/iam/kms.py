"""A bucket's key: what S3 asks of it in the name of whoever reads or writes an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree  # nosec B405 - it reads what MiniStack has taken

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


def bucket_provisioner(original: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """AWS::S3::Bucket with its BucketEncryption, which MiniStack's CloudFormation leaves out."""

    def create(logical_id: str, props: dict[str, Any], *rest: Any) -> Any:
        made = original["create"](logical_id, props, *rest)
        _encrypt(made[0], props)
        return made

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
        made = original["update"](physical_id, old, new, *rest)
        _encrypt(made[0], new)
        return made

    return {**original, "create": create, "update": update}


def _encrypt(bucket: str, props: Mapping[str, Any]) -> None:
    rules = (props.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration", [])
    whole = ElementTree.Element("ServerSideEncryptionConfiguration")
    for rule in rules:
        default = ElementTree.SubElement(ElementTree.SubElement(whole, "Rule"), "ApplyServerSideEncryptionByDefault")
        for name, value in rule.get("ServerSideEncryptionByDefault", {}).items():
            ElementTree.SubElement(default, name).text = str(value)
    kept = app._get_module("s3")._bucket_encryption
    if rules:
        kept[bucket] = ElementTree.tostring(whole, encoding="unicode")
    else:
        kept.pop(bucket, None)


@lru_cache(maxsize=64)
def _key(configuration: str) -> str:
    """The key's ARN in a bucket's encryption configuration (XML), empty for S3's own keys."""
    if not configuration:
        return ""
    root = ElementTree.fromstring(configuration)  # noqa: S314 - MiniStack has taken it
    texts = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    return texts.get("KMSMasterKeyID", "") if texts.get("SSEAlgorithm") == "aws:kms" else ""
