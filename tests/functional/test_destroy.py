"""`make destroy` on the embedded AWS: a deployed stack with an endpoint in service goes, and takes everything along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.functional.conftest import ROLE, LocalAws, Stage, build_stage, packed, wait_for
from tools import local_stack, remains
from tools.stack import Stack, describe_stack

pytestmark = pytest.mark.slow

NAME = local_stack.NAME
NEIGHBOUR = f"{NAME}-too"


def tags(stack: str) -> list[dict[str, str]]:
    return [{"Key": remains.STACK_TAG, "Value": stack}, {"Key": "kennel:run", "Value": "first"}]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An emulator of its own, the stack deployed on it, and what two runs of the pipeline would have made."""
    scratch = tmp_path_factory.mktemp("destroy")
    state = scratch / "aws"
    kept = dict(os.environ)
    try:
        local_stack.start(state)
        local_stack.build_and_deploy(scratch)
        stack = describe_stack(NAME)
        stage = build_stage(LocalAws(state, json.loads((state / "local_aws.json").read_text())))
        make_what_runs_make(stack, stage.image)
        leave_running(stage)
        yield stack
    finally:
        local_stack.stop(state)
        os.environ.clear()
        os.environ.update(kept)


def make_what_runs_make(stack: Stack, image: str) -> None:
    """Pictures and models in several versions, an endpoint that serves and scales, and a neighbour's things."""
    s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    for body in (b"first", b"second"):
        s3.put_object(Bucket=stack.data_bucket, Key="dogImages/train/a.jpg", Body=body)
    s3.delete_object(Bucket=stack.data_bucket, Key="dogImages/train/a.jpg")
    data = f"s3://{stack.artifact_bucket}/runs/first/model.tar.gz"
    containers = [{"Image": image, "ModelDataUrl": data}]
    s3.put_object(
        Bucket=stack.artifact_bucket, Key="runs/first/model.tar.gz", Body=packed(None, **{"version.txt": "1"})
    )
    for owner, name in ((NAME, f"{NAME}-first"), (NAME, f"{NAME}-second"), (NEIGHBOUR, f"{NEIGHBOUR}-first")):
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": image, "ModelDataUrl": data},
            Tags=tags(owner),
        )
        variant = {
            "VariantName": "primary",
            "ModelName": name,
            "InstanceType": "ml.c7i.large",
            "InitialInstanceCount": 1,
        }
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], Tags=tags(owner))
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=f"{NAME}-second", Tags=tags(NAME))
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    sagemaker.create_model_package(
        ModelPackageGroupName=NAME,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": containers,
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{NAME}/variant/primary",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling = boto3.client("application-autoscaling")
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    metric: dict[str, Any] = {
        "TargetValue": 600.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    scaling.put_scaling_policy(
        **target,
        PolicyName="tracking",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=metric,
    )


def leave_running(stage: Stage) -> None:
    """An instance and a tuning job that no run waits for any more, and the neighbour's instance."""
    for owner in (NAME, NEIGHBOUR):
        boto3.client("ec2").run_instances(
            ImageId="resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            UserData="#!/bin/bash\nsleep 600\n",
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags(owner)}],
        )
    job = stage.job("unused", mode="wait")
    kept = ("RoleArn", "AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig")
    boto3.client("sagemaker").create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=f"{NAME}-search",
        HyperParameterTuningJobConfig={
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:accuracy"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 1, "MaxNumberOfTrainingJobs": 20},
            "ParameterRanges": {"IntegerParameterRanges": [{"Name": "epochs", "MinValue": "1", "MaxValue": "3"}]},
        },
        TrainingJobDefinition={
            **{name: job[name] for name in (*kept, "StoppingCondition")},
            "StaticHyperParameters": {name: text for name, text in job["HyperParameters"].items() if name != "epochs"},
        },
        Tags=tags(NAME),
    )


def instances() -> list[str]:
    """The stacks of the instances that are not gone."""
    found = boto3.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down", "stopped"]}]
    )["Reservations"]
    return [
        tag["Value"]
        for reservation in found
        for one in reservation["Instances"]
        for tag in one["Tags"]
        if tag["Key"] == remains.STACK_TAG
    ]


