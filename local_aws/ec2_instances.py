"""The instances that live, by id: started, ended, interrupted; and what each one's metadata service tells it."""

from __future__ import annotations

import contextvars
import json
import time
from collections.abc import Callable
from typing import Any

from local_aws import credentials, ec2_launch
from local_aws.ec2_guest import CONSOLE, Ending, Guest, set_state
from local_aws.ec2_launch import Launch, Record
from local_aws.ec2_metadata import Tree
from local_aws.ec2_wire import iso
from local_aws.errors import ApiError
from local_aws.iam.callers import AccessDeniedError, assume
from local_aws.settings import ACCOUNT_ID, REGION, Paths, time_factor

NOTICE_SECONDS = 120.0
MAX_CONSOLE_BYTES = 65_536
BY_USER = "Client.UserInitiatedShutdown"
_REFRESH_SECONDS = 3600.0


class Instances:
    """Starts and ends what runs for the records of instances in MiniStack's module `ec2`."""

    def __init__(self, paths: Paths) -> None:
        self.folder = paths.instances
        self.guests: dict[str, Guest] = {}
        self._notices: dict[str, dict[str, str]] = {}

    def launch(self, launch: Launch, ec2: Any, iam: Any) -> list[Record]:
        """Records of new instances, which boot from now on."""
        records = ec2_launch.create(launch, ec2)
        for record in records:
            instance = record["InstanceId"]
            folder = self.folder / instance
            folder.mkdir(parents=True)
            guest = Guest(record, folder, launch.user_data, self._tree(record, launch, ec2, iam))
            guest.on_end = lambda record=record: self._ended(record, ec2)  # type: ignore[misc]
            self.guests[instance] = guest
            guest.start(contextvars.copy_context().run)
        return records

    def end(self, record: Record, state: str) -> None:
        """What TerminateInstances ("terminated") and StopInstances ("stopped") do."""
        guest = self.guests.get(record["InstanceId"])
        if guest is not None and guest.end("user", Ending(state, BY_USER, "User initiated shutdown")):
            return
        if record["State"]["Name"] != "terminated":
            record["_terminated_at"] = time.time()
            set_state(record, state)

    def restart(self, record: Record) -> None:
        """What StartInstances does: the instance runs again, without its user data, as after any later boot."""
        if record["State"]["Name"] == "stopped":
            set_state(record, "running")

    def interrupt(self, instance: str) -> None:
        """Takes a spot instance back: the notice now, the end two minutes later. Raises ApiError."""
        guest = self.guests.get(instance)
        if guest is None or guest.record["State"]["Name"] not in ("pending", "running"):
            raise ApiError("InvalidInstanceID.NotFound", f"No instance runs as '{instance}'", 404)
        if guest.record["InstanceLifecycle"] != "spot":
            raise ApiError("UnsupportedOperation", f"'{instance}' is not a spot instance", 409)
        seconds = NOTICE_SECONDS / time_factor()
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        self._notices[instance] = {"action": "terminate", "time": end}
        guest.end("spot", Ending("terminated", "Server.SpotInstanceTermination", "Spot instance termination"), seconds)

    def console(self, instance: str) -> bytes:
        """The last 64 KiB of what the instance has printed."""
        try:
            data = (self.folder / instance / CONSOLE).read_bytes()
        except OSError:
            return b""
        return data[-MAX_CONSOLE_BYTES:]

    def abandon(self) -> None:
        """Kills everything and leaves the records as they are: the emulator is ending. Blocks."""
        for guest in list(self.guests.values()):
            guest.abandon()
        self.guests.clear()

    def _ended(self, record: Record, ec2: Any) -> None:
        self.guests.pop(record["InstanceId"], None)
        self._notices.pop(record["InstanceId"], None)
        if record["State"]["Name"] == "terminated":
            for volume in ec2_launch.volumes(record):
                ec2._volumes.pop(volume, None)
                ec2._tags.pop(volume, None)

    def _tree(self, record: Record, launch: Launch, ec2: Any, iam: Any) -> Tree:
        """The paths below /latest/ of the instance's metadata service."""
        instance, zone = record["InstanceId"], record["Placement"]["AvailabilityZone"]
        described: Tree = {
            "ami-id": record["ImageId"],
            "ami-launch-index": record["AmiLaunchIndex"],
            "instance-id": instance,
            "instance-type": record["InstanceType"],
            "instance-life-cycle": record["InstanceLifecycle"] or "on-demand",
            "local-hostname": record["PrivateDnsName"],
            "local-ipv4": record["PrivateIpAddress"],
            "placement": {"availability-zone": zone, "region": REGION},
            "reservation-id": record["ReservationId"],
            "security-groups": "\n".join(group["GroupName"] for group in record["SecurityGroups"]),
            "spot": {"instance-action": lambda: _json(self._notices.get(instance))},
        }
        if record["MetadataOptions"]["InstanceMetadataTags"] == "enabled":
            tags = ec2._tags.get(instance, [])
            described["tags"] = {"instance": {tag["Key"]: tag["Value"] for tag in tags}}
        if launch.profile:
            described["iam"] = _iam(launch.profile, instance, iam)
        return {
            "meta-data": described,
            "dynamic": {"instance-identity": {"document": _json(_identity(record))}},
            "user-data": launch.user_data.decode(errors="replace") or None,
        }


