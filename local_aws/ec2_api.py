"""The EC2 operations that are ours; every other one is MiniStack's."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from botocore.model import ServiceModel

from local_aws import ec2_launch, ec2_records, ec2_wire, models
from local_aws.ec2_instances import Instances
from local_aws.ec2_launch import Record
from local_aws.errors import ApiError, Response
from local_aws.settings import Paths

Handler = Callable[..., Awaitable[Response]]


class EC2:
    """MiniStack's EC2 with instances that run. `module` gives MiniStack's modules by name, `others` its handler."""

    def __init__(self, paths: Paths, module: Callable[[str], Any], others: Handler) -> None:
        self.instances = Instances(paths)
        self._module = module
        self._others = others
        self.operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "RunInstances": self.run,
            "DescribeInstances": self.describe,
            "DescribeInstanceStatus": self.status,
            "DescribeInstanceAttribute": self.attribute,
            "GetConsoleOutput": self.console,
            "TerminateInstances": lambda request: self._end(request, "terminated", "TerminatingInstances"),
            "StopInstances": lambda request: self._end(request, "stopped", "StoppingInstances"),
            "StartInstances": self.start,
        }

    @property
    def _ec2(self) -> Any:
        return self._module("ec2")

    def _model(self) -> ServiceModel:
        return models.service_model("ec2", tuple(sorted(self.operations)))

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        """Answers one request of the query protocol."""
        fields = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
        fields |= dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        name = fields.get("Action", "")
        function = self.operations.get(name)
        if function is None:
            return await self._others(method, path, headers, body, query)
        # The model of EC2 is the largest there is: it is read once, beside the event loop.
        model = await asyncio.to_thread(self._model)
        operation = model.operation_model(name)
        self._ec2._ensure_defaults_initialized()
        try:
            request = ec2_wire.parse(operation, fields)
            answer = function(request)
            return ec2_wire.answer(operation, answer)
        except ApiError as problem:
            return ec2_wire.error(problem)

    # Operations

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """RunInstances; the same client token gives the same instances."""
        iam, ssm = self._module("iam"), self._module("ssm")
        launch = ec2_launch.check(request, self._ec2, ssm, iam)
        if request.get("DryRun"):
            raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        records = self._launched_before(request) or self.instances.launch(launch, self._ec2, iam)
        return ec2_records.reservation(records, self._ec2)

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeInstances."""
        return {"Reservations": ec2_records.reservations(ec2_records.chosen(request, self._ec2), self._ec2)}

    def status(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeInstanceStatus: of those that run, or of all."""
        found = ec2_records.chosen(request, self._ec2)
        if not request.get("IncludeAllInstances"):
            found = [record for record in found if record["State"]["Name"] == "running"]
        return {"InstanceStatuses": [ec2_records.status(record) for record in found]}

    def attribute(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeInstanceAttribute, of the attributes that instances have here."""
        (record,) = ec2_records.named([request["InstanceId"]], self._ec2)
        known = {
            "instanceType": record["InstanceType"],
            "userData": record["UserData"],
            "instanceInitiatedShutdownBehavior": record.get("InstanceInitiatedShutdownBehavior", "stop"),
            "disableApiTermination": False,
        }
        name = request["Attribute"]
        if name not in known:
            raise ApiError(
                "UnsupportedOperation", f"Attribute {name} is not there in the local AWS: {sorted(known)} are"
            )
        return {"InstanceId": record["InstanceId"], name[:1].upper() + name[1:]: {"Value": known[name]}}

    def console(self, request: dict[str, Any]) -> dict[str, Any]:
        """GetConsoleOutput: always the latest."""
        (record,) = ec2_records.named([request["InstanceId"]], self._ec2)
        text = base64.b64encode(self.instances.console(record["InstanceId"])).decode()
        return {"InstanceId": record["InstanceId"], "Timestamp": time.time(), "Output": text}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """StartInstances: user data is run at the first boot only, so nothing runs."""
        records = ec2_records.named(request["InstanceIds"], self._ec2)
        for record in records:
            if record["State"]["Name"] not in ("stopped", "running", "pending"):
                problem = f"The instance '{record['InstanceId']}' is not in a state from which it can be started."
                raise ApiError("IncorrectInstanceState", problem)
        before = [record["State"] for record in records]
        for record in records:
            self.instances.restart(record)
        return {"StartingInstances": ec2_records.changes(records, before)}

    def _end(self, request: dict[str, Any], state: str, member: str) -> dict[str, Any]:
        records = ec2_records.named(request["InstanceIds"], self._ec2)
        for record in records:
            if state == "stopped" and record["State"]["Name"] in ("shutting-down", "terminated"):
                problem = f"This instance '{record['InstanceId']}' is not in a state from which it can be stopped."
                raise ApiError("IncorrectInstanceState", problem)
            if state == "stopped" and record.get("InstanceLifecycle") == "spot":
                problem = f"You can't stop the Spot Instance '{record['InstanceId']}' because it is a one-time request"
                raise ApiError("UnsupportedOperation", problem)
        before = [record["State"] for record in records]
        for record in records:
            self.instances.end(record, state)
        return {member: ec2_records.changes(records, before)}

    def _launched_before(self, request: dict[str, Any]) -> list[Record]:
        token = request.get("ClientToken")
        found = [one for one in self._ec2._instances.values() if token and one.get("ClientToken") == token]
        if any(record["_fingerprint"] != ec2_launch.fingerprint(request) for record in found):
            problem = (
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            )
            raise ApiError("IdempotentParameterMismatch", problem)
        return found
