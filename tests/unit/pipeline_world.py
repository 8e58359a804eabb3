"""A small world for the pipeline to act in: an image registry, one endpoint that changes in steps, and its scaling."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.asl_walker import TaskError

TEXT = (Path(__file__).parents[2] / "statemachine" / "pipeline.asl.json").read_text(encoding="utf-8")
ROLE = "arn:aws:iam::000000000000:role/kennel"
SUBSTITUTIONS = {
    "TrainingRoleArn": ROLE,
    "ServingRoleArn": ROLE,
    "ServingRepository": "kennel/serving",
    "CpuTrainingImage": "cpu-image",
    "GpuTrainingImage": "gpu-image",
    "ArtifactBucket": "artifacts",
    "StackName": "kennel",
    "Region": "us-east-1",
}
PLAN: dict[str, Any] = {
    "run": "first-1a2b3c4d",
    "names": {"job": "kennel-first", "model": "kennel-first", "endpoint_config": "kennel-first", "endpoint": "kennel"},
    "data": {
        "uri": "s3://data/dogImages/",
        "pictures": 8,
        "classes": 2,
        "smoke_picture": "s3://data/dogImages/test/a.jpg",
    },
    "code": {"uri": "s3://artifacts/code/ab/source.tar.gz", "sha256": "ab"},
    "image_uri": "localhost:5000/kennel/serving:abcdef0123456789",
    "features": {"backbone": "efficientnet_lite0", "views": 2, "pretrained": None},
    "hyperparameters": {"run": "true", "epochs": "5", "learning_rate": "0.003"},
    "train": {
        "instance_type": "ml.c7i.xlarge",
        "instances": 1,
        "volume_gb": 30,
        "max_runtime_seconds": 600,
        "spot": False,
    },
    "endpoint": {
        "instance_type": "ml.c7i.large",
        "initial_instances": 1,
        "minimum": 1,
        "maximum": 3,
        "target_invocations_per_minute": 600,
        "scale_in_cooldown_seconds": 300,
        "scale_out_cooldown_seconds": 60,
    },
    "output_uri": "s3://artifacts/runs/first/",
}
FORMER_POLICY = {
    "TargetValue": 99.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
RESOURCE_ID = "endpoint/kennel/variant/primary"


def machine() -> dict[str, Any]:
    text = TEXT
    for name, value in SUBSTITUTIONS.items():
        text = text.replace(f"${{{name}}}", value)
    definition: dict[str, Any] = json.loads(text)
    return definition


class World:
    """Answers the pipeline's calls. `fail` names calls (`sagemaker__createModel`) and what they answer or raise.

    A list there is used up call by call, None meaning the ordinary answer.
    """

    def __init__(self, **fail: Any) -> None:
        self.fail = {
            name.replace("__", ":"): list(answer) if isinstance(answer, list) else answer
            for name, answer in fail.items()
        }
        self.plan = PLAN
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.image = True
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
        self.endpoint = {"EndpointStatus": "InService", "EndpointConfigName": "kennel-old"}
        if scaling:
            self.scaling = {"target": (2, 9), "policy": FORMER_POLICY}
        return self

    def __call__(self, call: str, arguments: dict[str, Any]) -> Any:
        self.calls.append((call, arguments))
        answer = self.fail.get(call)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        method: Callable[[dict[str, Any]], Any] = getattr(self, "do_" + call.partition(":")[2].partition(".")[0])
        return method(arguments)

    def arguments(self, call: str) -> dict[str, Any]:
        return next(arguments for made, arguments in self.calls if made == call)

    def do_invoke(self, arguments: dict[str, Any]) -> Any:
        if "input" in arguments["Payload"]:
            return {"Payload": self.plan}
        return {"Payload": {"statusCode": 200, "body": json.dumps({"model": PLAN["run"], "predictions": []})}}

    def do_describeImages(self, _: Any) -> Any:
        if not self.image:
            raise TaskError("Ecr.ImageNotFoundException", "not there")
        return {"ImageDetails": [{}]}

    def do_startBuild(self, _: Any) -> Any:
        return {"Build": {"Id": "build:1"}}

    def do_batchGetBuilds(self, _: Any) -> Any:
        return {"Builds": [{"BuildStatus": "SUCCEEDED"}]}

    def do_createTrainingJob(self, _: Any) -> Any:
        return {
            "ModelArtifacts": {"S3ModelArtifacts": "s3://artifacts/runs/first/model.tar.gz"},
            "BillableTimeInSeconds": 42,
            "FinalMetricDataList": [{"MetricName": "test:accuracy", "Value": 0.95, "Timestamp": 1}],
        }

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
        return self.endpoint

    def do_createEndpoint(self, arguments: dict[str, Any]) -> Any:
        self._become(arguments["EndpointConfigName"], "Creating")
        self.pending = list(self.broken_start) or self.pending
        return {}

    def do_updateEndpoint(self, arguments: dict[str, Any]) -> Any:
        assert "target" not in self.scaling, "a scaled variant cannot change its instance type"
        former = self.endpoint["EndpointConfigName"] if self.endpoint else ""
        wanted = arguments["EndpointConfigName"]
        self._become(
            former if self.broken_update and wanted == PLAN["names"]["endpoint_config"] else wanted, "Updating"
        )
        return {}

    def do_deleteEndpoint(self, _: Any) -> Any:
        self.pending = [{"EndpointStatus": "Deleting", "EndpointConfigName": "kennel-first"}, {}]
        return {}

    def _become(self, config: str, status: str) -> None:
        self.pending = [{"EndpointStatus": s, "EndpointConfigName": config} for s in (status, "InService")]

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

    def do_stopTrainingJob(self, _: Any) -> Any:
        return {}

    def do_stopBuild(self, _: Any) -> Any:
        return {}
