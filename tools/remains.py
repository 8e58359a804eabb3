"""What is left of a stack: everything that costs money or bears its name, found without asking CloudFormation alone.

The teardown state machine looks with the stack's own role; this looks with the rights of whoever destroys it, after the
stack has gone, and at what CloudFormation should have deleted as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError

STACK_TAG = "kennel:stack"
# Log groups of the template, by the stack's name. (tests/contract compares.)
LOG_GROUPS = (
    "/aws/lambda/{}-classify",
    "/aws/lambda/{}-site",
    "/aws/lambda/{}-validate-run",
    "/aws/lambda/{}-plan-batch",
    "/aws/lambda/{}-watch-drift",
    "/aws/lambda/{}-collect-batch",
    "/aws/lambda/{}-publish-code",
    "/aws/apigateway/{}-access",
    "/aws/vendedlogs/states/{}-pipeline",
    "/aws/vendedlogs/states/{}-train-on-ec2",
    "/aws/vendedlogs/states/{}-deploy",
    "/aws/vendedlogs/states/{}-batch",
    "/aws/vendedlogs/states/{}-sweep",
    "/aws/vendedlogs/states/{}-teardown",
    "/aws/codebuild/{}-serving-image",
    "/aws/sagemaker/Endpoints/{}",
)
# CloudFormation names a bucket by the stack, its name in the template, and something random.
BUCKETS = ("{}-databucket-", "{}-artifactbucket-")
# What SageMaker has of a stack under names of the runs': what it is, how it is listed, and in what state it matters.
RUNNING = {"StatusEquals": "InProgress"}
TAGGED: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("endpoint configuration", "list_endpoint_configs", "EndpointConfigs", "EndpointConfig", {}),
    ("model", "list_models", "Models", "Model", {}),
    (
        "running tuning job",
        "list_hyper_parameter_tuning_jobs",
        "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJob",
        RUNNING,
    ),
    ("running training job", "list_training_jobs", "TrainingJobSummaries", "TrainingJob", RUNNING),
    ("running transform job", "list_transform_jobs", "TransformJobSummaries", "TransformJob", RUNNING),
)
# What stays because other stacks of the account use it, too, or may come to.
ACCOUNT_WIDE = (
    "log groups /aws/sagemaker/TrainingJobs and TransformJobs: these jobs' logs of the whole account",
    "API Gateway's logging role: one for the account and region",
    "the SAM CLI's bucket (stack aws-sam-cli-managed-default)",
    "Step Functions' event rules, EC2's service role for spot instances and Application Auto Scaling's service role",
)


def find(stack: str) -> list[str]:
    """Everything that is left of the stack, a line each; an empty list is what a destroyed stack gives."""
    looks: tuple[Callable[[str], Iterator[str]], ...] = (
        _stack,
        _targets,
        _alarms,
        _endpoint,
        _packages,
        _tagged,
        _instances,
        _buckets,
        _log_groups,
        _dashboard,
        _queries,
    )
    return [line for look in looks for line in look(stack)]


def _pages(service: str, operation: str, member: str, **arguments: Any) -> Iterator[Any]:
    for page in boto3.client(service).get_paginator(operation).paginate(**arguments):
        yield from page.get(member, [])


def _stack(stack: str) -> Iterator[str]:
    try:
        found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return
    yield from (f"stack {stack} ({one['StackStatus']})" for one in found if one["StackStatus"] != "DELETE_COMPLETE")


def _targets(stack: str) -> Iterator[str]:
    found = _pages(
        "application-autoscaling", "describe_scalable_targets", "ScalableTargets", ServiceNamespace="sagemaker"
    )
    begin = f"endpoint/{stack}/variant/"
    yield from (f"scalable target {one['ResourceId']}" for one in found if one["ResourceId"].startswith(begin))


def _alarms(stack: str) -> Iterator[str]:
    prefix = f"TargetTracking-endpoint/{stack}/"
    found = _pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix)
    yield from (f"alarm {one['AlarmName']}" for one in found)


def _endpoint(stack: str) -> Iterator[str]:
    found = _pages("sagemaker", "list_endpoints", "Endpoints", NameContains=stack)
    yield from (f"endpoint {stack} ({one['EndpointStatus']})" for one in found if one["EndpointName"] == stack)


def _packages(stack: str) -> Iterator[str]:
    found = _pages("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", NameContains=stack)
    yield from (f"model package group {stack}" for one in found if one["ModelPackageGroupName"] == stack)


def _instances(stack: str) -> Iterator[str]:
    filters = [
        {"Name": f"tag:{STACK_TAG}", "Values": [stack]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    for reservation in _pages("ec2", "describe_instances", "Reservations", Filters=filters):
        yield from (f"instance {one['InstanceId']} ({one['State']['Name']})" for one in reservation["Instances"])


def _tagged(stack: str) -> Iterator[str]:
    """Those with the stack's tag: the names of kennel-dev begin as those of kennel do."""
    client = boto3.client("sagemaker")
    for what, operation, member, kind, status in TAGGED:
        for one in _pages("sagemaker", operation, member, NameContains=f"{stack}-", **status):
            name = one[f"{kind}Name"]
            if not name.startswith(f"{stack}-"):
                continue
            if {"Key": STACK_TAG, "Value": stack} in client.list_tags(ResourceArn=one[f"{kind}Arn"])["Tags"]:
                yield f"{what} {name}"


def _buckets(stack: str) -> Iterator[str]:
    begins = tuple(name.format(stack) for name in BUCKETS)
    for one in boto3.client("s3").list_buckets()["Buckets"]:
        if one["Name"].startswith(begins):
            yield f"bucket {one['Name']}"


def _log_groups(stack: str) -> Iterator[str]:
    client = boto3.client("logs")
    for name in (group.format(stack) for group in LOG_GROUPS):
        found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        yield from (f"log group {name}" for group in found if group["logGroupName"] == name)


def _dashboard(stack: str) -> Iterator[str]:
    found = _pages("cloudwatch", "list_dashboards", "DashboardEntries", DashboardNamePrefix=stack)
    yield from (f"dashboard {stack}" for one in found if one["DashboardName"] == stack)


def _queries(stack: str) -> Iterator[str]:
    found = boto3.client("logs").describe_query_definitions(queryDefinitionNamePrefix=f"{stack}/")["queryDefinitions"]
    yield from (f"saved query {one['name']}" for one in found)
