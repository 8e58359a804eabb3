"""A deployment's decisions, walked with its real expressions: what it does, and what it undoes on failure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.asl_walker import TaskError, Walk, walk
from tests.unit.deploy_world import ARN, CONFIG, FORMER_POLICY, PLAN, World
from tests.unit.plans import machine, make_plan


def run(world: World) -> Walk:
    return walk(machine("deploy"), {"plan": world.plan, "model_data": "s3://artifacts/model.tar.gz"}, world)


def nothing_left(world: World) -> bool:
    return not (world.endpoint or world.configs or world.models or world.scaling)


def old_one_serves(world: World) -> bool:
    return (
        world.endpoint is not None
        and (world.endpoint["EndpointStatus"], world.endpoint["EndpointConfigName"]) == ("InService", "kennel-old")
        and world.configs == world.models == {"kennel-old"}
        and world.scaling == {"target": (2, 9), "policy": FORMER_POLICY}
    )


# --- Deployments that succeed -----------------------------------------------------------------------------------------


def test_first_deployment_creates_scales_and_says_whose_model_serves() -> None:
    done = run(world := World())

    assert done.states[-1] == "Done" and "CreateEndpoint" in done.states
    assert done.output == {
        "run": PLAN["run"],
        "endpoint": "kennel",
        "model": CONFIG,
        "endpoint_config": CONFIG,
        "image_uri": PLAN["image_uri"],
        "replaced": "",
    }
    assert world.scaling["target"] == (1, 3)
    assert world.tags["kennel:run"] == PLAN["run"] and world.tags["kennel:expires"] == "never"


def test_an_update_replaces_the_scaling_and_heeds_the_alarms() -> None:
    done = run(world := World().with_endpoint())

    assert "UpdateEndpoint" in done.states and done.output["replaced"] == "kennel-old"
    assert world.endpoint and world.endpoint["EndpointConfigName"] == CONFIG
    assert world.scaling["target"] == (1, 3)
    asked = world.arguments("sagemaker:updateEndpoint")
    assert asked["RetainAllVariantProperties"] is True
    assert len(asked["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]) == 3


def test_an_alarm_that_fires_already_does_not_stand_in_the_way_of_a_better_model() -> None:
    world = World().with_endpoint()
    world.alarms["errors"] = "ALARM"
    run(world)

    heeded = world.arguments("sagemaker:updateEndpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert heeded == [{"AlarmName": "latency"}, {"AlarmName": "model-errors"}]


@pytest.mark.parametrize(
    ("rollout", "routing"),
    [
        ("all_at_once", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}),
        (
            "canary",
            {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 20},
                "WaitIntervalInSeconds": 60,
            },
        ),
        (
            "linear",
            {
                "Type": "LINEAR",
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 20},
                "WaitIntervalInSeconds": 60,
            },
        ),
    ],
)
def test_traffic_moves_as_the_run_says(rollout: str, routing: dict[str, Any]) -> None:
    world = World().with_endpoint()
    asked = {"minimum": 2, "rollout": rollout, "rollout_percent": 20, "rollout_wait_seconds": 60}
    world.plan = make_plan({"endpoint": asked})
    run(world)

    policy = world.arguments("sagemaker:updateEndpoint")["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == routing
    assert policy["TerminationWaitInSeconds"] == (60 if rollout == "all_at_once" else 0)  # then all at once is watched
    assert policy["MaximumExecutionTimeoutInSeconds"] > 10 * 60


def test_a_serverless_endpoint_has_no_instances_and_does_not_scale() -> None:
    world = World()
    world.plan = make_plan({"endpoint": {"serving": "serverless", "memory_mb": 2048, "max_concurrency": 7}})

    done = run(world)

    assert done.states[-1] == "Done" and world.scaling == {}
    (variant,) = world.arguments("sagemaker:createEndpointConfig")["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 7}


def test_pictures_are_captured_only_where_the_run_says_so() -> None:
    world = World()
    run(world)
    assert "DataCaptureConfig" not in world.arguments("sagemaker:createEndpointConfig")

    world = World()
    world.plan = make_plan({"endpoint": {"capture_percent": 20}})
    run(world)
    assert world.arguments("sagemaker:createEndpointConfig")["DataCaptureConfig"] == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://artifacts/captured/first-1a2b3c4d",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    }


def test_the_container_is_told_what_share_of_the_pictures_to_sample() -> None:
    world = World()
    run(world)
    assert world.arguments("sagemaker:createModel")["PrimaryContainer"]["Environment"] == {"SERVING_SAMPLE": "0.1"}


def test_scaling_may_follow_requests_at_once_or_a_measured_rate() -> None:
    world = World()
    world.plan = make_plan({"endpoint": {"target_metric": "concurrency", "target_concurrent_requests": 1.5}})
    run(world)
    assert (world.scaling["policy"]["TargetValue"], world.scaling["policy"]["PredefinedMetricSpecification"]) == (
        1.5,
        {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"},
    )

    world = World()
    world.plan = make_plan({"endpoint": {"requests_per_second": 100}})
    run(world)
    assert world.scaling["policy"]["TargetValue"] == 100 * 60 * 0.5


def test_a_configuration_says_how_it_scales_for_whoever_has_to_restore_that() -> None:
    run(world := World())

    tags = {tag["Key"]: tag["Value"] for tag in world.arguments("sagemaker:createEndpointConfig")["Tags"]}
    assert tags["kennel:scaling"] == "minimum=1 maximum=3 metric=invocations target=1800 in=300 out=60"
    assert tags["kennel:execution"] == "execution"


def test_a_run_waits_for_its_turn_and_replaces_an_endpoint_that_failed() -> None:
    world = World()
    world.pending = [{"EndpointStatus": s, "EndpointConfigName": "kennel-other"} for s in ("Updating", "Failed")]

    done = run(world)

    assert done.states.count("WaitForTurn") >= 2 and "DeleteFailedEndpoint" in done.states
    assert done.states[-1] == "Done"


# --- Deployments that fail: error, cause, and what is left -----------------------------------------------------------


BROKEN_ENDPOINT = {
    "EndpointStatus": "Failed",
    "EndpointConfigName": CONFIG,
    "FailureReason": "/ping never answered",
}
REFUSED = TaskError("ApiGateway.400", '{"title": "unreadable"}')
AFTER_DEPLOYING: list[Any] = [
    pytest.param(
        {"sagemaker__createEndpoint": TaskError("SageMaker.ResourceLimitExceededException", "quota")},
        "EndpointFailed",
        "CreateEndpoint: quota",
    ),
    pytest.param(
        {
            "applicationautoscaling__registerScalableTarget": TaskError(
                "ApplicationAutoScaling.ValidationException", "bad"
            )
        },
        "ScalingFailed",
        "RegisterScalableTarget: bad",
    ),
    pytest.param({"apigateway__invoke": REFUSED}, "SmokeTestFailed", 'SmokeTest: {"title": "unreadable"}'),
    pytest.param(
        {"apigateway__invoke": {"ResponseBody": {"model": "another"}}},
        "SmokeTestFailed",
        "SmokeTest: the answer came from model another, not from first-1a2b3c4d",
    ),
    pytest.param(
        {"sagemaker__addTags": TaskError("SageMaker.SageMakerException", "no")}, "EndpointFailed", "TagEndpoint: no"
    ),
]
BEFORE_DEPLOYING: list[Any] = [
    pytest.param({"sagemaker__createModel": TaskError("States.Timeout")}, "TimedOut", "CreateModel: "),
    pytest.param(
        {"sagemaker__createEndpointConfig": TaskError("SageMaker.SageMakerException", "no")},
        "EndpointFailed",
        "CreateEndpointConfig: no",
    ),
    pytest.param(
        {"sagemaker__describeEndpoint": TaskError("SageMaker.SageMakerException", "denied")},
        "EndpointFailed",
        "DescribeEndpoint: denied",
    ),
]


@pytest.mark.parametrize(("fail", "error", "cause"), BEFORE_DEPLOYING)
def test_failure_before_the_endpoint_is_touched_leaves_nothing(fail: dict[str, Any], error: str, cause: str) -> None:
    done = run(world := World(**fail))

    assert (done.states[-1], done.error) == ("DeploymentFailed", error) and done.cause.startswith(cause)
    assert nothing_left(world)


@pytest.mark.parametrize(("fail", "error", "cause"), AFTER_DEPLOYING)
def test_failed_first_deployment_leaves_nothing(fail: dict[str, Any], error: str, cause: str) -> None:
    done = run(world := World(**fail))

    assert (done.error, done.cause) == (error, cause)
    assert nothing_left(world)


@pytest.mark.parametrize(("fail", "error", "cause"), AFTER_DEPLOYING[2:])
def test_failed_update_leaves_the_old_model_serving_and_scaling_as_before(
    fail: dict[str, Any], error: str, cause: str
) -> None:
    done = run(world := World(**fail).with_endpoint())

    assert (done.error, done.cause) == (error, cause)
    assert old_one_serves(world)


def test_endpoint_that_fails_to_start_gives_its_reason_and_is_deleted() -> None:
    world = World()
    world.broken_start = [BROKEN_ENDPOINT]

    done = run(world)

    assert (done.error, done.cause) == (
        "EndpointFailed",
        "CreateEndpoint: the endpoint kennel is Failed: /ping never answered",
    )
    assert nothing_left(world)


def test_silent_rollback_of_an_update_is_noticed() -> None:
    world = World().with_endpoint()
    world.broken_update = True

    done = run(world)

    assert done.error == "EndpointFailed" and "was rolled back" in done.cause and "kennel-old" in done.cause
    assert old_one_serves(world)


def test_endpoint_that_never_gets_ready_times_out() -> None:
    world = World()
    creating = {"EndpointStatus": "Creating", "EndpointConfigName": CONFIG}
    world.broken_start = [creating] * 2500

    done = run(world)

    assert done.error == "TimedOut"


ALREADY_THERE = TaskError("SageMaker.SageMakerException", "Cannot create already existing thing")
IN_PROGRESS = TaskError("SageMaker.SageMakerException", f'Cannot update in-progress endpoint "{ARN}".')
NO_ENDPOINT = TaskError("SageMaker.SageMakerException", "Could not find endpoint")
OWN = {"EndpointStatus": "InService", "EndpointConfigName": CONFIG, "EndpointArn": ARN}


def test_what_a_lost_answer_made_is_taken_for_made() -> None:
    # given calls that were done although their answers never came
    world = World(sagemaker__createModel=ALREADY_THERE, sagemaker__createEndpointConfig=ALREADY_THERE)
    world.fail["sagemaker:createEndpoint"] = ALREADY_THERE
    world.fail["sagemaker:describeEndpoint"] = [NO_ENDPOINT, OWN, OWN]

    done = run(world)

    assert done.states[-1] == "Done"
    assert world.scaling["target"] == (1, 3)


def test_an_update_whose_answer_was_lost_is_waited_for() -> None:
    # given an update that was done although its answer never came, and is in progress when it is asked for again
    world = World(sagemaker__updateEndpoint=IN_PROGRESS).with_endpoint()
    world.fail["sagemaker:describeEndpoint"] = [None, OWN | {"EndpointStatus": "Updating"}, OWN]

    done = run(world)

    assert done.states[-1] == "Done" and done.output["replaced"] == "kennel-old"
    assert world.scaling["target"] == (1, 3)


def test_an_update_of_another_run_is_not_taken_for_this_ones() -> None:
    world = World(sagemaker__updateEndpoint=[IN_PROGRESS]).with_endpoint()

    done = run(world)

    assert done.error == "EndpointFailed" and "in service with its former configuration kennel-old" in done.cause


def test_an_endpoint_that_another_run_created_meanwhile_is_updated() -> None:
    world = World(sagemaker__createEndpoint=ALREADY_THERE).with_endpoint()
    world.fail["sagemaker:describeEndpoint"] = [NO_ENDPOINT]

    done = run(world)

    assert done.states[-1] == "Done" and done.output["replaced"] == "kennel-old"


def test_an_endpoint_that_is_there_and_is_not_ends_the_run() -> None:
    world = World(sagemaker__createEndpoint=ALREADY_THERE, sagemaker__describeEndpoint=NO_ENDPOINT)

    done = run(world)

    assert done.error == "EndpointFailed" and "already existing" in done.cause
    assert not (world.configs or world.models)


def test_what_the_api_answered_is_said_in_its_own_words() -> None:
    problem = '{"type":"about:blank#endpoint-failed","status":502,"detail":"the model failed on this picture"}'

    done = run(World(apigateway__invoke=TaskError("ApiGateway.502", problem)))

    assert (done.error, done.cause) == ("SmokeTestFailed", "SmokeTest: the model failed on this picture")


def test_a_clean_up_that_fails_is_said_beside_the_failure() -> None:
    done = run(
        World(
            apigateway__invoke=REFUSED,
            sagemaker__deleteEndpoint=TaskError("SageMaker.SageMakerException", "denied"),
        )
    )

    assert done.cause.startswith('SmokeTest: {"title"')
    assert done.cause.endswith(" Cleaning up failed at DeleteEndpoint: denied")
