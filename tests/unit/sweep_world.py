"""What the sweeper finds: runs in progress, instances, one endpoint and how it scales, and what an aborted run left."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.account import Account
from tests.unit.asl_walker import TaskError
from tests.unit.plans import SAGEMAKER, STATES, make_plan

DEAD = f"{STATES}:execution:kennel-pipeline:aborted"
ABORTED = {"detail-type": "Step Functions Execution Status Change", "detail": {"executionArn": DEAD}}
PLAN = make_plan({"run": "aborted"})
CONFIG, MODEL = PLAN["names"]["endpoint_config"], PLAN["names"]["model"]
PENDING = "PendingManualApproval"
SCALES = "minimum=1 maximum=4 metric=invocations target=1800 in=300 out=60"


class World(Account):
    """Answers the sweeper's calls."""

    def __init__(self, **fail: Exception) -> None:
        super().__init__(**fail)
        self.runs: list[list[str]] = []  # what runs, a look at a time; the last one stays
        self.instances: dict[str, str] = {}  # id -> its execution by the tag; empty is no tag
        self.endpoint: tuple[str, str] | None = None  # status, configuration
        self.pending: list[tuple[str, str]] = []  # what it becomes, one a look
        self.expires = "never"
        self.scaling = SCALES  # the tag of the configuration in service
        self.target: tuple[int, int] | None = None
        self.policy: dict[str, Any] | None = None
        self.configs, self.models = {"kennel-Old"}, {"kennel-Old"}
        self.packages: dict[str, str] = {}  # ARN of a pending model package -> its run
        self.teardowns = 0
        self.planned = True

    def serving(self, config: str = "kennel-Old", *, scales: bool = True) -> World:
        """An endpoint in service."""
        self.endpoint = ("InService", config)
        if scales:
            self.target, self.policy = (1, 4), {}
        return self

    def with_aborted_deployment(self) -> World:
        """The configuration and model of the run that was aborted."""
        self.configs.add(CONFIG)
        self.models.add(MODEL)
        return self

    def do_listExecutions(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StatusFilter"] == "RUNNING" and arguments["StateMachineArn"].endswith("kennel-pipeline")
        running = self.runs.pop(0) if len(self.runs) > 1 else self.runs[0] if self.runs else []
        return {"Executions": [{"Name": name} for name in running]}

    def do_describeInstances(self, arguments: dict[str, Any]) -> Any:
        assert arguments["Filters"][0] == {"Name": "tag:kennel:stack", "Values": ["kennel"]}
        found = [
            {"InstanceId": one, "Tags": [{"Key": "kennel:execution", "Value": owner}] if owner else []}
            for one, owner in self.instances.items()
        ]
        return {"Reservations": [{"Instances": [one]} for one in found]}

    def do_terminateInstances(self, arguments: dict[str, Any]) -> Any:
        for name in arguments["InstanceIds"]:
            del self.instances[name]
        return {}

    def do_describeEndpoint(self, _: Any) -> Any:
        if self.pending:
            self.endpoint = self.pending.pop(0)
        if not self.endpoint:
            raise TaskError("SageMaker.SageMakerException", f'Could not find endpoint "{SAGEMAKER}:endpoint/kennel".')
        status, config = self.endpoint
        return {"EndpointStatus": status, "EndpointConfigName": config, "EndpointArn": f"{SAGEMAKER}:endpoint/kennel"}

    def do_listTags(self, arguments: dict[str, Any]) -> Any:
        kind = arguments["ResourceArn"].removeprefix(f"{SAGEMAKER}:").partition("/")[0]
        assert arguments["ResourceArn"] == arguments["ResourceArn"].lower(), "SageMaker's ARNs are in lower case"
        told = {"endpoint": {"kennel:expires": self.expires}, "endpoint-config": {"kennel:scaling": self.scaling}}
        tags = {"kennel:stack": "kennel", **{key: value for key, value in told[kind].items() if value}}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def do_startExecution(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StateMachineArn"].endswith("kennel-teardown")
        self.teardowns += 1
        return {"ExecutionArn": f"{STATES}:execution:kennel-teardown:one"}

    def do_describeScalingPolicies(self, arguments: dict[str, Any]) -> Any:
        assert arguments["ResourceId"] == "endpoint/kennel/variant/primary"
        return {"ScalingPolicies": [] if self.policy is None else [self.policy]}

    def do_registerScalableTarget(self, arguments: dict[str, Any]) -> Any:
        self.target = (arguments["MinCapacity"], arguments["MaxCapacity"])
        return {}

    def do_putScalingPolicy(self, arguments: dict[str, Any]) -> Any:
        assert self.target, "there is no policy without a target"
        self.policy = arguments["TargetTrackingScalingPolicyConfiguration"]
        return {}

    def do_getExecutionHistory(self, arguments: dict[str, Any]) -> Any:
        assert arguments["ExecutionArn"] == DEAD
        events: list[dict[str, Any]] = [{"Type": "ExecutionStarted", "Id": 1}]
        if self.planned:
            details = {"Name": "ValidateRun", "Output": json.dumps({"Payload": PLAN, "StatusCode": 200})}
            events += [{"Type": "TaskStateExited", "Id": 2, "StateExitedEventDetails": details}]
        return {"Events": [*events, {"Type": "ExecutionAborted", "Id": 9}]}

    def do_listModelPackages(self, arguments: dict[str, Any]) -> Any:
        assert (arguments["ModelPackageGroupName"], arguments["ModelApprovalStatus"]) == ("kennel", PENDING)
        found = [
            {"ModelPackageArn": arn, "ModelPackageDescription": f"run {run}"} for arn, run in self.packages.items()
        ]
        return {"ModelPackageSummaryList": found}

    def do_updateModelPackage(self, arguments: dict[str, Any]) -> Any:
        assert arguments["ModelApprovalStatus"] == "Rejected"
        del self.packages[arguments["ModelPackageArn"]]
        return {}

    def do_deleteEndpointConfig(self, arguments: dict[str, Any]) -> Any:
        return self._delete(self.configs, arguments["EndpointConfigName"], "endpoint configuration")

    def do_deleteModel(self, arguments: dict[str, Any]) -> Any:
        return self._delete(self.models, arguments["ModelName"], "model")

    def _delete(self, there: set[str], name: str, kind: str) -> Any:
        assert not self.endpoint or self.endpoint[1] != name, "what serves is not to be deleted"
        if name not in there:
            raise TaskError("SageMaker.SageMakerException", f'Could not find {kind} "{name}".')
        there.remove(name)
        return {}
