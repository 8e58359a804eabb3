"""RunInstances: what a request asks for, checked against what is there, as records of instances."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from local_aws import ec2_images
from local_aws.dispatch import COVERAGE
from local_aws.ec2_guest import set_state
from local_aws.errors import ApiError

Record = dict[str, Any]
MAX_USER_DATA_BYTES = 16_384
MAX_CLIENT_TOKEN = 64
MAX_INSTANCES = 20
_FOLLOWED = {
    "ImageId", "InstanceType", "MinCount", "MaxCount", "KeyName", "SecurityGroupIds", "SubnetId", "UserData",
    "TagSpecifications", "InstanceMarketOptions", "MetadataOptions", "InstanceInitiatedShutdownBehavior",
    "ClientToken", "IamInstanceProfile", "NetworkInterfaces", "DryRun",
}  # fmt: skip
_KEPT = {"BlockDeviceMappings", "EbsOptimized", "Monitoring", "CreditSpecification", "MaintenanceOptions"}
_METADATA = {
    "HttpTokens": "required",
    "HttpPutResponseHopLimit": 2,
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}


@dataclass(frozen=True)
class Launch:
    """A checked request: what its instances are made of."""

    image: str
    instance_type: str
    subnet: str
    groups: list[str]
    profile: dict[str, str] | None
    user_data: bytes
    count: int
    tags: dict[str, list[dict[str, str]]]
    spot: bool
    request: dict[str, Any]


def check(request: dict[str, Any], ec2: Any, ssm: Any, iam: Any) -> Launch:
    """Everything AWS would refuse is refused, in its words where they are known. Raises ApiError."""
    refused = sorted(set(request) - _FOLLOWED - _KEPT)
    if refused:
        raise ApiError("UnsupportedOperation", f"{', '.join(refused)}: not there in the local AWS, see {COVERAGE}")
    if len(request.get("ClientToken", "")) > MAX_CLIENT_TOKEN:
        raise ApiError("InvalidParameterValue", f"ClientToken is longer than {MAX_CLIENT_TOKEN} characters")
    subnet, groups = _network(request, ec2)
    key = request.get("KeyName")
    if key and key not in ec2._key_pairs:
        raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
    return Launch(
        image=ec2_images.resolve(request.get("ImageId"), ec2, ssm),
        instance_type=request.get("InstanceType", "m1.small"),
        subnet=subnet,
        groups=groups,
        profile=_profile(request.get("IamInstanceProfile", {}), iam),
        user_data=_user_data(request.get("UserData", "")),
        count=_count(request["MinCount"], request["MaxCount"]),
        tags={kind: _tags(request, kind) for kind in ("instance", "volume")},
        spot=_is_spot(request.get("InstanceMarketOptions", {})),
        request=request,
    )


def _tags(request: dict[str, Any], kind: str) -> list[dict[str, str]]:
    named = [one for one in request.get("TagSpecifications", []) if one.get("ResourceType") == kind]
    return [{"Key": tag["Key"], "Value": tag.get("Value", "")} for one in named for tag in one.get("Tags", [])]


def _count(least: int, most: int) -> int:
    if least < 1 or most < least:
        raise ApiError("InvalidParameterValue", f"MinCount {least}, MaxCount {most}: must be 1 <= MinCount <= MaxCount")
    if least > MAX_INSTANCES:
        raise ApiError("InstanceLimitExceeded", f"You have requested more instances ({least}) than {MAX_INSTANCES}")
    return min(most, MAX_INSTANCES)


def _user_data(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
    if len(data) > MAX_USER_DATA_BYTES:
        raise ApiError("InvalidParameterValue", f"User data is limited to {MAX_USER_DATA_BYTES} bytes")
    return data


def _is_spot(market: dict[str, Any]) -> bool:
    if market.get("MarketType", "on-demand") == "on-demand":
        return False
    options = market.get("SpotOptions", {})
    wanted = (market["MarketType"], options.get("SpotInstanceType"), options.get("InstanceInterruptionBehavior"))
    if wanted[0] != "spot" or wanted[1] == "persistent" or wanted[2] not in (None, "terminate"):
        problem = "only one-time spot instances that are terminated when interrupted are there in the local AWS"
        raise ApiError("UnsupportedOperation", f"InstanceMarketOptions: {problem}, see {COVERAGE}")
    return True


def _network(request: dict[str, Any], ec2: Any) -> tuple[str, list[str]]:
    """The subnet and the security groups, from the request itself or from its one network interface."""
    interfaces = request.get("NetworkInterfaces", [])
    if len(interfaces) > 1 or (interfaces and ("SubnetId" in request or "SecurityGroupIds" in request)):
        problem = "Network interfaces and an instance-level subnet ID may not be specified on the same request"
        raise ApiError("InvalidParameterCombination", problem)
    asked = interfaces[0] if interfaces else request
    subnet = asked.get("SubnetId") or ec2._DEFAULT_SUBNET_ID
    if subnet not in ec2._subnets:
        raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist")
    network = ec2._subnets[subnet]["VpcId"]
    groups = asked.get("Groups") or asked.get("SecurityGroupIds") or [_default_group(ec2, network)]
    for group in groups:
        if group not in ec2._security_groups:
            raise ApiError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        if ec2._security_groups[group]["VpcId"] != network:
            problem = f"Security group {group} and subnet {subnet} belong to different networks."
            raise ApiError("InvalidParameter", problem)
    return subnet, groups


def _default_group(ec2: Any, network: str) -> str:
    named = [one for one in ec2._security_groups.values() if (one["VpcId"], one["GroupName"]) == (network, "default")]
    return str(named[0]["GroupId"]) if named else str(ec2._DEFAULT_SG_ID)


def _profile(asked: dict[str, str], iam: Any) -> dict[str, str] | None:
    """The instance profile's ARN and id."""
    if not asked:
        return None
    name, arn = asked.get("Name", ""), asked.get("Arn", "")
    profile = iam._lookup_instance_profile(name=name, arn=arn) if bool(name) != bool(arn) else None
    if profile is None:
        kind, value = ("name", name) if name else ("arn", arn)
        said = f"Value ({value}) for parameter iamInstanceProfile.{kind} is invalid. Invalid IAM Instance Profile "
        raise ApiError("InvalidParameterValue", said + ("name" if name else "ARN"))
    if not profile["Roles"]:
        raise ApiError("InvalidParameterValue", f'IAM Instance Profile "{profile["Arn"]}" has no associated IAM Roles')
    return {"Arn": profile["Arn"], "Id": profile["InstanceProfileId"]}


