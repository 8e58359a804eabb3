"""The table's Application Auto Scaling part: it validates its caller's rights elsewhere, too."""

from __future__ import annotations

from collections.abc import Mapping

from local_aws.iam import resources
from local_aws.iam.needs import Need, Params
from local_aws.settings import ACCOUNT_ID, REGION

_AAS = "application-autoscaling:{region}:{account}:scalable-target/*"
_ALARM = "cloudwatch:{region}:{account}:alarm:"


def _variant(params: Params) -> tuple[str, str]:
    """Endpoint of a SageMaker variant's ResourceId, and the configuration it has."""
    parts = str(params.get("ResourceId", "")).split("/")
    name = parts[1] if parts[0] == "endpoint" and len(parts) > 1 else ""
    return name, resources.endpoint_config(name)


def _endpoint(params: Params) -> list[str]:
    name = _variant(params)[0]
    return [f"arn:aws:sagemaker:{REGION}:{ACCOUNT_ID}:endpoint/{name.lower()}"] if name else []


def _endpoint_config(params: Params) -> list[str]:
    name = _variant(params)[1]
    return [f"arn:aws:sagemaker:{REGION}:{ACCOUNT_ID}:endpoint-config/{name.lower()}"] if name else []


def _service_role(params: Params) -> list[str]:
    """The service-linked role that the first target of a service makes."""
    if params.get("ServiceNamespace") != "sagemaker" or resources.has_role(resources.SCALING_ROLE):
        return []
    return [resources.SCALING_ROLE]


def _scaling(name: str, *validated: Need) -> tuple[Need, ...]:
    keys = {
        "application-autoscaling:service-namespace": "ServiceNamespace",
        "application-autoscaling:scalable-dimension": "ScalableDimension",
    }
    return (Need(f"application-autoscaling:{name}", (_AAS,), context=keys), *validated)


def _alarms(*names: str) -> tuple[Need, ...]:
    """Target tracking's alarms, which the caller must be allowed to have (?: by which names is not documented)."""
    return tuple(Need(f"cloudwatch:{name}", (_ALARM + "TargetTracking-{ResourceId}-*",)) for name in names)


# Application Auto Scaling validates its caller's rights in the service it scales and in CloudWatch.
SCALING: Mapping[str, tuple[Need, ...]] = {
    "RegisterScalableTarget": _scaling(
        "RegisterScalableTarget",
        Need("sagemaker:DescribeEndpoint", (_endpoint,), None),
        Need("sagemaker:DescribeEndpointConfig", (_endpoint_config,), None),
        Need("sagemaker:UpdateEndpointWeightsAndCapacities", (_endpoint,), None),
        Need(
            "iam:CreateServiceLinkedRole",
            (_service_role,),
            None,
            context={"iam:AWSServiceName": "=sagemaker.application-autoscaling.amazonaws.com"},
        ),
    ),
    "DeregisterScalableTarget": _scaling("DeregisterScalableTarget", *_alarms("DescribeAlarms", "DeleteAlarms")),
    "PutScalingPolicy": _scaling("PutScalingPolicy", *_alarms("PutMetricAlarm", "DescribeAlarms", "DeleteAlarms")),
    "DeleteScalingPolicy": _scaling("DeleteScalingPolicy", *_alarms("DescribeAlarms", "DeleteAlarms")),
    **{
        name: (Need(f"application-autoscaling:{name}"),)
        for name in ("DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScalingActivities")
    },
}
