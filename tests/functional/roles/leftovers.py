"""What runs may leave that a person stopped or that broke off: made here by an administrator, as a run would have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import batches
from .paths import unique
from .world import World

_JOB = ("HyperParameters", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition")


def _tags(world: World, run: str) -> list[dict[str, str]]:
    pairs = {"kennel:stack": world.name, "kennel:run": run, "kennel:execution": run}
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def orphan(world: World) -> None:
    """An instance of a run that is over, unless there is one."""
    if world.instances():
        return
    parameter = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.10-ubuntu-24.04/latest/ami-id"
    world.client("ec2").run_instances(
        ImageId=f"resolve:ssm:{parameter}",
        InstanceType="c7i.xlarge",
        MinCount=1,
        MaxCount=1,
        SubnetId=world.physical("TrainingSubnet"),
        TagSpecifications=[{"ResourceType": "instance", "Tags": _tags(world, "over")}],
        UserData="#!/bin/bash\nsleep 600\n",
    )


def pause_scaling(world: World) -> None:
    """The endpoint does not scale any more, as while it is being updated."""
    target = {"ServiceNamespace": "sagemaker", "ResourceId": f"endpoint/{world.name}/variant/primary"}
    world.client("application-autoscaling").deregister_scalable_target(
        **target, ScalableDimension="sagemaker:variant:DesiredInstanceCount"
    )


@dataclass(frozen=True)
class Half:
    """A deployment that was cut off: its execution, model and configuration (of one name), and model package."""

    execution: str
    model: str
    package: str


def half_deployed(world: World) -> Half:
    """A run that the gate stopped, and what it would have made: a package, a model and a configuration."""
    outcome = world.quick.run({"run": unique("half"), "gate": {"least_accuracy": 1.0}})
    assert outcome.status == "FAILED", "the gate let it through"
    exits = (event.get("stateExitedEventDetails") for _, event in world.quick.history())
    plan = json.loads(next(one["output"] for one in exits if one))["Payload"]
    name = plan["names"]["model"]
    return Half(world.quick.last, name, _second_model(world, name, plan["run"]))


def _second_model(world: World, name: str, run: str) -> str:
    """What serves once more, under another name; gives the ARN of its model package, which nobody has approved."""
    sagemaker, tags = world.client("sagemaker"), _tags(world, run)
    serves = sagemaker.describe_endpoint(EndpointName=world.name)["EndpointConfigName"]
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=serves)["ProductionVariants"]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    container = {member: model["PrimaryContainer"][member] for member in ("Image", "ModelDataUrl")}
    types = {"SupportedContentTypes": ["image/jpeg"], "SupportedResponseMIMETypes": ["application/json"]}
    package = sagemaker.create_model_package(
        ModelPackageGroupName=world.name,
        ModelPackageDescription=f"run {run}",
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={"Containers": [container], **types},
    )
    role = model["ExecutionRoleArn"]
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role, Tags=tags)
    variants = [{**variant, "ModelName": name}]
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, Tags=tags)
    return str(package["ModelPackageArn"])


def _job_that_trained(world: World) -> Any:
    """The training job of the model in service: its endpoint configuration has the job's name."""
    client = world.client("sagemaker")
    serves = client.describe_endpoint(EndpointName=world.name)["EndpointConfigName"]
    return client.describe_training_job(TrainingJobName=serves)


def job(world: World) -> None:
    """A training job like that of the model in service."""
    known = _job_that_trained(world)
    specification = {name: known["AlgorithmSpecification"][name] for name in ("TrainingImage", "TrainingInputMode")}
    world.client("sagemaker").create_training_job(
        TrainingJobName=f"{world.name}-{unique('left')}",
        AlgorithmSpecification=specification,
        Tags=_tags(world, "left"),
        **{name: known[name] for name in _JOB},
    )


def search(world: World) -> None:
    """A search like the newest one, on features that are there: those of the model in service."""
    client = world.client("sagemaker")
    (newest, *_) = searches(client)
    known = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=newest)
    channels = [one for one in _job_that_trained(world)["InputDataConfig"] if one["ChannelName"] == "features"]
    client.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=f"{world.name}-{unique('left')}",
        HyperParameterTuningJobConfig=known["HyperParameterTuningJobConfig"],
        TrainingJobDefinition={**known["TrainingJobDefinition"], "InputDataConfig": channels},
        Tags=_tags(world, "left"),
    )


def transform(world: World) -> None:
    """A transform job with the model in service, on a picture that is never answered."""
    if batches.jobs(world):
        return
    serves = world.client("sagemaker").describe_endpoint(EndpointName=world.name)["EndpointConfigName"]
    bucket, key = world.quick.stack.artifact_bucket, "batches/left/manifests/left.json"
    manifest = json.dumps([{"prefix": batches.hanging(world)}, "0.jpg"])
    world.client("s3").put_object(Bucket=bucket, Key=key, Body=manifest)
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": f"s3://{bucket}/{key}"}}
    world.client("sagemaker").create_transform_job(
        TransformJobName=f"{world.name}-{unique('left')}",
        ModelName=serves,
        TransformInput={"DataSource": source},
        TransformOutput={"S3OutputPath": f"s3://{bucket}/batches/left/results/"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        Tags=_tags(world, "left"),
    )


def searches(client: Any, **asked: Any) -> list[str]:
    """The names of the account's searches, newest first."""
    found = client.list_hyper_parameter_tuning_jobs(SortBy="CreationTime", SortOrder="Descending", **asked)
    return [one["HyperParameterTuningJobName"] for one in found["HyperParameterTuningJobSummaries"]]
