"""Application Auto Scaling's store: targets, policies, activities. scaling_loop.py acts on them."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_aws.dispatch import JsonService
from local_aws.errors import ApiError, Response, validation
from local_aws.sagemaker.common import now
from local_aws.settings import ACCOUNT_ID, REGION
from local_aws.store import Record, Store

_VARIANT = re.compile(r"^endpoint/([^/]+)/variant/([^/]+)$")
_KEY = ("ServiceNamespace", "ResourceId", "ScalableDimension")
SERVICE_ROLE = (
    f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


def target_key(record: Mapping[str, Any]) -> str:
    """The key of the scalable target that `record` is, or belongs to."""
    return "|".join(record[part] for part in _KEY)


def _shown(record: Mapping[str, Any]) -> str:
    return (
        f"service namespace: {record['ServiceNamespace']}, resource ID: {record['ResourceId']}, "
        f"scalable dimension: {record['ScalableDimension']}"
    )


def _page(records: list[Record], request: Mapping[str, Any], name: str) -> dict[str, Any]:
    try:
        start = int(base64.b64decode(request["NextToken"])) if request.get("NextToken") else 0
    except ValueError:
        raise ApiError("InvalidNextTokenException", "The NextToken is not valid.") from None
    size = int(request.get("MaxResults", 50))
    answer: dict[str, Any] = {name: records[start : start + size]}
    if start + size < len(records):
        answer["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return answer


class AutoScaling:
    """The operations on scalable targets and scaling policies."""

    def __init__(self, path: Path, endpoints: Mapping[str, Record]) -> None:
        self.store = Store(path)
        self.endpoints = endpoints
        # Make a policy's alarms, delete alarms by name; set where CloudWatch is known (scaling_loop.py).
        self.follow: Callable[[Record], None] = lambda policy: None
        self.unfollow: Callable[[list[str]], None] = lambda names: None
        # Makes the account's service-linked role; set where IAM is known (patches.py).
        self.make_role: Callable[[], None] = lambda: None
        self.service = JsonService(
            "application-autoscaling",
            {
                "RegisterScalableTarget": self.register,
                "DescribeScalableTargets": self.describe_targets,
                "DeregisterScalableTarget": self.deregister,
                "PutScalingPolicy": self.put_policy,
                "DescribeScalingPolicies": self.describe_policies,
                "DeleteScalingPolicy": self.delete_policy,
                "DescribeScalingActivities": self.describe_activities,
            },
        )

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query_params: Mapping[str, Any]
    ) -> Response:
        """MiniStack's handler signature."""
        return await self.service.handle(headers, body)

    def _target(self, request: Mapping[str, Any]) -> Record:
        record = self.store.table("targets").get(target_key(request))
        if record is None:
            raise ApiError("ObjectNotFoundException", f"No scalable target found for {_shown(request)}")
        return record

    def is_scaled(self, endpoint: str, variant: str) -> bool:
        """Whether a SageMaker variant is a scalable target."""
        resource = f"endpoint/{endpoint}/variant/{variant}"
        return any(record["ResourceId"] == resource for record in self.store.table("targets").values())

    def _check_resource(self, request: Mapping[str, Any]) -> None:
        """A variant that is not there is refused, as on AWS; resources of other services are taken on trust."""
        if (
            request["ServiceNamespace"] != "sagemaker"
            or request["ScalableDimension"] != "sagemaker:variant:DesiredInstanceCount"
        ):
            return
        match = _VARIANT.match(request["ResourceId"])
        if match is None:
            raise validation(f"Unsupported resource ID: {request['ResourceId']}")
        endpoint = self.endpoints.get(match.group(1))
        if endpoint is None or match.group(2) not in endpoint["Variants"]:
            raise validation(f"SageMaker endpoint variant doesn't exist: {request['ResourceId']}")

    def register(self, request: dict[str, Any]) -> dict[str, Any]:
        """RegisterScalableTarget: makes or changes a target."""
        self._check_resource(request)
        known = self.store.table("targets").get(target_key(request))
        if known is None and ("MinCapacity" not in request or "MaxCapacity" not in request):
            raise validation("MinCapacity and MaxCapacity are required to register a new scalable target.")
        arn_end = uuid.uuid4().hex[:20]
        record: Record = known or {
            "RoleARN": request.get("RoleARN", SERVICE_ROLE),
            "CreationTime": now(),
            "SuspendedState": dict.fromkeys(
                ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False
            ),
            "ScalableTargetARN": f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT_ID}:scalable-target/{arn_end}",
        }
        fresh = record | {key: value for key, value in request.items() if key not in ("Tags", "SuspendedState")}
        fresh["SuspendedState"] = record["SuspendedState"] | request.get("SuspendedState", {})
        if fresh["MinCapacity"] > fresh["MaxCapacity"]:
            raise validation("Maximum capacity cannot be less than minimum capacity")
        with self.store.change():
            self.store.table("targets")[target_key(request)] = fresh
        if request["ServiceNamespace"] == "sagemaker":
            self.make_role()
        return {"ScalableTargetARN": fresh["ScalableTargetARN"]}

    def describe_targets(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeScalableTargets."""
        wanted = request.get("ResourceIds")
        found = [
            record
            for record in self.store.table("targets").values()
            if record["ServiceNamespace"] == request["ServiceNamespace"]
            and (wanted is None or record["ResourceId"] in wanted)
            and request.get("ScalableDimension") in (None, record["ScalableDimension"])
        ]
        return _page(found, request, "ScalableTargets")

    def deregister(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeregisterScalableTarget: its policies go with it."""
        self._target(request)
        with self.store.change():
            del self.store.table("targets")[target_key(request)]
            policies = self.store.table("policies")
            mine = [name for name, policy in policies.items() if target_key(policy) == target_key(request)]
            removed = [policies.pop(name) for name in mine]
            self.store.table("cooldowns").pop(target_key(request), None)
        self.unfollow([alarm["AlarmName"] for policy in removed for alarm in policy["Alarms"]])
        return {}

    @staticmethod
    def _alarms(record: Record) -> list[dict[str, str]]:
        """The alarms AWS makes for a target tracking policy, by the names it gives them; one it has keeps its name."""
        if record["PolicyType"] != "TargetTrackingScaling":
            return []
        sides = ["AlarmHigh"]
        if not record["TargetTrackingScalingPolicyConfiguration"].get("DisableScaleIn"):
            sides.append("AlarmLow")
        had = [alarm["AlarmName"] for alarm in record.get("Alarms", [])]
        fresh = [f"TargetTracking-{record['ResourceId']}-{side}-{uuid.uuid4()}" for side in sides]
        names = [
            next((name for name in had if f"-{side}-" in name), new) for side, new in zip(sides, fresh, strict=True)
        ]
        return [
            {"AlarmName": name, "AlarmARN": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm:{name}"} for name in names
        ]

    @staticmethod
    def _check_policy(request: Mapping[str, Any], kind: str) -> None:
        if kind == "TargetTrackingScaling":
            configuration = request.get("TargetTrackingScalingPolicyConfiguration")
            if not configuration:
                raise validation(
                    "TargetTrackingScalingPolicyConfiguration is required for a TargetTrackingScaling policy."
                )
            given = [
                name in configuration for name in ("PredefinedMetricSpecification", "CustomizedMetricSpecification")
            ]
            if sum(given) != 1:
                raise validation(
                    "Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given."
                )
        elif kind == "StepScaling" and not request.get("StepScalingPolicyConfiguration"):
            raise validation("StepScalingPolicyConfiguration is required for a StepScaling policy.")
        elif kind == "PredictiveScaling":
            raise validation("PredictiveScaling is not there in the local AWS: see local_aws/COVERAGE.md")

    def put_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """PutScalingPolicy: makes or changes a policy of a registered target."""
        self._target(request)
        policies = self.store.table("policies")
        name = f"{target_key(request)}|{request['PolicyName']}"
        known = policies.get(name)
        kind = str(request.get("PolicyType") or (known["PolicyType"] if known else "StepScaling"))
        self._check_policy(request, kind)
        base: Record = known or {
            "PolicyARN": (
                f"arn:aws:autoscaling:{REGION}:{ACCOUNT_ID}:scalingPolicy:{uuid.uuid4()}:resource/"
                f"{request['ServiceNamespace']}/{request['ResourceId']}:policyName/{request['PolicyName']}"
            ),
            "CreationTime": now(),
        }
        record = {**base, **request, "PolicyType": kind}
        record["Alarms"] = self._alarms(record)
        kept = {alarm["AlarmName"] for alarm in record["Alarms"]}
        with self.store.change():
            policies[name] = record
        self.unfollow([one["AlarmName"] for one in base.get("Alarms", []) if one["AlarmName"] not in kept])
        self.follow(record)
        return {"PolicyARN": record["PolicyARN"], "Alarms": record["Alarms"]}

    def describe_policies(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeScalingPolicies."""
        names = request.get("PolicyNames")
        found = [
            record
            for record in self.store.table("policies").values()
            if record["ServiceNamespace"] == request["ServiceNamespace"]
            and request.get("ResourceId") in (None, record["ResourceId"])
            and request.get("ScalableDimension") in (None, record["ScalableDimension"])
            and (names is None or record["PolicyName"] in names)
        ]
        return _page(found, request, "ScalingPolicies")

    def delete_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteScalingPolicy."""
        name = f"{target_key(request)}|{request['PolicyName']}"
        if name not in self.store.table("policies"):
            message = f"No scaling policy found for {_shown(request)}, policy name: {request['PolicyName']}"
            raise ApiError("ObjectNotFoundException", message)
        with self.store.change():
            removed = self.store.table("policies").pop(name)
        self.unfollow([alarm["AlarmName"] for alarm in removed["Alarms"]])
        return {}

    def describe_activities(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeScalingActivities: the latest first."""
        found = [
            record
            for record in reversed(list(self.store.table("activities").values()))
            if record["ServiceNamespace"] == request["ServiceNamespace"]
            and request.get("ResourceId") in (None, record["ResourceId"])
            and request.get("ScalableDimension") in (None, record["ScalableDimension"])
        ]
        return _page(found, request, "ScalingActivities")
