"""The two alarms of a target tracking policy on a SageMaker variant, as Application Auto Scaling makes them."""

from __future__ import annotations

from typing import Any

from local_aws.store import Record

INVOCATIONS = "SageMakerVariantInvocationsPerInstance"
CONCURRENCY = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
LOW_SHARE = 0.9
_HIGH_PERIODS = 3
_LOW_PERIODS = 15
# metric, statistic, seconds of a period
_PREDEFINED = {
    INVOCATIONS: ("InvocationsPerInstance", "Sum", 60),
    CONCURRENCY: ("ConcurrentRequestsPerModel", "Average", 10),
}


def predefined(policy: Record) -> str | None:
    """The policy's PredefinedMetricType, or None."""
    configuration = policy.get("TargetTrackingScalingPolicyConfiguration") or {}
    kind: str | None = configuration.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    return kind


def followed(policy: Record) -> bool:
    """Whether the policy is one that is really followed here."""
    if policy["PolicyType"] != "TargetTrackingScaling" or policy["ServiceNamespace"] != "sagemaker":
        return False
    customized = policy["TargetTrackingScalingPolicyConfiguration"].get("CustomizedMetricSpecification", {})
    return predefined(policy) in _PREDEFINED or "MetricName" in customized


def dimensions(resource: str) -> dict[str, str]:
    """The dimensions of a variant's metrics, from `endpoint/NAME/variant/NAME`."""
    _, endpoint, _, variant = resource.split("/")
    return {"EndpointName": endpoint, "VariantName": variant}


def _metric(policy: Record) -> dict[str, Any]:
    kind = predefined(policy)
    if kind in _PREDEFINED:
        name, statistic, period = _PREDEFINED[kind]
        pairs = [{"Name": key, "Value": value} for key, value in dimensions(policy["ResourceId"]).items()]
        return {
            "Namespace": "AWS/SageMaker",
            "MetricName": name,
            "Statistic": statistic,
            "Period": period,
            "Dimensions": pairs,
        }
    given = policy["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
    return {"Dimensions": [], "Period": 60, **given}


def request(policy: Record, name: str) -> dict[str, Any]:
    """The PutMetricAlarm request of the policy's alarm `name`."""
    high = "-AlarmHigh-" in name
    target = float(policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"])
    periods = _HIGH_PERIODS if high else _LOW_PERIODS
    return {
        **_metric(policy),
        "AlarmName": name,
        "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy['PolicyARN']}.",
        "ComparisonOperator": "GreaterThanThreshold" if high else "LessThanThreshold",
        "Threshold": target if high else target * LOW_SHARE,
        "EvaluationPeriods": periods,
        "DatapointsToAlarm": periods,
        "TreatMissingData": "missing",
        "ActionsEnabled": True,
        "AlarmActions": [policy["PolicyARN"]],
    }