def _json(document: Any) -> str | None:
    return None if document is None else json.dumps(document, indent=2)


def _identity(record: Record) -> dict[str, Any]:
    return {
        "accountId": ACCOUNT_ID,
        "architecture": record["Architecture"],
        "availabilityZone": record["Placement"]["AvailabilityZone"],
        "imageId": record["ImageId"],
        "instanceId": record["InstanceId"],
        "instanceType": record["InstanceType"],
        "pendingTime": record["LaunchTime"],
        "privateIp": record["PrivateIpAddress"],
        "region": REGION,
        "version": "2017-09-30",
    }


def _iam(profile: dict[str, str], instance: str, iam: Any) -> Tree:
    role = iam._roles[iam._lookup_instance_profile(arn=profile["Arn"])["Roles"][0]]
    info = {"Code": "Success", "InstanceProfileArn": profile["Arn"], "InstanceProfileId": profile["Id"]}
    return {
        "info": _json(info),
        "security-credentials": {role["RoleName"]: Credentials(role["Arn"], instance)},
    }


class Credentials:
    """The credentials document of an instance's role; the credentials are renewed hourly, long before they end."""

    def __init__(self, role_arn: str, instance: str) -> None:
        self._role_arn, self._instance = role_arn, instance
        self._document = ""
        self._until = 0.0

    def __call__(self) -> str:
        if time.monotonic() > self._until:
            source = f"arn:aws:ec2:{REGION}:{ACCOUNT_ID}:instance/{self._instance}"
            try:
                assume(self._role_arn, "ec2.amazonaws.com", source, self._instance)
            except AccessDeniedError:
                message = f"EC2 cannot assume the role {self._role_arn.rpartition('/')[2]}. See its trust policy."
                refused = {"Code": "AssumeRoleUnauthorizedAccess", "Message": message, "LastUpdated": iso(time.time())}
                return json.dumps(refused, indent=2)
            issued = credentials.issue(self._role_arn, self._instance)
            document = {
                "Code": "Success",
                "LastUpdated": iso(time.time()),
                "Type": "AWS-HMAC",
                "AccessKeyId": issued["AccessKeyId"],
                "SecretAccessKey": issued["SecretAccessKey"],
                "Token": issued["SessionToken"],
                "Expiration": issued["Expiration"],
            }
            self._document = json.dumps(document, indent=2)
            self._until = time.monotonic() + _REFRESH_SECONDS
        return self._document


def restored(ec2: Any) -> Callable[[Any], Any]:
    """MiniStack's `load_persisted_state`; after it no record says that something runs that ended with the emulator."""
    original = ec2.load_persisted_state

    def load_persisted_state(data: Any) -> Any:
        loaded = original(data)
        for record in ec2._instances.all_values():
            if record["State"]["Name"] in ("pending", "running", "shutting-down", "stopping"):
                record["_terminated_at"] = time.time()
                record["StateReason"] = Ending("terminated", "Server.InternalError", "the host ended").reason
                set_state(record, "terminated")
        return loaded

    return load_persisted_state