def fingerprint(request: dict[str, Any]) -> str:
    """What must be the same when a client token comes again."""
    document = json.dumps({name: value for name, value in request.items() if name != "DryRun"}, sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def create(launch: Launch, ec2: Any) -> list[Record]:
    """MiniStack's records of the instances, in the state pending, with all members they will ever have.

    (Members that came later would change a dictionary's size while the state is being saved.)
    """
    request = launch.request
    records: list[Record] = ec2._launch_instances_internal(
        image_id=launch.image,
        instance_type=launch.instance_type,
        subnet_id=launch.subnet,
        count=launch.count,
        key_name=request.get("KeyName", ""),
        user_data=request.get("UserData", ""),
        sg_ids=launch.groups,
        iam_profile=launch.profile,
    )
    zone = ec2._subnets[launch.subnet]["AvailabilityZone"]
    for index, record in enumerate(records):
        set_state(record, "pending")
        record["Placement"] = {**record["Placement"], "AvailabilityZone": zone}
        record.update(
            AmiLaunchIndex=index,
            ReservationId="r-" + records[0]["InstanceId"][2:],
            InstanceInitiatedShutdownBehavior=request.get("InstanceInitiatedShutdownBehavior", "stop"),
            MetadataOptions={"State": "applied", **_METADATA, **request.get("MetadataOptions", {})},
            ClientToken=request.get("ClientToken", ""),
            InstanceLifecycle="spot" if launch.spot else None,
            StateReason=None,
            StateTransitionReason="",
            _terminated_at=0.0,
            _fingerprint=fingerprint(request),
        )
        _tag(record["InstanceId"], launch.tags["instance"], ec2)
        for volume in volumes(record):
            _tag(volume, launch.tags["volume"], ec2)
    return records


def _tag(resource: str, tags: list[dict[str, str]], ec2: Any) -> None:
    if tags:
        ec2._tags[resource] = [dict(tag) for tag in tags]


def volumes(record: Record) -> list[str]:
    """Ids of the volumes that end with the instance."""
    return [one["Ebs"]["VolumeId"] for one in record["BlockDeviceMappings"] if one["Ebs"]["DeleteOnTermination"]]
