"""CodeBuild, ECR and Application Auto Scaling of the embedded AWS."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from .conftest import Stage, packed, wait_for

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def build(stage: Stage, code: str, image: str) -> dict[str, Any]:
    """Runs a build to its end."""
    client = stage.aws.client("codebuild")
    override = [{"name": "CODE_URI", "value": code}, {"name": "IMAGE_URI", "value": image}]
    identity = client.start_build(projectName="image", environmentVariablesOverride=override)["build"]["id"]

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.batch_get_builds(ids=[identity])["builds"][0]
        return None if found["buildStatus"] == "IN_PROGRESS" else found

    found: dict[str, Any] = wait_for(look, "the build's end")
    return found


def test_a_build_puts_an_image_into_ecr(stage: Stage) -> None:
    client = stage.aws.client("ecr")
    with pytest.raises(client.exceptions.ImageNotFoundException, match="imageTag:'fresh'"):
        client.describe_images(repositoryName="kennel/serving", imageIds=[{"imageTag": "fresh"}])

    assert (
        build(stage, "s3://stage/code/source.tar.gz", stage.image.replace(":v1", ":fresh"))["buildStatus"]
        == "SUCCEEDED"
    )

    found = client.describe_images(repositoryName="kennel/serving", imageIds=[{"imageTag": "fresh"}])["imageDetails"]
    assert "fresh" in found[0]["imageTags"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"serving/Dockerfile": "FROM x\nCOPY serving missing.txt /app/"}, "COPY missing.txt: not in the code bundle"),
        ({"serving/app.py": ""}, "has no serving/Dockerfile"),
        ({"../out.txt": "x"}, "leads out of its folder"),
    ],
)
def test_a_build_that_cannot_succeed_fails_and_says_why(stage: Stage, files: dict[str, str], message: str) -> None:
    key = f"code/{uuid.uuid4().hex}.tar.gz"
    stage.aws.client("s3").put_object(Bucket="stage", Key=key, Body=packed(None, **files))

    failed = build(stage, f"s3://stage/{key}", stage.image)

    assert failed["buildStatus"] == "FAILED"
    assert any(message in context["message"] for phase in failed["phases"] for context in phase.get("contexts", []))
    logs = stage.aws.client("logs").get_log_events(
        logGroupName=failed["logs"]["groupName"], logStreamName=failed["logs"]["streamName"]
    )
    assert any(message in event["message"] for event in logs["events"])


def test_a_scalable_target_and_its_policy_are_kept_described_and_removed(stage: Stage) -> None:
    name = stage.endpoint()
    client = stage.aws.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "ScalableDimension": DIMENSION,
    }
    tracking = {
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleInCooldown": 300,
    }

    client.register_scalable_target(**target, MinCapacity=1, MaxCapacity=3)
    client.register_scalable_target(**target, MaxCapacity=4)
    put = client.put_scaling_policy(
        **target,
        PolicyName="follow",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
    )

    described = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]])
    assert [(one["MinCapacity"], one["MaxCapacity"]) for one in described["ScalableTargets"]] == [(1, 4)]
    policy = client.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"])[
        "ScalingPolicies"
    ][0]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == tracking
    assert put["Alarms"][0]["AlarmName"].startswith(f"TargetTracking-{target['ResourceId']}-AlarmHigh-")
    assert client.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"] == []
    client.deregister_scalable_target(**target)
    assert (
        client.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"])[
            "ScalingPolicies"
        ]
        == []
    )
    with pytest.raises(
        client.exceptions.ObjectNotFoundException, match="No scalable target found for service namespace: sagemaker"
    ):
        client.put_scaling_policy(**target, PolicyName="follow", PolicyType="StepScaling")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ResourceId": "endpoint/nobody/variant/AllTraffic"}, "variant doesn't exist"),
        ({"ScalableDimension": "sagemaker:variant:Size"}, "enum value set"),
        ({"MinCapacity": 5}, "Maximum capacity cannot be less than minimum"),
        ({"Surplus": 1}, "Unknown parameter 'surplus'"),
    ],
)
def test_a_wrong_target_is_refused(stage: Stage, change: dict[str, Any], message: str) -> None:
    client = stage.aws.client("application-autoscaling")
    right = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/a/b",
        "ScalableDimension": "ecs:service:DesiredCount",
        "MinCapacity": 1,
        "MaxCapacity": 3,
    }
    if "ResourceId" in change:
        right |= {"ServiceNamespace": "sagemaker", "ScalableDimension": DIMENSION}
    # botocore drops members its model does not know, so the wire request is made by hand.
    headers = {
        "x-amz-target": "AnyScaleFrontendService.RegisterScalableTarget",
        "authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/application-autoscaling/aws4_request",
    }
    answer = httpx.post(client.meta.endpoint_url, headers=headers, content=json.dumps(right | change))

    assert answer.status_code == 400
    assert answer.json()["__type"] == "ValidationException"
    assert message in answer.json()["message"]


def test_what_a_policy_needs_is_asked_for(stage: Stage) -> None:
    client = stage.aws.client("application-autoscaling")
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/a/policy",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    client.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)

    with pytest.raises(ClientError, match="TargetTrackingScalingPolicyConfiguration is required"):
        client.put_scaling_policy(**target, PolicyName="p", PolicyType="TargetTrackingScaling")


def test_the_instance_type_of_a_scaled_variant_cannot_change(stage: Stage) -> None:
    name = stage.endpoint()
    scaling, client = stage.aws.client("application-autoscaling"), stage.aws.client("sagemaker")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "ScalableDimension": DIMENSION,
    }
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    variant = client.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"][0]
    client.create_endpoint_config(
        EndpointConfigName=f"{name}-2", ProductionVariants=[{**variant, "InstanceType": "ml.m5.xlarge"}]
    )

    with pytest.raises(ClientError, match="deregister it first"):
        client.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-2")
