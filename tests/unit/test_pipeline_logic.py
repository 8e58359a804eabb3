"""The pipeline's decisions, walked with its real expressions: what a run does, and what it undoes on failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.asl_walker import TaskError, Walk, walk
from tests.unit.pipeline_world import FORMER_POLICY, PLAN, World, machine


def run(world: World) -> Walk:
    return walk(machine(), {}, world)


def nothing_left(world: World) -> bool:
    return not (world.endpoint or world.configs or world.models or world.scaling)


def old_one_serves(world: World) -> bool:
    return (
        world.endpoint == {"EndpointStatus": "InService", "EndpointConfigName": "kennel-old"}
        and world.configs == world.models == {"kennel-old"}
        and world.scaling == {"target": (2, 9), "policy": FORMER_POLICY}
    )


# --- Runs that succeed ------------------------------------------------------------------------------------------------


def test_first_run_creates_scales_and_reports() -> None:
    done = run(world := World())

    assert done.states[-1] == "Done" and "CreateEndpoint" in done.states and "BuildImage" not in done.states
    assert done.output == {
        "run": PLAN["run"],
        "endpoint": "kennel",
        "model": "kennel-first",
        "image_uri": PLAN["image_uri"],
        "replaced": "",
        "model_data": "s3://artifacts/runs/first/model.tar.gz",
        "billable_seconds": 42,
        "metrics": {"test:accuracy": 0.95},
    }
    assert world.scaling["target"] == (1, 3)
    assert world.arguments("ecr:describeImages")["ImageIds"] == [{"ImageTag": "abcdef0123456789"}]


def test_missing_image_is_built_first() -> None:
    world = World(codebuild__batchGetBuilds=[{"Builds": [{"BuildStatus": "IN_PROGRESS"}]}])
    world.image = False

    done = run(world)

    assert done.states[1:8] == [
        "FindImage",
        "BuildImage",
        "WaitForBuild",
        "CheckBuild",
        "IsImageBuilt",
        "WaitForBuild",
        "CheckBuild",
    ]
    assert done.states[-1] == "Done"


def test_second_run_updates_and_replaces_the_scaling() -> None:
    done = run(world := World().with_endpoint())

    assert "UpdateEndpoint" in done.states and done.output["replaced"] == "kennel-old"
    assert world.endpoint == {"EndpointStatus": "InService", "EndpointConfigName": "kennel-first"}
    assert world.scaling["target"] == (1, 3)


def test_a_run_waits_for_its_turn_and_replaces_an_endpoint_that_failed() -> None:
    world = World()
    world.pending = [{"EndpointStatus": s, "EndpointConfigName": "kennel-other"} for s in ("Updating", "Failed")]

    done = run(world)

    assert done.states.count("WaitForTurn") >= 2 and "DeleteFailedEndpoint" in done.states
    assert done.states[-1] == "Done"


def test_a_passing_503_of_the_smoke_test_is_asked_again() -> None:
    unsettled = {"Payload": {"statusCode": 503, "body": "{}"}}
    done = run(World(lambda__invoke=[None, unsettled, unsettled]))

    assert done.states.count("SmokeTest") == 3 and done.states[-1] == "Done"


def test_hyperparameters_are_json_encoded_as_the_sagemaker_sdk_does() -> None:
    run(world := World())

    assert world.arguments("sagemaker:createTrainingJob.sync")["HyperParameters"] == {
        "run": '"true"',  # unquoted, the toolkit would read a boolean
        "epochs": '"5"',
        "learning_rate": '"0.003"',
        "sagemaker_program": '"training/train.py"',
        "sagemaker_submit_directory": '"s3://artifacts/code/ab/source.tar.gz"',
        "sagemaker_region": '"us-east-1"',
        "sagemaker_job_name": '"kennel-first"',
    }


@pytest.mark.parametrize(
    ("spot", "wanted"),
    [(False, {"MaxRuntimeInSeconds": 600}), (True, {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 7800})],
)
def test_spot_waits_for_capacity_and_on_demand_says_nothing_of_it(spot: bool, wanted: dict[str, int]) -> None:
    world = World()
    world.plan = {**PLAN, "train": {**PLAN["train"], "spot": spot}}
    run(world)

    arguments = world.arguments("sagemaker:createTrainingJob.sync")
    assert (arguments["EnableManagedSpotTraining"], arguments["StoppingCondition"]) == (spot, wanted)


@pytest.mark.parametrize(
    ("pretrained", "channels"),
    [
        (None, {"training": "s3://data/dogImages/"}),
        ("s3://data/weights/", {"training": "s3://data/dogImages/", "pretrained": "s3://data/weights/"}),
    ],
)
def test_weights_come_by_a_channel_of_their_own_when_the_run_names_some(
    pretrained: str | None, channels: dict[str, str]
) -> None:
    world = World()
    world.plan = {**PLAN, "features": {**PLAN["features"], "pretrained": pretrained}}
    run(world)

    sent = world.arguments("sagemaker:createTrainingJob.sync")["InputDataConfig"]
    assert {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in sent} == channels


@pytest.mark.parametrize(
    ("instance", "image"),
    [("ml.c7i.xlarge", "cpu-image"), ("ml.g4dn.xlarge", "gpu-image"), ("ml.p5.48xlarge", "gpu-image")],
)
def test_gpu_instances_get_the_gpu_image(instance: str, image: str) -> None:
    world = World()
    world.plan = {**PLAN, "train": {**PLAN["train"], "instance_type": instance}}
    run(world)

    assert world.arguments("sagemaker:createTrainingJob.sync")["AlgorithmSpecification"]["TrainingImage"] == image


# --- Runs that fail: error, cause, and what is left -------------------------------------------------------------------


def job_failure(**described: Any) -> TaskError:
    return TaskError("States.TaskFailed", json.dumps({"TrainingJobName": "kennel-first", **described}))


BEFORE_DEPLOYING = [
    pytest.param(
        {
            "lambda__invoke": TaskError(
                "InvalidRun",
                json.dumps({"errorMessage": 'train.epochs: 0 is below 1\nx: "y"', "errorType": "InvalidRun"}),
            )
        },
        "InvalidRun",
        'ValidateRun: train.epochs: 0 is below 1\nx: "y"',
        id="a function's exception: its message",
    ),
    pytest.param(
        {
            "sagemaker__createTrainingJob.sync": job_failure(
                FailureReason='AlgorithmError: ExitCode 1\nErrorMessage "error: train/ has no é"\nCommand "python x"'
            )
        },
        "TrainingFailed",
        "Train: train/ has no é",
        id="a program that failed: the sentence it said last",
    ),
    pytest.param(
        {
            "sagemaker__createTrainingJob.sync": job_failure(
                FailureReason="ClientError: no objects at s3://data/dogs/: error: none"
            )
        },
        "TrainingFailed",
        "Train: ClientError: no objects at s3://data/dogs/: error: none",
        id="a job's description: its failure reason",
    ),
    pytest.param(
        {
            "sagemaker__createTrainingJob.sync": TaskError(
                "SageMaker.ResourceLimitExceededException", "The limit is 0 Instances"
            )
        },
        "TrainingFailed",
        "Train: The limit is 0 Instances",
        id="plain text: as it is",
    ),
    pytest.param(
        {"sagemaker__createTrainingJob.sync": TaskError("States.TaskFailed", '{"FailureReason": "cut off')},
        "TrainingFailed",
        'Train: {"FailureReason": "cut off',
        id="JSON cut short: as it is",
    ),
    pytest.param(
        {
            "sagemaker__createTrainingJob.sync": job_failure(
                TrainingJobStatus="Stopped", SecondaryStatus="MaxRuntimeExceeded"
            )
        },
        "TimedOut",
        "Train: stopped at its time limit (MaxRuntimeExceeded)",
        id="a job's own time limit",
    ),
    pytest.param(
        {"sagemaker__createTrainingJob.sync": job_failure(TrainingJobStatus="Stopped", SecondaryStatus="Stopped")},
        "TrainingFailed",
        "Train: the job ended as Stopped",
        id="a job that a person stopped",
    ),
    pytest.param(
        {"ecr__describeImages": TaskError("Ecr.RepositoryNotFoundException")},
        "ImageBuildFailed",
        "FindImage: Ecr.RepositoryNotFoundException",
        id="no cause at all: the error's name",
    ),
    pytest.param(
        {"sagemaker__createEndpointConfig": TaskError("SageMaker.SageMakerException", "no")},
        "EndpointFailed",
        "CreateEndpointConfig: no",
        id="endpoint configuration refused",
    ),
]


@pytest.mark.parametrize(("fail", "error", "cause"), BEFORE_DEPLOYING)
def test_failure_before_deploying_is_explained_and_leaves_nothing(fail: dict[str, Any], error: str, cause: str) -> None:
    done = run(world := World(**fail))

    assert (done.states[-1], done.error, done.cause) == ("RunFailed", error, cause)
    assert nothing_left(world)


def test_a_job_that_did_not_end_by_itself_is_stopped() -> None:
    done = run(world := World(**{"sagemaker__createTrainingJob.sync": TaskError("States.Timeout")}))

    assert (done.error, done.cause) == ("TimedOut", "Train: stopped at its time limit (States.Timeout)")
    assert world.arguments("sagemaker:stopTrainingJob") == {"TrainingJobName": "kennel-first"}


def test_a_failed_build_says_in_which_phase_and_where_its_log_is() -> None:
    phases = [{"PhaseType": "BUILD", "PhaseStatus": "FAILED", "Contexts": [{"Message": "docker build: exit status 1"}]}]
    build = {"BuildStatus": "FAILED", "Phases": phases, "Logs": {"DeepLink": "https://log"}}
    world = World(codebuild__batchGetBuilds={"Builds": [build]})
    world.image = False

    done = run(world)

    assert done.error == "ImageBuildFailed"
    assert (
        done.cause
        == "BuildImage: build build:1 ended as FAILED in phase BUILD: docker build: exit status 1; its log: https://log"
    )


def test_a_build_that_cannot_be_watched_is_stopped() -> None:
    world = World(codebuild__batchGetBuilds=TaskError("CodeBuild.CodeBuildException", "down"))
    world.image = False

    done = run(world)

    assert (done.error, done.cause) == ("ImageBuildFailed", "CheckBuild: down")
    assert world.arguments("codebuild:stopBuild") == {"Id": "build:1"}


BROKEN_ENDPOINT = {
    "EndpointStatus": "Failed",
    "EndpointConfigName": "kennel-first",
    "FailureReason": "/ping never answered",
}
BAD_ANSWER = {"Payload": {"statusCode": 400, "body": '{"title": "unreadable"}'}}
WRONG_MODEL = {"Payload": {"statusCode": 200, "body": '{"model": "another"}'}}
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
    pytest.param(
        {"lambda__invoke": [None, BAD_ANSWER]},
        "SmokeTestFailed",
        'SmokeTest: the API function answered 400: {"title": "unreadable"}',
    ),
    pytest.param(
        {"lambda__invoke": [None, WRONG_MODEL]},
        "SmokeTestFailed",
        "SmokeTest: the answer came from model another, not from first-1a2b3c4d",
    ),
    pytest.param(
        {"lambda__invoke": [None, {"Payload": {"statusCode": 200, "body": "{}"}}]},
        "SmokeTestFailed",
        "SmokeTest: the answer came from model , not from first-1a2b3c4d",
    ),
]


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
    creating = {"EndpointStatus": "Creating", "EndpointConfigName": "kennel-first"}
    world.broken_start = [creating] * 500

    done = run(world)

    assert done.error == "TimedOut"


def test_another_runs_endpoint_is_not_touched() -> None:
    world = World(
        sagemaker__createEndpoint=TaskError("SageMaker.SageMakerException", "Cannot create already existing endpoint")
    )
    other = {"EndpointStatus": "InService", "EndpointConfigName": "kennel-other"}
    world.fail["sagemaker:describeEndpoint"] = [
        TaskError("SageMaker.SageMakerException", "Could not find endpoint"),
        other,
        other,
    ]

    done = run(world)

    assert done.error == "EndpointFailed"
    assert [call for call, _ in world.calls if call in ("sagemaker:deleteEndpoint", "sagemaker:updateEndpoint")] == []


def test_a_clean_up_that_fails_is_said_beside_the_failure() -> None:
    done = run(
        World(
            lambda__invoke=[None, BAD_ANSWER],
            sagemaker__deleteEndpoint=TaskError("SageMaker.SageMakerException", "denied"),
        )
    )

    assert done.cause.startswith("SmokeTest: the API function answered 400")
    assert done.cause.endswith(" Cleaning up failed at DeleteEndpoint: denied")
