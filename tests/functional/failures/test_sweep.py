"""The sweeper, as the clock and a person start it: what nobody needs any more goes, what is in use stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.functional.conftest import wait_for

from . import remains
from .quick import Quick

pytestmark = pytest.mark.slow


def sweep(quick: Quick) -> str:
    """Starts the sweeper as the clock does; gives its execution."""
    machine = quick.stack.state_machines["sweep"]
    return str(quick.client("stepfunctions").start_execution(stateMachineArn=machine, input="{}")["executionArn"])


def instance(quick: Quick, execution: str) -> str:
    """An instance of the stack whose user data sleeps; `execution` is whose it is by its tag."""
    tags = {"kennel:stack": quick.stack.name, "kennel:execution": execution}
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    found = quick.client("ec2").run_instances(
        ImageId="resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        UserData="#!/bin/bash\nsleep 600\n",
        TagSpecifications=[{"ResourceType": "instance", "Tags": listed}],
    )
    return str(found["Instances"][0]["InstanceId"])


def state(quick: Quick, name: str) -> str:
    (found,) = quick.client("ec2").describe_instances(InstanceIds=[name])["Reservations"]
    return str(found["Instances"][0]["State"]["Name"])


@contextmanager
def hourly(quick: Quick) -> Iterator[None]:
    """The stack's schedule is on: an hour of it is a minute here."""
    events = quick.client("events")
    (rule,) = (one["Name"] for one in events.list_rules()["Rules"] if "SweepHourly" in one["Name"])
    events.enable_rule(Name=rule)
    try:
        yield
    finally:
        events.disable_rule(Name=rule)


def test_every_hour_instances_whose_run_is_over_are_ended_and_those_of_others_let_be(quick: Quick) -> None:
    # given a run in progress with an instance, an instance that a run has left, and one of another stack
    quick.serve()
    before = quick.serving()
    quick.behave({"extract": {"hang": ""}})
    quick.forget_features()
    execution = quick.start({})
    kept, left = instance(quick, execution.rpartition(":")[2]), instance(quick, "over")
    # when an hour has passed
    with hourly(quick):
        wait_for(lambda: state(quick, left) == "terminated", "the orphan's end", 75)
    # then the run goes on, and so does its instance
    assert state(quick, kept) == "running"
    client = quick.client("stepfunctions")
    assert client.describe_execution(executionArn=execution)["status"] == "RUNNING"
    # until it is stopped, too
    client.stop_execution(executionArn=execution)
    assert quick.left_running(within=20) == []
    assert quick.serving() == before


def test_an_endpoint_that_lost_its_scaling_scales_again_as_it_did(quick: Quick) -> None:
    # given an endpoint in service, whose scaling somebody has removed
    quick.serve()
    scaling = quick.client("application-autoscaling")
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    which = {name: policy[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    scaling.deregister_scalable_target(**which)
    # when the sweeper comes
    outcome = quick.ended(sweep(quick))
    # then it scales as before
    assert outcome.status == "SUCCEEDED", outcome.cause
    (again,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    (limits,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    tracking = "TargetTrackingScalingPolicyConfiguration"
    assert (again["PolicyName"], again[tracking]) == (policy["PolicyName"], policy[tracking])
    assert (limits["MinCapacity"], limits["MaxCapacity"]) == (target["MinCapacity"], target["MaxCapacity"])


def test_what_it_may_not_do_is_told_and_the_rest_is_done(quick: Quick) -> None:
    # given an instance that it may not end, and an endpoint that does not scale
    quick.serve()
    left = instance(quick, "over")
    scaling = quick.client("application-autoscaling")
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    which = {name: policy[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    scaling.deregister_scalable_target(**which)
    quick.forbid("SweepRole", "TerminateInstances")
    # when it comes
    outcome = quick.ended(sweep(quick))
    # then it says so, and the endpoint scales
    assert outcome.error == "SweepFailed" and outcome.cause.startswith("TerminateInstances: ")
    assert "not authorized" in outcome.cause
    assert len(scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]) == 1
    quick.client("ec2").terminate_instances(InstanceIds=[left])
    assert quick.left_running(within=20) == []


def test_a_deployment_that_expires_is_torn_down_as_soon_as_no_run_is_in_progress(quick: Quick) -> None:
    # given a model in service that is to expire, and a run in progress
    outcome = quick.run({"expires_after_hours": 1})
    assert outcome.status == "SUCCEEDED", outcome.cause
    sagemaker, name = quick.client("sagemaker"), quick.stack.endpoint_name
    arn = sagemaker.describe_endpoint(EndpointName=name)["EndpointArn"]
    tags: dict[str, Any] = {one["Key"]: one["Value"] for one in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags["kennel:expires"].startswith("20")
    quick.ended(sweep(quick))
    assert quick.left_running() == []
    quick.behave({"train": {"hang": ""}})
    execution = quick.start({})
    quick.wait_until(lambda: "Train" in quick.entered(), "training")
    # when its time is over, the sweeper lets it be for the run's sake
    past = [{"Key": "kennel:expires", "Value": "2026-01-01T00:00:00Z"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=past)
    assert quick.ended(sweep(quick)).status == "SUCCEEDED"
    assert quick.serving() == outcome.output["run"]
    # and once that has ended, it goes, and everything with it
    quick.client("stepfunctions").stop_execution(executionArn=execution)
    wait_for(lambda: remains.endpoint(quick.client, name) is None, "the endpoint's end", 30)
    wait_for(lambda: not remains.executions(quick.client), "the teardown's end", 30)
    assert sagemaker.list_models()["Models"] == [] == sagemaker.list_endpoint_configs()["EndpointConfigs"]
    assert quick.left_running() == []
