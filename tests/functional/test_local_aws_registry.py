"""The model registry of the embedded AWS: groups, versions, approval, and models made from them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ROLE, Stage, packed, wait_for


class Registry:
    """A group of its own, and what a test puts into it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.client = stage.aws.client("sagemaker")
        self.name = f"Dogs-{uuid.uuid4().hex[:8]}"
        self.group_arn: str = self.client.create_model_package_group(
            ModelPackageGroupName=self.name,
            ModelPackageGroupDescription="dog breeds",
            Tags=[{"Key": "kennel:stack", "Value": "s"}],
        )["ModelPackageGroupArn"]

    def specification(self, version: str = "1") -> dict[str, Any]:
        """An InferenceSpecification whose model answers `version`."""
        key = f"models/{self.name}/{version}/model.tar.gz"
        body = packed(None, **{"version.txt": version})
        self.stage.aws.client("s3").put_object(Bucket=self.stage.bucket, Key=key, Body=body)
        url = f"s3://{self.stage.bucket}/{key}"
        container = {"Image": self.stage.image, "ModelDataUrl": url, "Environment": {"GREETING": "registered"}}
        return {
            "Containers": [container],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        }

    def version(self, **more: Any) -> str:
        """A new version; gives its ARN."""
        request = {
            "ModelPackageGroupName": self.name,
            "InferenceSpecification": self.specification(),
            "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://a/b"}}},
            "CustomerMetadataProperties": {"accuracy": "0.91", "run": "r1"},
            "MetadataProperties": {"GeneratedBy": "arn:aws:states:us-east-1:000000000000:execution:p:r1"},
            **more,
        }
        arn: str = self.client.create_model_package(**request)["ModelPackageArn"]
        return arn

    def versions(self, **more: Any) -> list[int]:
        """The listed version numbers, page by page."""
        pages = self.client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.name, PaginationConfig={"PageSize": 2}, **more
        )
        return [one["ModelPackageVersion"] for page in pages for one in page["ModelPackageSummaryList"]]


@pytest.fixture
def registry(stage: Stage) -> Registry:
    """A new group."""
    return Registry(stage)


def test_a_version_is_described_as_it_was_registered(registry: Registry) -> None:
    arn = registry.version(ModelPackageDescription="first")

    found = registry.client.describe_model_package(ModelPackageName=arn)

    assert arn == f"arn:aws:sagemaker:us-east-1:000000000000:model-package/{registry.name.lower()}/1"
    assert found["ModelPackageGroupName"] == registry.name
    assert found["ModelPackageVersion"] == 1
    assert found["ModelPackageStatus"] == "Completed"
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["CustomerMetadataProperties"] == {"accuracy": "0.91", "run": "r1"}
    assert found["InferenceSpecification"]["Containers"][0]["Image"] == registry.stage.image
    assert found["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == "s3://a/b"
    assert found["MetadataProperties"]["GeneratedBy"].endswith(":r1")


def test_versions_are_counted_listed_and_filtered_and_no_number_is_given_twice(registry: Registry) -> None:
    arns = [registry.version(ModelApprovalStatus=status) for status in ("Approved", "Rejected", "Approved")]
    registry.client.delete_model_package(ModelPackageName=arns[2])
    registry.version()

    assert registry.versions() == [1, 2, 4]
    assert registry.versions(SortBy="CreationTime", SortOrder="Descending") == [4, 2, 1]
    assert registry.versions(ModelApprovalStatus="Approved") == [1]
    newest = registry.client.list_model_packages(
        ModelPackageGroupName=registry.group_arn, ModelApprovalStatus="Approved", SortOrder="Descending", MaxResults=1
    )["ModelPackageSummaryList"]
    assert [one["ModelPackageArn"] for one in newest] == [arns[0]]
    listed = registry.client.list_model_packages(NameContains=registry.name)["ModelPackageSummaryList"]
    assert listed == []  # without a group the unversioned ones are listed


def test_an_approval_and_other_metadata_change_and_are_an_event(registry: Registry) -> None:
    # given a rule for approvals of this group, with a queue to see them in
    events, sqs = registry.stage.aws.client("events"), registry.stage.aws.client("sqs")
    url = sqs.create_queue(QueueName=registry.name)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [registry.name], "ModelApprovalStatus": ["Approved"]},
    }
    events.put_rule(Name=registry.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=registry.name, Targets=[{"Id": "queue", "Arn": queue}])
    arn = registry.version()

    # when
    registry.client.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="better than the one in service",
        CustomerMetadataProperties={"approver": "quality-gate"},
        CustomerMetadataPropertiesToRemove=["run"],
    )

    # then
    found = registry.client.describe_model_package(ModelPackageName=arn)
    assert found["ModelApprovalStatus"] == "Approved"
    assert found["ApprovalDescription"] == "better than the one in service"
    assert found["CustomerMetadataProperties"] == {"accuracy": "0.91", "approver": "quality-gate"}
    messages = wait_for(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), "the event")
    event = json.loads(messages[0]["Body"])
    assert event["resources"] == [arn]
    assert event["detail"]["ModelPackageArn"] == arn
    assert event["detail"]["ModelPackageVersion"] == 1
    events.remove_targets(Rule=registry.name, Ids=["queue"])
    events.delete_rule(Name=registry.name)
    sqs.delete_queue(QueueUrl=url)


