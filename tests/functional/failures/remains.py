"""What is there that should not be: running, half-made, or made by a run and used by nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from tools.stack import Stack

Clients = Callable[[str], Any]


def executions(client: Clients) -> list[str]:
    """The ARNs of all executions that run, of whichever state machine."""
    machines = client("stepfunctions").list_state_machines()["stateMachines"]
    return [
        execution["executionArn"]
        for machine in machines
        for execution in client("stepfunctions").list_executions(
            stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING"
        )["executions"]
    ]


def endpoint(client: Clients, name: str) -> dict[str, Any] | None:
    """The endpoint as it is; None when it is not."""
    try:
        found: dict[str, Any] = client("sagemaker").describe_endpoint(EndpointName=name)
    except ClientError:
        return None
    return found


def made(client: Clients, stack: Stack) -> set[str]:
    """Every endpoint configuration, model and waiting model package there is."""
    sagemaker = client("sagemaker")
    configs = _all(sagemaker, "list_endpoint_configs", "EndpointConfigs")
    models = _all(sagemaker, "list_models", "Models")
    group = {"ModelPackageGroupName": stack.name, "ModelApprovalStatus": "PendingManualApproval"}
    waiting = _all(sagemaker, "list_model_packages", "ModelPackageSummaryList", **group)
    return {
        *(f"model package {one['ModelPackageArn']} waits for approval" for one in waiting),
        *(f"endpoint configuration {one['EndpointConfigName']}" for one in configs),
        *(f"model {one['ModelName']}" for one in models),
    }


def left(client: Clients, stack: Stack, known: set[str]) -> list[str]:
    """What is there beside `known` (what `made` gave before the run) and what serves."""
    return [
        *_running(client),
        *half_made(client, stack),
        *sorted(made(client, stack) - known - _serving(client, stack)),
    ]


def _all(sagemaker: Any, operation: str, member: str, **request: Any) -> Iterator[dict[str, Any]]:
    for page in sagemaker.get_paginator(operation).paginate(**request, PaginationConfig={"PageSize": 100}):
        yield from page[member]


def _running(client: Clients) -> Iterator[str]:
    sagemaker = client("sagemaker")
    for status in ("InProgress", "Stopping"):
        for job in _all(sagemaker, "list_training_jobs", "TrainingJobSummaries", StatusEquals=status):
            yield f"training job {job['TrainingJobName']} is {status}"
        tuning = _all(
            sagemaker, "list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", StatusEquals=status
        )
        for job in tuning:
            yield f"tuning job {job['HyperParameterTuningJobName']} is {status}"
        for job in _all(sagemaker, "list_transform_jobs", "TransformJobSummaries", StatusEquals=status):
            yield f"transform job {job['TransformJobName']} is {status}"
    for reservation in client("ec2").describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":
                yield f"instance {instance['InstanceId']} is {instance['State']['Name']}"
    for execution in executions(client):
        yield f"execution {execution} is RUNNING"
    builds = client("codebuild").list_builds()["ids"]
    for build in client("codebuild").batch_get_builds(ids=builds)["builds"] if builds else []:
        if build["buildStatus"] == "IN_PROGRESS":
            yield f"build {build['id']} is IN_PROGRESS"


def half_made(client: Clients, stack: Stack) -> Iterator[str]:
    """What is wrong with the endpoint and its scaling."""
    found = endpoint(client, stack.endpoint_name)
    if found and found["EndpointStatus"] != "InService":
        yield f"the endpoint is {found['EndpointStatus']}"
    serverless = found and any("CurrentServerlessConfig" in one for one in found.get("ProductionVariants", []))
    scaling = client("application-autoscaling")
    wanted = 1 if found and found["EndpointStatus"] != "Failed" and not serverless else 0
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    if (len(targets), len(policies)) != (wanted, wanted):
        yield f"{len(targets)} scalable targets and {len(policies)} policies instead of {wanted}"


def _serving(client: Clients, stack: Stack) -> set[str]:
    found = endpoint(client, stack.endpoint_name)
    if found is None:
        return set()
    config = client("sagemaker").describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    models = {f"model {one['ModelName']}" for one in config["ProductionVariants"]}
    return {f"endpoint configuration {found['EndpointConfigName']}", *models}