def destroy(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as `make destroy` runs it."""
    return subprocess.run(
        [sys.executable, "-m", "tools.destroy", *arguments],
        cwd=local_stack.ROOT,
        input=typed,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def interrupt_while_the_endpoint_goes() -> str:
    """Press Ctrl-C in the middle of it; returns what was said."""
    command = [sys.executable, "-m", "tools.destroy", NAME, "--yes"]
    process = subprocess.Popen(
        command, cwd=local_stack.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: endpoint_status() != "InService", "the endpoint's end", seconds=60)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    return said


def running_teardowns(stack: Stack) -> list[str]:
    client = boto3.client("stepfunctions")
    machine = stack.state_machines["teardown"]
    found = client.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
    return [one["name"] for one in found]


def endpoint_status() -> str:
    found = boto3.client("sagemaker").list_endpoints(NameContains=NAME)["Endpoints"]
    return str(found[0]["EndpointStatus"]) if found else "none"


def test_another_name_typed_touches_nothing(deployed: Stack) -> None:
    for typed in ("", "y\n", "kennel\n"):
        done = destroy(NAME, typed=typed)

        assert done.returncode == 1 and "nothing was touched" in done.stderr, done.stdout + done.stderr
    assert deployed.data_bucket in done.stdout
    assert endpoint_status() == "InService"


def test_a_stack_that_is_not_kennels_is_refused_with_its_buckets_full(deployed: Stack) -> None:
    template = json.dumps({"Resources": {"DataBucket": {"Type": "AWS::S3::Bucket"}}})
    client = boto3.client("cloudformation")
    client.create_stack(StackName="somebody-elses", TemplateBody=template)
    client.get_waiter("stack_create_complete").wait(StackName="somebody-elses", WaiterConfig={"Delay": 1})

    done = destroy("somebody-elses", "--yes")

    assert done.returncode == 1 and "is not one of Kennel's" in done.stderr
    assert [one for one in boto3.client("s3").list_buckets()["Buckets"] if one["Name"].startswith("somebody-elses")]


def test_nothing_is_left_of_a_destroyed_stack_and_a_neighbour_keeps_its_own(deployed: Stack) -> None:
    # given a stack in service, all of which can be found
    found = remains.find(NAME)
    kinds = {"stack", "scalable", "endpoint", "model", "bucket", "log", "instance", "running"}
    assert {line.partition(" ")[0] for line in found} >= kinds
    assert any(line.startswith("running tuning job ") for line in found)
    # when destroying it is interrupted while its endpoint goes
    interrupted = interrupt_while_the_endpoint_goes()
    # then it says so, the teardown is stopped, and the stack is still there
    assert interrupted.startswith("interrupted: ")
    assert running_teardowns(deployed) == []
    assert f"stack {NAME} (CREATE_COMPLETE)" in remains.find(NAME)
    # when it is destroyed again
    done = destroy(NAME, typed=f"{NAME}\n")
    # then nothing of it is left
    assert done.returncode == 0, done.stdout + done.stderr
    assert remains.find(NAME) == []
    assert f"Stack {NAME} is gone and nothing is left of it" in done.stdout
    assert "/aws/sagemaker/TrainingJobs" in done.stdout
    # and what begins with its name but is a neighbour's is still there
    assert [one["ModelName"] for one in boto3.client("sagemaker").list_models()["Models"]] == [f"{NEIGHBOUR}-first"]
    configs = boto3.client("sagemaker").list_endpoint_configs()["EndpointConfigs"]
    assert [one["EndpointConfigName"] for one in configs] == [f"{NEIGHBOUR}-first"]
    assert instances() == [NEIGHBOUR]
    # and a second time there is nothing to do
    again = destroy(NAME, "--yes")
    assert (again.returncode, again.stdout) == (0, f"There is no stack {NAME}, and nothing is left of one.\n")


def test_what_a_stack_deleted_by_hand_has_left_is_named(deployed: Stack) -> None:
    image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/kennel/serving:v1"
    boto3.client("sagemaker").create_model(
        ModelName="by-hand-first", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image}, Tags=tags("by-hand")
    )

    done = destroy("by-hand", "--yes")

    assert done.returncode == 1
    assert done.stderr.startswith("error: 1 left of stack by-hand:\n  model by-hand-first\nDeploy a stack of that name")
    boto3.client("sagemaker").delete_model(ModelName="by-hand-first")