def test_a_group_is_described_listed_tagged_and_goes_when_it_is_empty(registry: Registry) -> None:
    client = registry.client
    arn = registry.version()

    described = client.describe_model_package_group(ModelPackageGroupName=registry.group_arn)
    listed = client.list_model_package_groups(NameContains=registry.name)["ModelPackageGroupSummaryList"]

    assert described["ModelPackageGroupStatus"] == "Completed"
    assert described["ModelPackageGroupDescription"] == "dog breeds"
    assert [one["ModelPackageGroupArn"] for one in listed] == [registry.group_arn]
    assert client.list_tags(ResourceArn=registry.group_arn)["Tags"] == [{"Key": "kennel:stack", "Value": "s"}]
    with pytest.raises(ClientError, match="contains 1 model package") as caught:
        client.delete_model_package_group(ModelPackageGroupName=registry.name)
    assert caught.value.response["Error"]["Code"] == "ConflictException"
    client.delete_model_package(ModelPackageName=arn)
    client.delete_model_package_group(ModelPackageGroupName=registry.name)
    with pytest.raises(ClientError, match=f"ModelPackageGroup {registry.group_arn} does not exist"):
        client.describe_model_package_group(ModelPackageGroupName=registry.name)
    assert client.list_tags(ResourceArn=registry.group_arn)["Tags"] == []


def test_an_approved_version_is_deployed_by_its_arn(registry: Registry) -> None:
    client = registry.client
    arn = registry.version(ModelApprovalStatus="Approved")
    container = {"ModelPackageName": arn, "Environment": {"TOP": "1"}}

    client.create_model(ModelName=registry.name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    client.delete_model_package(ModelPackageName=arn)  # what was made from it stays
    registry.stage.config(registry.name, registry.name)
    client.create_endpoint(EndpointName=registry.name, EndpointConfigName=registry.name)
    client.get_waiter("endpoint_in_service").wait(
        EndpointName=registry.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    runtime = registry.stage.aws.client("sagemaker-runtime")
    answer = json.loads(runtime.invoke_endpoint(EndpointName=registry.name, Body=b"x")["Body"].read())

    assert (answer["version"], answer["greeting"]) == ("1", "registered")
    assert client.describe_model(ModelName=registry.name)["PrimaryContainer"] == container
    client.delete_endpoint(EndpointName=registry.name)


def test_what_is_wrong_is_refused(registry: Registry) -> None:
    client = registry.client
    pending = registry.version()
    model = {"ModelName": registry.name, "ExecutionRoleArn": ROLE}
    missing = {"Containers": [{"Image": registry.stage.image, "ModelDataUrl": "s3://stage/none.tar.gz"}]}
    container = {"ModelPackageName": pending, "Image": registry.stage.image}
    calls: dict[str, Callable[[], Any]] = {
        "Model Package Group already exists: arn:": lambda: client.create_model_package_group(
            ModelPackageGroupName=registry.name
        ),
        "Missing ARN": lambda: client.create_model_package(ModelPackageDescription="x"),
        "Both ModelPackageName and ModelPackageGroupName": lambda: registry.version(ModelPackageName="x"),
        "has those of its group": lambda: registry.version(Tags=[{"Key": "a", "Value": "b"}]),
        "no such object": lambda: registry.version(InferenceSpecification=missing),
        "model-package/none/1 does not exist": lambda: client.describe_model_package(ModelPackageName="none/1"),
        "PendingManualApproval, not Approved": lambda: client.create_model(
            **model, PrimaryContainer={"ModelPackageName": pending}
        ),
        "Image cannot be specified together": lambda: client.create_model(**model, PrimaryContainer=container),
    }
    for message, call in calls.items():
        with pytest.raises(ClientError, match=message) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert registry.versions() == [1]


def test_a_repeated_request_with_the_same_token_makes_one_version(registry: Registry) -> None:
    token = uuid.uuid4().hex

    assert registry.version(ClientToken=token) == registry.version(ClientToken=token)
    assert registry.versions() == [1]


def test_a_package_without_a_group_has_a_name_and_tags_of_its_own(registry: Registry) -> None:
    client, name = registry.client, f"single-{uuid.uuid4().hex[:8]}"
    arn = client.create_model_package(
        ModelPackageName=name,
        InferenceSpecification=registry.specification(),
        Tags=[{"Key": "kennel:run", "Value": "r"}],
    )["ModelPackageArn"]

    assert "ModelApprovalStatus" not in client.describe_model_package(ModelPackageName=name)
    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "kennel:run", "Value": "r"}]
    listed = client.list_model_packages(NameContains=name)["ModelPackageSummaryList"]
    assert [one["ModelPackageArn"] for one in listed] == [arn]
    client.delete_model_package(ModelPackageName=name)
