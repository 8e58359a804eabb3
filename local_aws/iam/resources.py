"""What is known of the resources a call names: their tags, an endpoint's configuration, the service-linked role."""

from __future__ import annotations

from collections.abc import Mapping

from ministack import app

from local_aws.iam.needs import pairs
from local_aws.settings import ACCOUNT_ID
from local_aws.store import Store

# Roles that services make for themselves, with the rights of whoever first needs them.
_LINKED = f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/"
SCALING_ROLE = (
    f"{_LINKED}sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
SPOT_ROLE = f"{_LINKED}spot.amazonaws.com/AWSServiceRoleForEC2Spot"

_stores: list[Store] = []


def use(sagemaker: Store) -> None:
    """Tells where SageMaker's records are (patches.py)."""
    _stores[:] = [sagemaker]


def endpoint_config(endpoint: str) -> str:
    """The name of the endpoint's configuration; empty for one that is not there."""
    record = _stores[0].table("endpoints").get(endpoint) if _stores else None
    return str((record or {}).get("EndpointConfigName", ""))


def has_role(role_arn: str) -> bool:
    """Whether the account has the role."""
    return role_arn.rpartition("/")[2] in app._get_module("iam")._roles


def has_object(bucket: str, key: str) -> bool:
    """Whether the object is there. In a bucket that is not there the bucket is what is missing."""
    record = app._get_module("s3")._buckets.get(bucket)
    return record is None or key in record["objects"]


def make_service_role(role_arn: str) -> None:
    """Makes a service-linked role, if it is not there."""
    if has_role(role_arn):
        return
    _, principal, name = role_arn.partition(":role/")[2].split("/")
    service = app._get_module("iam")
    service._create_service_linked_role({"AWSServiceName": [principal]})
    # MiniStack names every service's role after its first word.
    role = service._roles.pop(f"AWSServiceRoleFor{principal.partition('.')[0].capitalize()}")
    service._roles[name] = {**role, "RoleName": name, "Arn": role_arn}


def tags_of(arn: str) -> Mapping[str, str]:
    """The tags of the resource; none for one that is not there, or whose service has none here."""
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if service == "sagemaker" and _stores:
        found: Mapping[str, str] = _stores[0].table("tags").get(arn, {})
        return found
    if service == "ec2":
        return pairs(app._get_module("ec2")._tags.get(arn.rpartition("/")[2]))
    if service == "states":
        return pairs(app._get_module("stepfunctions")._tags.get(arn))
    return {}
