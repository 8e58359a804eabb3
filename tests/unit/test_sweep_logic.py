"""The sweeper's decisions, walked with its real expressions: what it ends, removes and mends, and what it lets be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.asl_walker import TaskError, Walk, walk
from tests.unit.plans import SAGEMAKER, machine
from tests.unit.sweep_world import ABORTED, CONFIG, MODEL, PLAN, World

NOTHING = {"instances": 0, "deployment": ""}


def sweep(world: World, run_input: dict[str, Any] | None = None) -> Walk:
    return walk(machine("sweep"), run_input or {}, world)


def test_with_nothing_to_do_it_does_nothing() -> None:
    for world in (World(), World().serving()):
        done = sweep(world)

        assert (done.states[-1], done.output) == ("Done", NOTHING)
        assert not [call for call in world.calls if "delete" in call or "terminate" in call or "start" in call]


def test_instances_whose_run_is_over_are_ended_and_those_of_running_ones_are_let_be() -> None:
    world = World().serving()
    world.runs = [["running", "another"]]
    world.instances = {"i-1": "over", "i-2": "running", "i-3": "", "i-4": "another"}

    done = sweep(world)

    assert done.output == {**NOTHING, "instances": 2}
    assert list(world.instances) == ["i-2", "i-4"]


@pytest.mark.parametrize("status", ["Failed", "Updating", "Creating", "OutOfService"])
def test_an_endpoint_that_is_not_in_service_is_let_be_by_the_hourly_sweep(status: str) -> None:
    world = World()
    world.endpoint, world.expires = (status, "kennel-Old"), "2020-01-01T00:00:00Z"

    done = sweep(world)

    assert done.output == NOTHING and world.calls[-1] == "sagemaker:describeEndpoint"


@pytest.mark.parametrize(
    ("expires", "expired"),
    [
        ("2026-11-20T11:59:59Z", True),
        ("2026-11-20T12:00:01Z", False),
        ("2026-11-20", True),
        ("never", False),
        ("", False),
        ("1 hour", False),
    ],
)
def test_what_has_expired_is_torn_down(expires: str, expired: bool) -> None:
    # given it is 2026-11-20T12:00:00.123Z
    world = World().serving()
    world.expires = expires
    # when swept
    done = sweep(world)
    # then the teardown has been started, or has not
    assert done.states[-1] == "Done" and world.teardowns == expired


def test_a_run_in_progress_holds_the_teardown_and_the_scaling_up() -> None:
    world = World().serving(scales=False)
    world.expires, world.runs = "2020-01-01T00:00:00Z", [["running"]]

    assert sweep(world).output == NOTHING
    assert world.teardowns == 0 and world.target is None


def test_an_endpoint_that_lost_its_scaling_scales_again_as_its_configuration_says() -> None:
    world = World().serving(scales=False)

    sweep(world)

    assert world.target == (1, 4)
    assert world.policy == {
        "TargetValue": 1800,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleInCooldown": 300,
        "ScaleOutCooldown": 60,
    }


def test_a_target_without_a_policy_gets_its_policy_back() -> None:
    world = World().serving(scales=False)
    world.target, world.scaling = (1, 1), "minimum=2 maximum=6 metric=concurrency target=2.5 in=0 out=0"

    sweep(world)

    assert world.target == (2, 6) and world.policy
    assert world.policy["TargetValue"] == 2.5
    metric = world.policy["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantConcurrentRequestsPerModelHighResolution"


@pytest.mark.parametrize("tag", ["none", "", "somebody's own"])
def test_a_serverless_endpoint_and_one_that_is_not_the_pipelines_are_let_be(tag: str) -> None:
    world = World().serving(scales=False)
    world.scaling = tag

    assert sweep(world).output == NOTHING and world.target is None


def test_an_aborted_run_leaves_no_deployment_that_nothing_uses() -> None:
    # given an update that was aborted before it began, and an endpoint that does not scale since
    world = World().serving(scales=False).with_aborted_deployment()
    # when EventBridge tells of it
    done = sweep(world, ABORTED)
    # then what it made is gone, and what served before serves and scales
    assert done.states[:2] == ["Begin", "LetItEnd"]
    assert done.output == {**NOTHING, "deployment": MODEL}
    assert (world.configs, world.models) == ({"kennel-Old"}, {"kennel-Old"})
    assert world.policy is not None


def test_what_serves_is_let_be_even_if_its_run_was_aborted() -> None:
    world = World().serving(CONFIG, scales=False).with_aborted_deployment()

    assert sweep(world, ABORTED).output == NOTHING
    assert CONFIG in world.configs and MODEL in world.models and world.policy is not None


@pytest.mark.parametrize(("ends_with", "is_left"), [("kennel-Old", False), (CONFIG, True)])
def test_an_update_that_goes_on_after_the_abort_is_waited_for(ends_with: str, is_left: bool) -> None:
    world = World().serving(scales=False).with_aborted_deployment()
    world.pending = [("Updating", "kennel-Old"), ("RollingBack", "kennel-Old"), ("InService", ends_with)]

    done = sweep(world, ABORTED)

    assert done.states.count("WaitForEndpoint") == 2
    assert (CONFIG in world.configs) == (MODEL in world.models) == is_left


def test_a_run_that_began_meanwhile_is_seen() -> None:
    # given an endpoint that is waited for, and a run that begins in that time
    world = World().serving(scales=False).with_aborted_deployment()
    world.expires, world.runs = "2020-01-01T00:00:00Z", [[], ["began"]]
    world.pending = [("Updating", "kennel-Old"), ("InService", "kennel-Old")]
    # when swept
    sweep(world, ABORTED)
    # then its scaling and its endpoint are its own affair
    assert world.teardowns == 0 and world.target is None and CONFIG not in world.configs


@pytest.mark.parametrize("made", [set(), {"model"}])
def test_what_an_aborted_run_never_made_is_no_problem(made: set[str]) -> None:
    world = World()
    world.models |= {MODEL} if made else set()

    done = sweep(world, ABORTED)

    assert done.states[-1] == "Done" and done.output["deployment"] == (MODEL if made else "")


def test_a_model_package_that_an_aborted_run_waited_for_is_rejected() -> None:
    # given two runs that wait for somebody's approval, one of which is aborted
    world = World().serving()
    package = f"{SAGEMAKER}:model-package/kennel"
    world.packages = {f"{package}/7": "another", f"{package}/8": PLAN["run"]}
    # when swept
    done = sweep(world, ABORTED)
    # then only that one's is rejected
    assert done.states[-1] == "Done"
    assert world.packages == {f"{SAGEMAKER}:model-package/kennel/7": "another"}


def test_a_run_that_was_refused_has_no_plan_and_has_made_nothing() -> None:
    world = World().with_aborted_deployment()
    world.planned = False

    assert sweep(world, ABORTED).output == NOTHING
    assert MODEL in world.models


# The call that fails, the state that makes it, and what is not done then.
FAILURES = [
    ("sfn__listExecutions", "FindRuns", ["instances", "scaling"]),
    ("ec2__describeInstances", "FindInstances", ["instances"]),
    ("ec2__terminateInstances", "TerminateInstances", ["instances"]),
    ("sagemaker__describeEndpoint", "LookAtEndpoint", ["scaling", "model", "package"]),
    ("sagemaker__listTags", "ReadEndpointTags", ["scaling"]),
    ("applicationautoscaling__describeScalingPolicies", "FindPolicy", ["scaling"]),
    ("applicationautoscaling__registerScalableTarget", "RegisterTarget", ["scaling"]),
    ("applicationautoscaling__putScalingPolicy", "PutPolicy", ["scaling"]),
    ("sfn__getExecutionHistory", "ReadPlan", ["model", "package"]),
    ("sagemaker__listModelPackages", "FindPackage", ["package"]),
    ("sagemaker__updateModelPackage", "RejectModel", ["package"]),
    ("sagemaker__deleteEndpointConfig", "DeleteConfig", []),
    ("sagemaker__deleteModel", "DeleteModel", ["model"]),
]


@pytest.mark.parametrize(("call", "step", "missing"), FAILURES)
@pytest.mark.parametrize("cause", ["it is down", ""])
def test_a_step_that_fails_is_told_and_the_others_are_done(
    call: str, step: str, missing: list[str], cause: str
) -> None:
    # given something to do for every step, and one that fails
    world = World(**{call: TaskError("Some.Exception", cause)}).serving(scales=False).with_aborted_deployment()
    world.instances, world.packages = {"i-1": "over"}, {f"{SAGEMAKER}:model-package/kennel/8": PLAN["run"]}
    # when swept
    done = sweep(world, ABORTED)
    # then it is told
    assert done.error == "SweepFailed" and f"{step}: {cause or 'Some.Exception'}" in done.cause
    # and what does not hang on it is done
    undone = {
        "instances": world.instances,
        "scaling": world.policy is None,
        "package": world.packages,
        "model": MODEL in world.models,
    }
    assert {name for name, value in undone.items() if value} == set(missing)


def test_what_cannot_be_done_twice_is_told_once() -> None:
    world = World(ec2__describeInstances=TaskError("Ec2.Ec2Exception", "it is down")).serving()
    world.pending = [("Updating", "kennel-Old")] * 5 + [("InService", "kennel-Old")]

    assert sweep(world, ABORTED).cause == "FindInstances: it is down"
