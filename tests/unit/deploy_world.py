"""A small world for a deployment to act in: one endpoint that changes in steps, its model and its scaling."""

from __future__ import annotations

from typing import Any

from tests.unit.account import Account
from tests.unit.asl_walker import TaskError
from tests.unit.plans import SAGEMAKER, make_plan

PLAN = make_plan({"endpoint": {"maximum": 3}})
CONFIG = PLAN["names"]["endpoint_config"]
FORMER_POLICY = {
    "TargetValue": 99.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
ARN = f"{SAGEMAKER}:endpoint/kennel"
RESOURCE_ID = "endpoint/kennel/variant/primary"


class World(Account):
    """Answers a deployment's calls."""

    def __init__(self, **fail: Any) -> None:
        super().__init__(**fail)
        self.plan = PLAN
        self.tags: dict[str, str] = {}
        self.alarms: dict[str, str] = {}
        self.configs: set[str] = set()
        self.models: set[str] = set()
        self.endpoint: dict[str, Any] | None = None
        self.pending: list[dict[str, Any]] = []  # states of the endpoint, one a look
        self.broken_update = False
        self.broken_start: list[dict[str, Any]] = []  # what a new endpoint goes through instead of coming into service
        self.scaling: dict[str, Any] = {}

    def with_endpoint(self, scaling: bool = True) -> World:
        """An endpoint that an earlier run left in service."""
        self.configs, self.models = {"kennel-old"}, {"kennel-old"}
        self.endpoint = {"EndpointStatus": "InService", "EndpointConfigName": "kennel-old", "EndpointArn": ARN}
        if scaling:
            self.scaling = {"target": (2, 9), "policy": FORMER_POLICY}
        return self

    def do_invoke(self, arguments: dict[str, Any]) -> Any:
        return {"StatusCode": 200, "ResponseBody": {"model": PLAN["run"], "predictions": []}}

    def do_addTags(self, arguments: dict[str, Any]) -> Any:
        self.tags = {tag["Key"]: tag["Value"] for tag in arguments["Tags"]}
        return {}

    def do_createModel(self, arguments: dict[str, Any]) -> Any:
        self.models.add(arguments["ModelName"])
        return {}

    def do_deleteModel(self, arguments: dict[str, Any]) -> Any:
        self.models.discard(arguments["ModelName"])
        return {}

    def do_createEndpointConfig(self, arguments: dict[str, Any]) -> Any:
        self.configs.add(arguments["EndpointConfigName"])
        return {}

    def do_deleteEndpointConfig(self, arguments: dict[str, Any]) -> Any:
        used = self.endpoint and self.endpoint["EndpointConfigName"]
        assert used != arguments["EndpointConfigName"], "a configuration in use is not to be deleted"
        self.configs.discard(arguments["EndpointConfigName"])
        return {}

    def do_describeEndpoint(self, _: Any) -> Any:
        if self.pending:
            self.endpoint = self.pending.pop(0)
        if not self.endpoint:
            raise TaskError(
                "SageMaker.SageMakerException", 'Could not find endpoint "arn:aws:sagemaker:::endpoint/kennel".'
            )
        return {"EndpointArn": ARN, **self.endpoint}

    def do_createEndpoint(self, arguments: dict[str, Any]) -> Any:
        self._become(arguments["EndpointConfigName"], "Creating")
        self.pending = list(self.broken_start) or self.pending
        return {}

    def do_updateEndpoint(self, arguments: dict[str, Any]) -> Any:
        assert "target" not in self.scaling, "a scaled variant cannot change its instance type"
        former = self.endpoint["EndpointConfigName"] if self.endpoint else ""
        wanted = arguments["EndpointConfigName"]
        self._become(former if self.broken_update and wanted == CONFIG else wanted, "Updating")
        return {}

    def do_deleteEndpoint(self, _: Any) -> Any:
        self.pending = [{"EndpointStatus": "Deleting", "EndpointConfigName": CONFIG}, {}]
        return {}

    def _become(self, config: str, status: str) -> None:
        self.pending = [
            {"EndpointStatus": s, "EndpointConfigName": config, "EndpointArn": ARN} for s in (status, "InService")
        ]

    def do_describeAlarms(self, arguments: dict[str, Any]) -> Any:
        found = [{"AlarmName": name, "StateValue": self.alarms.get(name, "OK")} for name in arguments["AlarmNames"]]
        return {"MetricAlarms": found}

    def do_describeScalableTargets(self, _: Any) -> Any:
        target = self.scaling.get("target")
        return {"ScalableTargets": [{"MinCapacity": target[0], "MaxCapacity": target[1]}] if target else []}

    def do_describeScalingPolicies(self, _: Any) -> Any:
        policy = self.scaling.get("policy")
        found = {"PolicyName": "kennel-target-tracking", "TargetTrackingScalingPolicyConfiguration": policy}
        return {"ScalingPolicies": [found] if policy else []}

    def do_deregisterScalableTarget(self, _: Any) -> Any:
        if not self.scaling:
            raise TaskError("ApplicationAutoScaling.ObjectNotFoundException", "No scalable target found")
        self.scaling = {}
        return {}

    def do_registerScalableTarget(self, arguments: dict[str, Any]) -> Any:
        assert arguments["ResourceId"] == RESOURCE_ID
        self.scaling["target"] = (arguments["MinCapacity"], arguments["MaxCapacity"])
        return {}

    def do_putScalingPolicy(self, arguments: dict[str, Any]) -> Any:
        self.scaling["policy"] = arguments["TargetTrackingScalingPolicyConfiguration"]
        return {}
