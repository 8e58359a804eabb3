"""The table's EC2 part: launching an instance is authorised on everything that comes with it.

Requests are read as EC2's query protocol has them: singular names, lists by number.
"""

from __future__ import annotations

from typing import Any

from local_aws.iam import resources
from local_aws.iam.needs import Need, Params, pairs, strings
from local_aws.settings import ACCOUNT_ID, REGION

_HERE = f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:"
# An AMI named by an SSM parameter is known only when EC2 has looked it up.
_RESOLVED = "ami-0123456789abcdef0"


def _image(params: Params) -> list[str]:
    image = str(params.get("ImageId", ""))
    # Images belong to no account in an ARN.
    return [f"arn:aws:ec2:{REGION}::image/{_RESOLVED if image.startswith('resolve:ssm:') else image}"] if image else []


def _parameter(params: Params) -> list[str]:
    image = str(params.get("ImageId", ""))
    if not image.startswith("resolve:ssm:"):
        return []
    name = image.removeprefix("resolve:ssm:").partition(":")[0]
    account = "" if name.startswith("/aws/") else ACCOUNT_ID
    return [f"arn:aws:ssm:{REGION}:{account}:parameter/{name.lstrip('/')}"]


def _interfaces(params: Params, member: str) -> list[str]:
    return [*strings(params, member), *strings(params, f"NetworkInterface.{member}")]


def _subnets(params: Params) -> list[str]:
    # Without one EC2 takes the default VPC's, which is authorised as well.
    return [f"{_HERE}subnet/{name}" for name in _interfaces(params, "SubnetId") or ["*"]]


def _groups(params: Params) -> list[str]:
    return [f"{_HERE}security-group/{name}" for name in _interfaces(params, "SecurityGroupId") or ["*"]]


def _profile(params: Params) -> dict[str, Any] | None:
    from ministack import app  # noqa: PLC0415 - only in the emulator's own process

    given = params.get("IamInstanceProfile") or {}
    name = given.get("Name") or str(given.get("Arn", "")).rpartition("/")[2]
    found: dict[str, Any] | None = app._get_module("iam")._instance_profiles.get(name)
    return found


def _profile_role(params: Params) -> list[str]:
    from ministack import app  # noqa: PLC0415

    profile = _profile(params) if params.get("IamInstanceProfile") else None
    names = [one if isinstance(one, str) else one.get("RoleName", "") for one in (profile or {}).get("Roles", [])]
    stored = [app._get_module("iam")._roles.get(name) for name in names]
    return [role["Arn"] for role in stored if role]


def _tagged(kind: str) -> dict[str, Any]:
    """Members of Need for what RunInstances tags: aws:RequestTag is that of the resource's own specification."""

    def arns(params: Params) -> list[str]:
        return [f"{_HERE}{kind}/*"] if _specified(params, kind) else []

    return {"resources": (arns,), "fallback": None, "tags": f"tags:{kind}"}


def _specified(params: Params, kind: str) -> dict[str, str]:
    given = params.get("TagSpecification") or []
    return {
        key: value for one in given if one.get("ResourceType") == kind for key, value in pairs(one.get("Tag")).items()
    }


def prepared(params: Params) -> dict[str, Any]:
    """The request with the tags of each kind of resource where the rows look for them."""
    kinds = ("instance", "volume", "network-interface", "spot-instances-request")
    return {**params, **{f"tags:{kind}": _specified(params, kind) for kind in kinds}}


_KINDS = {"i": "instance", "vol": "volume", "eni": "network-interface", "ami": "image", "sg": "security-group"}


def _tagged_ids(params: Params) -> list[str]:
    names = strings(params, "ResourceId")
    return [f"{_HERE}{_KINDS.get(name.partition('-')[0], '*')}/{name}" for name in names]


def _spot(params: Params, resource: str) -> list[str]:
    options = params.get("InstanceMarketOptions") or {}
    return [resource] if options.get("MarketType") == "spot" else []


def _spot_request(params: Params) -> list[str]:
    return _spot(params, f"{_HERE}spot-instances-request/*")


def _spot_role(params: Params) -> list[str]:
    """The service-linked role that the account's first spot instance makes."""
    return [one for one in _spot(params, resources.SPOT_ROLE) if not resources.has_role(one)]


_INSTANCE_KEYS = {"ec2:InstanceType": "InstanceType"}
_RUN = "ec2:RunInstances"


def _launch(kind: str, **context: str) -> Need:
    return Need(_RUN, (f"ec2:{{region}}:{{account}}:{kind}/*",), tags=f"tags:{kind}", context=context)


EC2: dict[str, tuple[Need, ...]] = {
    "RunInstances": (
        _launch("instance", **_INSTANCE_KEYS),
        Need(_RUN, (_image,), tags=""),
        Need(_RUN, (_subnets,), tags=""),
        Need(_RUN, (_groups,), tags=""),
        _launch("network-interface"),
        _launch("volume"),
        *(
            Need("ec2:CreateTags", context={"ec2:CreateAction": "=RunInstances"}, **_tagged(kind))
            for kind in ("instance", "volume", "network-interface", "spot-instances-request")
        ),
        Need(_RUN, (_spot_request,), None, tags="tags:spot-instances-request"),
        Need(
            "iam:CreateServiceLinkedRole",
            (_spot_role,),
            None,
            tags="",
            context={"iam:AWSServiceName": "=spot.amazonaws.com"},
        ),
        Need("ssm:GetParameters", (_parameter,), None, tags=""),
        Need("iam:PassRole", (_profile_role,), None, tags="", context={"iam:PassedToService": "=ec2.amazonaws.com"}),
    ),
    **{
        name: (Need(f"ec2:{name}", ("ec2:{region}:{account}:instance/{InstanceId}",)),)
        for name in ("TerminateInstances", "StopInstances", "StartInstances", "RebootInstances")
    },
    "CreateTags": (Need("ec2:CreateTags", (_tagged_ids,), tags="Tag"),),
    # Describing has no resource type.
    **{
        name: (Need(f"ec2:{name}"),)
        for name in (
            "DescribeInstances", "DescribeInstanceStatus", "DescribeInstanceTypes", "DescribeImages", "DescribeSubnets",
            "DescribeSecurityGroups", "DescribeVpcs", "DescribeTags", "DescribeVolumes", "DescribeNetworkInterfaces",
            "DescribeAvailabilityZones",
        )
    },
}  # fmt: skip
