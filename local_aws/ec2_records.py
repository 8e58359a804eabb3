"""Records of instances: found by id or filter, and shown as EC2 shows them."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Callable
from typing import Any

from local_aws.ec2_launch import Record
from local_aws.errors import ApiError
from local_aws.settings import ACCOUNT_ID

_INSTANCE_ID = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")
_KEPT_SECONDS = 3600.0

# filter -> what it looks at in a record (tags are looked up elsewhere)
_FILTERS: dict[str, Callable[[Record], Any]] = {
    "instance-id": lambda record: record["InstanceId"],
    "instance-state-name": lambda record: record["State"]["Name"],
    "instance-state-code": lambda record: record["State"]["Code"],
    "instance-type": lambda record: record["InstanceType"],
    "instance-lifecycle": lambda record: record.get("InstanceLifecycle"),
    "image-id": lambda record: record["ImageId"],
    "client-token": lambda record: record.get("ClientToken"),
    "reservation-id": lambda record: record.get("ReservationId"),
    "availability-zone": lambda record: record["Placement"]["AvailabilityZone"],
    "subnet-id": lambda record: record["SubnetId"],
    "vpc-id": lambda record: record["VpcId"],
    "key-name": lambda record: record["KeyName"],
    "iam-instance-profile.arn": lambda record: (record.get("IamInstanceProfile") or {}).get("Arn"),
}


def named(ids: list[str], ec2: Any) -> list[Record]:
    """The records of `ids`. Raises ApiError for an id that is malformed or unknown."""
    for instance in ids:
        if not _INSTANCE_ID.fullmatch(instance):
            raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{instance}"')
    missing = [instance for instance in ids if instance not in ec2._instances]
    if missing:
        subject, verb = ("ID", "does") if len(missing) == 1 else ("IDs", "do")
        problem = f"The instance {subject} '{', '.join(missing)}' {verb} not exist"
        raise ApiError("InvalidInstanceID.NotFound", problem)
    return [ec2._instances[instance] for instance in ids]


def chosen(request: dict[str, Any], ec2: Any) -> list[Record]:
    """The records that the request's ids and filters choose; AWS forgets terminated ones after about an hour."""
    horizon = time.time() - _KEPT_SECONDS
    ids = request.get("InstanceIds")
    found = named(ids, ec2) if ids else list(ec2._instances.values())
    found = [one for one in found if one["State"]["Name"] != "terminated" or one.get("_terminated_at", 0) > horizon]
    for one in request.get("Filters", []):
        name, patterns = one["Name"], one.get("Values", [])
        found = [record for record in found if _matches(_values(record, name, ec2), patterns)]
    return found


def _values(record: Record, name: str, ec2: Any) -> list[str]:
    tags = {tag["Key"]: tag["Value"] for tag in ec2._tags.get(record["InstanceId"], [])}
    if name == "tag-key":
        return list(tags)
    if name.startswith("tag:"):
        return [tags[name[4:]]] if name[4:] in tags else []
    if name not in _FILTERS:
        raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    value = _FILTERS[name](record)
    return [] if value is None else [str(value)]


def _matches(values: list[str], patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns)


def reservation(records: list[Record], ec2: Any) -> dict[str, Any]:
    """A Reservation of `records`, which were launched together."""
    return {
        "ReservationId": _reservation_id(records[0]),
        "OwnerId": ACCOUNT_ID,
        "Groups": [],
        "Instances": [
            {**record, "VirtualizationType": record["Virtualization"], "Tags": ec2._tags.get(record["InstanceId"], [])}
            for record in records
        ],
    }


def reservations(records: list[Record], ec2: Any) -> list[dict[str, Any]]:
    """`records` by the request that launched them."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(_reservation_id(record), []).append(record)
    return [reservation(group, ec2) for group in groups.values()]


def _reservation_id(record: Record) -> str:
    return str(record.get("ReservationId") or "r-" + record["InstanceId"][2:])


def changes(records: list[Record], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """InstanceStateChange of each record, with the state it had `before`."""
    return [
        {"InstanceId": record["InstanceId"], "PreviousState": earlier, "CurrentState": record["State"]}
        for record, earlier in zip(records, before, strict=True)
    ]


def status(record: Record) -> dict[str, Any]:
    """InstanceStatus: both checks pass as soon as the instance runs."""
    runs = record["State"]["Name"] == "running"
    details = [{"Name": "reachability", "Status": "passed"}] if runs else []
    summary = {"Status": "ok" if runs else "not-applicable", "Details": details}
    return {
        "InstanceId": record["InstanceId"],
        "AvailabilityZone": record["Placement"]["AvailabilityZone"],
        "InstanceState": record["State"],
        "InstanceStatus": summary,
        "SystemStatus": summary,
    }
