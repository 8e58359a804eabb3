"""The pipeline's decisions, walked with its real expressions: what a run does, and how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.asl_walker import TaskError, Walk, walk
from tests.unit.pipeline_world import FIGURES, World
from tests.unit.plans import machine


def run(world: World) -> Walk:
    return walk(machine("pipeline"), {}, world)


# --- Runs that succeed ------------------------------------------------------------------------------------------------


def test_a_first_run_goes_from_pictures_to_a_deployment() -> None:
    done = run(world := World())

    assert [state for state in done.states if not state.startswith(("How", "Is", "Does"))] == [
        *("ValidateRun", "FindImage", "FindFeatures", "ExtractFeatures", "RememberFeatures", "Train", "FindIncumbent"),
        *("Evaluate", "ReadFigures", "QualityGate", "RegisterModel", "Deploy", "Done"),
    ]
    assert done.output["endpoint"] == "kennel" and done.output["figures"] == FIGURES
    assert done.output["metrics"] == {
        "validation:accuracy": 0.96,
        "test:accuracy": 0.95,
        "test:calibration_error": 0.04,
    }
    assert done.output["report"].endswith("/output/model/report.html")
    assert [step["step"] for step in done.output["steps"]] == ["ExtractFeatures", "Train", "Evaluate"]
    assert world.arguments("ecr:describeImages")["ImageIds"] == [{"ImageTag": "abcdef0123456789"}]


def test_a_missing_image_is_built_first() -> None:
    world = World()
    world.image = False

    assert run(world).states[1:4] == ["FindImage", "BuildImage", "FindFeatures"]


def test_features_of_an_earlier_run_are_used_again() -> None:
    # given a run that has left its features
    run(first := World())
    again = World()
    again.objects = {first.plan["features"]["marker"]: first.objects[first.plan["features"]["marker"]]}
    # when the same is run again
    done = run(again)
    # then nothing is extracted, and training reads them from where they are
    assert "ExtractFeatures" not in done.states
    uri = f"s3://artifacts/features/{again.plan['features']['key']}/{first.plan['names']['features']}/output/model/"
    assert again.channels("job")["features"] == uri


def test_the_test_split_is_read_by_evaluation_alone() -> None:
    run(world := World({"tune": {"strategy": "random"}}))

    tuning = world.arguments("sagemaker:createHyperParameterTuningJob.sync")["TrainingJobDefinition"]
    assert [one["ChannelName"] for one in tuning["InputDataConfig"]] == ["features"]
    assert world.channels("evaluate")["test"] == "s3://data/dogImages/test/"
    assert set(world.channels("evaluate")) == {"test", "candidate", "tuning"}


@pytest.mark.parametrize("strategy", ["bayesian", "hyperband", "random", "grid"])
def test_sagemakers_search_gives_training_its_best_completed_values(strategy: str) -> None:
    done = run(world := World({"tune": {"strategy": strategy}}))

    assert world.job("job")["HyperParameters"]["learning_rate"] == "0.004"
    assert done.output["tuned"] == {"learning_rate": "0.004"}
    table = world.objects[f"runs/{world.plan['run']}/tuning/trials.json"]
    assert [trial["seconds"] for trial in table["trials"]] == [7, 7, 7]
    assert table["best"]["objective"] == 0.2
    assert world.channels("evaluate")["tuning"] == f"s3://artifacts/runs/{world.plan['run']}/tuning/"


def test_the_embedded_search_is_one_job_and_gives_the_same() -> None:
    done = run(world := World({"tune": {"strategy": "embedded", "trials": 30}}))

    asked = {name: json.loads(value) for name, value in world.job("tune")["HyperParameters"].items()}
    assert (asked["trials"], asked["objective"], set(json.loads(asked["ranges"]))) == (
        "30",
        "validation:loss",
        {"learning_rate", "weight_decay", "label_smoothing", "batch_size"},
    )
    assert world.job("job")["HyperParameters"]["learning_rate"] == "0.007"
    assert done.output["tuned"] == {"learning_rate": "0.007"}


def test_several_instances_are_one_torchrun() -> None:
    run(world := World({"train": {"mode": "multi", "instances": 3}}))

    job = world.job("job")
    assert job["ResourceConfig"]["InstanceCount"] == 3
    assert job["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"


def test_ec2_trains_in_a_state_machine_of_its_own_and_its_model_goes_the_same_way() -> None:
    done = run(world := World({"train": {"mode": "ec2"}, "tune": {"strategy": "grid"}}))

    sent = world.arguments("states:startExecution.sync:2")["Input"]
    assert sent["parameters"]["learning_rate"] == "0.004" and sent["parameters"]["backbone"] == "efficientnet_lite0"
    assert world.channels("evaluate")["candidate"] == "s3://artifacts/runs/ec2/model.tar.gz"
    assert done.states[-1] == "Done" and "Train" not in done.states
    assert {step["step"]: step["instance_type"] for step in done.output["steps"]} == {
        "ExtractFeatures": "ml.c7i.xlarge",
        "Tune": "ml.c7i.xlarge",
        "Train": "c7i.xlarge",
        "Evaluate": "ml.c7i.xlarge",
    }


def test_the_model_in_service_is_judged_on_the_same_pictures() -> None:
    world = World()
    world.serving = True
    run(world)

    assert world.channels("evaluate")["incumbent"] == "s3://artifacts/runs/old/model.tar.gz"
    assert json.loads(world.job("evaluate")["HyperParameters"]["incumbent_run"]) == "kennel-old"


def test_hyperparameters_are_json_encoded_as_the_sagemaker_sdk_does() -> None:
    run(world := World({"run": "true"}))

    sent = world.job("job")["HyperParameters"]
    assert sent["epochs"] == '"30"' and sent["sagemaker_program"] == '"training/train.py"'
    steps = json.loads(json.loads(world.job("evaluate")["HyperParameters"]["steps"]))
    assert steps[0] == {
        "step": "ExtractFeatures",
        "instance_type": "ml.c7i.xlarge",
        "instances": 1,
        "seconds": 42,
        "billable_seconds": 42,
        "spot": False,
    }


def test_the_output_says_what_the_run_did_cost_from_what_is_billed() -> None:
    world = World({"tune": {"strategy": "random"}, "train": {"spot": True}})
    world.image = False

    done = run(world)

    billed = {step["step"]: step["billable_seconds"] for step in done.output["steps"]}
    assert billed == {"BuildImage": 120, "ExtractFeatures": 42, "Tune": 21, "Train": 12, "Evaluate": 42}
    assert done.output["cost"] == {
        "usd": pytest.approx((120 * 0.3 + (42 + 21 + 12 + 42) * 0.214) / 3600, abs=1e-6),
        "by_time_alone": [],
        "unpriced": [],
        "estimated": {part: world.plan["cost"][part] for part in ("low", "high")},
    }


def test_what_nobody_bills_by_the_second_or_has_no_price_is_named() -> None:
    ec2 = run(World({"train": {"mode": "ec2"}})).output["cost"]
    unknown = run(World({"train": {"instance_type": "ml.p5.48xlarge"}})).output["cost"]

    assert ec2["by_time_alone"] == ["Train"] and ec2["usd"] == pytest.approx(
        (30 * 0.1785 + 84 * 0.214) / 3600, abs=1e-6
    )
    assert unknown["unpriced"] == ["ExtractFeatures", "Train", "Evaluate"] and unknown["usd"] == 0


@pytest.mark.parametrize(
    ("spot", "wanted"),
    [(False, {"MaxRuntimeInSeconds": 600}), (True, {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 7800})],
)
def test_spot_waits_for_capacity_and_keeps_checkpoints(spot: bool, wanted: dict[str, int]) -> None:
    run(world := World({"train": {"spot": spot, "max_runtime_seconds": 600}}))

    job = world.job("job")
    assert (job["EnableManagedSpotTraining"], job["StoppingCondition"]) == (spot, wanted)
    assert job["CheckpointConfig"] == {"S3Uri": f"s3://artifacts/checkpoints/{world.plan['run']}/"}


def test_weights_come_by_a_channel_of_their_own_when_the_run_names_some() -> None:
    run(world := World({}, "weights/"))

    assert world.channels("features")["pretrained"] == world.channels("job")["pretrained"] == "s3://data/weights/"


@pytest.mark.parametrize(
    ("instance", "image"),
    [("ml.c7i.xlarge", "cpu-image"), ("ml.g4dn.xlarge", "gpu-image"), ("ml.p5.48xlarge", "gpu-image")],
)
def test_gpu_instances_get_the_gpu_image(instance: str, image: str) -> None:
    run(world := World({"train": {"instance_type": instance}}))

    assert world.job("job")["AlgorithmSpecification"]["TrainingImage"] == image


# --- The gate and the approval ----------------------------------------------------------------------------------------

WORSE = {"run": "kennel-old", "pictures": 40, "accuracy": 0.96, "candidate_accuracy": 0.91}


@pytest.mark.parametrize(
    ("figures", "cause"),
    [
        ({"accuracy": 0.4123}, "test accuracy is 0.4123, 0.0877 below gate.least_accuracy, 0.5"),
        ({"calibration_error": 0.25}, "calibration error is 0.25, 0.05 above gate.largest_calibration_error, 0.2"),
        (
            {"incumbent": WORSE},
            "accuracy fell by 0.05, 0.03 more than gate.largest_drop, 0.02, against kennel-old in service",
        ),
    ],
)
def test_a_model_that_fails_the_gate_is_not_registered_nor_deployed(figures: dict[str, Any], cause: str) -> None:
    world = World()
    world.figures = {**FIGURES, **figures}

    done = run(world)

    assert done.error == "QualityGateFailed"
    assert done.cause.startswith(f"QualityGate: the model is not deployed: {cause}. Its report: s3://artifacts/runs/")
    assert not [call for call in world.calls if call.endswith(("createModelPackage", "startExecution.sync:2"))]


def test_every_shortfall_is_said_at_once_and_a_drop_within_the_limit_passes() -> None:
    world = World()
    world.figures = {**FIGURES, "accuracy": 0.3, "calibration_error": 0.4, "incumbent": WORSE}
    assert run(world).cause.count(";") == 2

    world = World()
    world.figures = {**FIGURES, "incumbent": {**WORSE, "candidate_accuracy": 0.94}}
    assert run(world).states[-1] == "Done"


def test_an_approved_model_is_deployed_and_until_then_the_run_waits() -> None:
    approved = {"ModelApprovalStatus": "Approved"}
    done = run(world := World({"approve": "manual"}, sagemaker__describeModelPackage=[None, None, approved]))

    assert done.states.count("WaitForApproval") == 3 and done.states[-1] == "Done"
    assert world.arguments("sagemaker:createModelPackage")["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_rejected_model_is_not_deployed_and_says_why() -> None:
    rejected = {"ModelApprovalStatus": "Rejected", "ApprovalDescription": "too few collies"}
    done = run(World({"approve": "manual"}, sagemaker__describeModelPackage=[rejected]))

    assert done.error == "NotApproved" and done.cause.endswith("model-package/kennel/1 was rejected: too few collies")


def test_a_model_nobody_approves_in_time_is_rejected() -> None:
    done = run(world := World({"approve": "manual", "approve_within_hours": 2}))

    assert done.error == "TimedOut" and done.cause.endswith("within 2 hours")
    assert world.arguments("sagemaker:updateModelPackage")["ModelApprovalStatus"] == "Rejected"


# --- Runs that fail: error, cause, and what is stopped ----------------------------------------------------------------


def described(**members: Any) -> TaskError:
    return TaskError("States.TaskFailed", json.dumps({"TrainingJobName": "kennel-first", **members}))


def nested(error: str, cause: str) -> TaskError:
    return TaskError(
        "States.TaskFailed",
        json.dumps({"Cause": cause, "Error": error, "Input": '{"Cause": "no", "Error": "No"}', "Status": "FAILED"}),
    )


FAILURES: list[Any] = [
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
        {"job": described(FailureReason='AlgorithmError: ExitCode 1\nErrorMessage "error: no é"\nCommand "python x"')},
        "TrainingFailed",
        "Train: no é",
        id="a program that failed: the sentence it said last",
    ),
    pytest.param(
        {"features": described(FailureReason="ClientError: no objects at s3://data/dogs/: error: none")},
        "FeaturesFailed",
        "ExtractFeatures: ClientError: no objects at s3://data/dogs/: error: none",
        id="a job's description: its failure reason",
    ),
    pytest.param(
        {"evaluate": TaskError("SageMaker.ResourceLimitExceededException", "The limit is 0 Instances")},
        "EvaluationFailed",
        "Evaluate: The limit is 0 Instances",
        id="plain text: as it is",
    ),
    pytest.param(
        {"job": TaskError("States.TaskFailed", '{"FailureReason": "cut off')},
        "TrainingFailed",
        'Train: {"FailureReason": "cut off',
        id="JSON cut short: as it is",
    ),
    pytest.param(
        {"job": described(TrainingJobStatus="Stopped", SecondaryStatus="MaxRuntimeExceeded")},
        "TimedOut",
        "Train: stopped at its time limit (MaxRuntimeExceeded)",
        id="a job's own time limit",
    ),
    pytest.param(
        {"job": described(TrainingJobStatus="Stopped", SecondaryStatus="Stopped")},
        "TrainingFailed",
        "Train: somebody stopped the job",
        id="a job that a person stopped",
    ),
    pytest.param(
        {"ecr__describeImages": TaskError("Ecr.RepositoryNotFoundException")},
        "ImageBuildFailed",
        "FindImage: Ecr.RepositoryNotFoundException",
        id="no cause at all: the error's name",
    ),
    pytest.param(
        {"s3__getObject": TaskError("S3.S3Exception", "Access Denied")},
        "FeaturesFailed",
        "FindFeatures: Access Denied",
        id="the marker cannot be read",
    ),
    pytest.param(
        {"sagemaker__describeEndpoint": TaskError("SageMaker.SageMakerException", "not authorized")},
        "EvaluationFailed",
        "FindIncumbent: not authorized",
        id="the model in service cannot be found out",
    ),
    pytest.param(
        {"sagemaker__createModelPackage": TaskError("SageMaker.ConflictException", "again")},
        "RegistrationFailed",
        "RegisterModel: again",
        id="the package is refused",
    ),
    pytest.param(
        {"states__startExecution.sync:2": nested("SmokeTestFailed", 'SmokeTest: "no"')},
        "SmokeTestFailed",
        'SmokeTest: "no"',
        id="a nested execution: its error and cause as they are",
    ),
    pytest.param(
        {"states__startExecution.sync:2": TaskError("StepFunctions.AccessDeniedException", "not authorized")},
        "EndpointFailed",
        "Deploy: not authorized",
        id="a nested execution that could not be started",
    ),
]


@pytest.mark.parametrize(("fail", "error", "cause"), FAILURES)
def test_a_failure_is_explained(fail: dict[str, Any], error: str, cause: str) -> None:
    done = run(World(**fail))

    assert (done.states[-1], done.error, done.cause) == ("RunFailed", error, cause)


@pytest.mark.parametrize("name", ["features", "job", "evaluate"])
def test_a_job_that_did_not_end_by_itself_is_stopped(name: str) -> None:
    done = run(world := World(**{name: TaskError("States.Timeout")}))

    assert done.error == "TimedOut" and done.cause.endswith("stopped at its time limit (States.Timeout)")
    assert world.arguments("sagemaker:stopTrainingJob") == {"TrainingJobName": world.plan["names"][name]}


def test_a_search_that_did_not_end_by_itself_is_stopped_with_its_trials() -> None:
    search = {"tune": {"strategy": "random"}}
    down = TaskError("SageMaker.SdkClientException", "cut")
    done = run(world := World(search, **{"sagemaker__createHyperParameterTuningJob.sync": down}))

    assert (done.error, done.cause) == ("TuningFailed", "Tune: cut")
    wanted = {"HyperParameterTuningJobName": world.plan["names"]["tune"]}
    assert world.arguments("sagemaker:stopHyperParameterTuningJob") == wanted


def test_a_failed_build_says_what_its_phase_said() -> None:
    phases = [
        {"PhaseType": "INSTALL", "PhaseStatus": "SUCCEEDED", "Contexts": [{"Message": ""}]},
        {"PhaseType": "BUILD", "PhaseStatus": "FAILED", "Contexts": [{"Message": "docker build: exit status 1"}]},
    ]
    cause = json.dumps({"Build": {"BuildStatus": "FAILED", "Phases": phases}})
    world = World(**{"codebuild__startBuild.sync": TaskError("States.TaskFailed", cause)})
    world.image = False

    done = run(world)

    assert (done.error, done.cause) == ("ImageBuildFailed", "BuildImage: docker build: exit status 1")


def test_a_clean_up_that_fails_is_said_beside_the_failure() -> None:
    denied = TaskError("SageMaker.SageMakerException", "denied")
    done = run(World(job=TaskError("States.Timeout"), sagemaker__stopTrainingJob=denied))

    assert done.cause.endswith(" Cleaning up failed at StopJob: denied")
