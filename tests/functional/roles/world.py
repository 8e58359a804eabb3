"""The deployed stack, the roles it was deployed with, and what several paths ask of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from tests.functional.conftest import came
from tests.functional.failures import remains
from tests.functional.failures.quick import Quick

Count = tuple[str, str, str]  # role (logical id), Sid, action


@dataclass
class World:
    """Paths walk as an administrator, as the person at the keyboard is; only what they set going has a role."""

    quick: Quick

    # --- the roles --------------------------------------------------------------------------------------------------

    @cached_property
    def _roles(self) -> dict[str, str]:
        """A role's name -> its logical id. (Names are cut to fit, so they do not tell.)"""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        found = (one for page in pages for one in page["StackResourceSummaries"])
        return {
            one["PhysicalResourceId"]: one["LogicalResourceId"]
            for one in found
            if one["ResourceType"] == "AWS::IAM::Role"
        }

    def _role(self, arn: str) -> str:
        return self._roles.get(arn.rpartition("/")[2], "")

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """("ROLE.SID", what the emulator tells of it) of every statement of the stack's roles."""
        for one in self.quick.switch("GET", "iam")["statements"]:
            if role := self._role(one["role"]):
                yield f"{role}.{one['sid']}", one

    @contextmanager
    def without(self, statement: str) -> Iterator[None]:
        """Within it the statement "ROLE.SID" is not there."""
        (found,) = (one for name, one in self.statements() if name == statement)
        named = {"role": found["role"], "policy": found["policy"], "sid": found["sid"]}
        self.quick.switch("POST", "iam", {**named, "enabled": False})
        try:
            yield
        finally:
            self.quick.switch("POST", "iam", {**named, "enabled": True})

    def forget(self) -> None:
        """Forgets what was allowed and denied so far."""
        self.quick.switch("DELETE", "iam")

    def denied(self) -> set[tuple[str, str]]:
        """(role, action) of what was denied since `forget`."""
        return {(self._role(one["role"]), one["action"]) for one in self.quick.switch("GET", "iam")["denied"]}

    def untraced(self) -> str:
        """Whether an execution had no trace. The embedded AWS has no X-Ray but asks for its rights, as X-Ray would."""
        missing = sorted(f"{role}: {action}" for role, action in self.denied() if action.startswith("xray:"))
        return f"no trace ({', '.join(missing)})" if missing else ""

    # --- the stack --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The stack's name, which is the endpoint's and the model package group's, too."""
        return self.quick.stack.name

    def client(self, service: str) -> Any:
        """A boto3 client of an administrator."""
        return self.quick.client(service)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def physical(self, logical: str) -> str:
        """The physical id of a resource of the template."""
        found = self.client("cloudformation").describe_stack_resource(StackName=self.name, LogicalResourceId=logical)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def machine(self, kind: str) -> str:
        """The ARN of a state machine: Pipeline, TrainOnEc2, Deploy, Batch, Sweep, Teardown."""
        return self.outputs[f"{kind}Arn"]

    def endpoint(self) -> dict[str, Any] | None:
        """The endpoint as it is; None when it is not."""
        return remains.endpoint(self.client, self.name)

    def scales(self) -> bool:
        """Whether the endpoint is registered for scaling, with a policy."""
        scaling, asked = self.client("application-autoscaling"), {"ServiceNamespace": "sagemaker"}
        targets = scaling.describe_scalable_targets(**asked)["ScalableTargets"]
        return bool(targets) and bool(scaling.describe_scaling_policies(**asked)["ScalingPolicies"])

    def instances(self) -> list[str]:
        """The ids of the instances that are not terminated."""
        living = [{"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down"]}]
        reservations = self.client("ec2").describe_instances(Filters=living)["Reservations"]
        return [one["InstanceId"] for reservation in reservations for one in reservation["Instances"]]

    # --- what paths do ----------------------------------------------------------------------------------------------

    def execute(self, kind: str, given: Any = None, seconds: float = 60.0) -> str:
        """Runs a state machine to its end; gives what broke: error and cause, empty when it succeeded."""
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.machine(kind), input=json.dumps(given or {})
        )
        return told(self.quick.ended(started["executionArn"], seconds))

    def runs(self, execution: str) -> bool:
        """Whether an execution has not ended yet."""
        found = self.client("stepfunctions").describe_execution(executionArn=execution)
        return bool(found["status"] == "RUNNING")

    def executions(self, kind: str) -> list[dict[str, Any]]:
        """The executions of a state machine."""
        found: list[dict[str, Any]] = self.client("stepfunctions").list_executions(stateMachineArn=self.machine(kind))[
            "executions"
        ]
        return found

    def stop_everything(self) -> None:
        """Stops every execution, terminates every instance: what a path without its statement has left."""
        for execution in remains.executions(self.client):
            self.client("stepfunctions").stop_execution(executionArn=execution)
        if left := self.instances():
            self.client("ec2").terminate_instances(InstanceIds=left)
            came(lambda: not self.instances(), 10.0)

    def delete_service_role(self, role: str) -> None:
        """As in an account in which nobody has scaled an endpoint (SCALING) or started a spot instance (SPOT) yet."""
        try:
            self.client("iam").delete_service_linked_role(RoleName=role)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise


SCALING, SPOT = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint", "AWSServiceRoleForEC2Spot"


def told(outcome: Any) -> str:
    """What broke in an execution; empty when it succeeded."""
    return "" if outcome.status == "SUCCEEDED" else f"{outcome.status} {outcome.error}: {outcome.cause}"
