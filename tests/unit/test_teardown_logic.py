"""The teardown's decisions, walked with its real expressions: what it removes, what it lets be, how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.asl_walker import TaskError, Walk, walk
from tests.unit.plans import machine
from tests.unit.teardown_world import OTHER_STACK, World

DENIED = TaskError("SageMaker.SageMakerException", "AccessDeniedException: not authorized")
THROTTLED = TaskError("SageMaker.SageMakerException", "Rate exceeded")


def tear_down(world: World, run_input: dict[str, Any] | None = None) -> Walk:
    return walk(machine("teardown"), run_input or {}, world)


def nothing_left(world: World) -> bool:
    return not (world.endpoint or world.targets or world.packages or world.instances or any(world.things.values()))


def test_everything_that_runs_made_goes_and_is_counted() -> None:
    # given five runs' things, which fill several pages
    world = World().with_runs("a", "b", "c", "d", "e")
    # when torn down
    done = tear_down(world)
    # then nothing is left, and the counts say what went
    assert done.states[-1] == "Done" and nothing_left(world)
    assert done.output == {
        "stack": "kennel",
        "removed": {
            "scalable_targets": 1,
            "endpoints": 1,
            "endpoint_configs": 5,
            "models": 5,
            "model_packages": 5,
            "stopped_jobs": 0,
            "instances": 0,
        },
        "untouched": [],
        "artifacts": [],
    }


def test_it_goes_from_target_to_endpoint_to_configuration_to_model_and_looks_again() -> None:
    tear_down(world := World().with_runs("a"))

    removing = [call.partition(":")[2] for call in world.calls if "delete" in call or "deregister" in call]
    assert removing == [
        *("deregisterScalableTarget", "deleteEndpoint", "deleteEndpointConfig", "deleteModel", "deleteModelPackage"),
    ]
    assert world.calls.count("sfn:listExecutions") == 4  # the pipeline's and the batches', twice


def test_an_account_with_nothing_in_it_is_a_success_of_zeros() -> None:
    done = tear_down(World())

    assert done.states[-1] == "Done" and set(done.output["removed"].values()) == {0}


def test_a_single_run_in_progress_is_named_and_nothing_is_touched() -> None:
    world = World().with_runs("a")
    world.runs = ["run-of-today"]

    done = tear_down(world)

    assert done.error == "PipelineRunning" and "run-of-today" in done.cause
    assert world.calls == ["sfn:listExecutions"] * 2


def test_a_batch_in_progress_is_named_and_nothing_is_touched() -> None:
    world = World().with_runs("a")
    world.batches = ["of-today"]

    done = tear_down(world)

    assert done.error == "PipelineRunning" and "(batch of-today)" in done.cause
    assert world.calls == ["sfn:listExecutions"] * 2


def test_a_run_that_started_meanwhile_is_left_over() -> None:
    class Late(World):
        def do_listExecutions(self, arguments: dict[str, Any]) -> Any:
            self.runs = ["late"] if self.calls.count("sfn:listExecutions") == 3 else []
            return super().do_listExecutions(arguments)

    done = tear_down(Late().with_runs("a"))

    assert (done.error, done.cause) == ("LeftOver", "1 left: execution late")


def test_what_belongs_to_a_stack_whose_name_only_begins_alike_is_let_be() -> None:
    # given things of kennel-dev, whose names begin with kennel-, and its endpoint's scaling
    world = World().with_runs("a")
    for kind in ("endpoint-config", "model", "training-job", "transform-job"):
        world.things[kind]["kennel-dev-run"] = OTHER_STACK
    world.targets.append(f"endpoint/{OTHER_STACK}/variant/primary")
    # when kennel is torn down
    done = tear_down(world)
    # then they are still there, and it is no failure
    assert done.states[-1] == "Done" and done.output["untouched"] == []
    assert [list(names) for names in world.things.values()] == [["kennel-dev-run"]] * 4 + [[]]
    assert world.targets == [f"endpoint/{OTHER_STACK}/variant/primary"]


def test_what_nobodys_tag_is_on_is_let_be_and_named() -> None:
    world = World()
    world.things["model"] = {"kennel-made-by-hand": "", "my-kennel-model": "kennel"}

    done = tear_down(world)

    assert done.output["untouched"] == ["model kennel-made-by-hand"]
    assert list(world.things["model"]) == ["kennel-made-by-hand", "my-kennel-model"]


def test_jobs_that_run_without_an_execution_are_stopped() -> None:
    world = World()
    for kind in ("training-job", "transform-job"):
        world.things[kind]["kennel-orphan"] = "kennel"

    assert tear_down(world).output["removed"]["stopped_jobs"] == 2
    assert nothing_left(world)


def test_instances_and_searches_that_nobody_waits_for_are_ended() -> None:
    # given more instances than a page holds, and a search
    world = World()
    world.instances = ["i-1", "i-2", "i-3"]
    world.things["hyper-parameter-tuning-job"]["kennel-orphan"] = "kennel"
    # when torn down
    removed = tear_down(world).output["removed"]
    # then they are gone
    assert (removed["instances"], removed["stopped_jobs"]) == (3, 1)
    assert nothing_left(world)


def test_an_endpoint_that_changes_is_waited_for_and_then_deleted() -> None:
    world = World().with_runs("a")
    world.next_statuses = ["Updating", "RollingBack", "Failed"]

    done = tear_down(world)

    assert done.states.count("WaitForEndpoint") == 4  # two while it changes, two while it goes
    assert done.states[-1] == "Done" and nothing_left(world)


@pytest.mark.parametrize("error", [DENIED, THROTTLED])
def test_an_endpoint_that_cannot_be_deleted_keeps_its_models(error: TaskError) -> None:
    world = World(sagemaker__deleteEndpoint=error).with_runs("a")

    done = tear_down(world)

    assert done.error == "TeardownFailed"
    assert "the endpoint kennel is still InService" in done.cause and error.cause in done.cause
    assert world.things["model"] and world.things["endpoint-config"]


def test_an_endpoint_that_cannot_be_read_ends_it() -> None:
    done = tear_down(world := World(sagemaker__describeEndpoint=DENIED).with_runs("a"))

    assert done.error == "TeardownFailed" and done.cause.startswith("LookAtEndpoint: ") and DENIED.cause in done.cause
    assert world.things["model"]


def test_an_endpoint_that_never_goes_is_given_up_after_an_hour() -> None:
    world = World().with_runs("a")
    world.next_statuses = ["Deleting"] * 300

    done = tear_down(world)

    assert (done.error, done.cause) == ("TeardownFailed", "LookAtEndpoint: the endpoint kennel is still Deleting")
    assert done.states.count("WaitForEndpoint") == 240


def test_what_cannot_be_deleted_is_left_over_with_the_reason_and_the_rest_goes() -> None:
    world = World(sagemaker__deleteModel=DENIED).with_runs("a", "b")

    done = tear_down(world)

    assert done.error == "LeftOver"
    assert done.cause.startswith("2 left: model kennel-a, model kennel-b. On the way: DeleteModel kennel-a: ")
    assert DENIED.cause in done.cause
    assert not world.endpoint and not world.things["endpoint-config"]


def test_what_was_gone_already_is_no_failure() -> None:
    class Raced(World):
        def do_deleteModel(self, arguments: dict[str, Any]) -> Any:
            super().do_deleteModel(arguments)
            raise TaskError("SageMaker.SageMakerException", 'Could not find model "x".')

    assert tear_down(Raced().with_runs("a")).states[-1] == "Done"


def test_something_whose_tags_cannot_be_read_may_be_ours_and_so_fails() -> None:
    world = World(sagemaker__listTags=DENIED)
    world.things["model"]["kennel-a"] = "kennel"

    done = tear_down(world)

    assert done.error == "LeftOver" and "model kennel-a (perhaps: its tags could not be read)" in done.cause


def test_scaling_that_cannot_be_removed_does_not_keep_the_endpoint_but_is_left_over() -> None:
    denied = TaskError("ApplicationAutoScaling.AccessDeniedException", "no")
    world = World(applicationautoscaling__deregisterScalableTarget=denied)
    world.targets = ["endpoint/kennel/variant/primary"]

    done = tear_down(world)

    assert done.error == "LeftOver" and "scalable target endpoint/kennel/variant/primary" in done.cause


@pytest.mark.parametrize(
    "call",
    [
        "sfn__listExecutions",
        "applicationautoscaling__describeScalableTargets",
        "sagemaker__listEndpointConfigs",
        "sagemaker__listModels",
        "sagemaker__listTrainingJobs",
        "sagemaker__listTransformJobs",
        "sagemaker__listHyperParameterTuningJobs",
        "sagemaker__listModelPackages",
        "ec2__describeInstances",
    ],
)
def test_what_cannot_be_listed_ends_it_by_name(call: str) -> None:
    names = {"sfn": "Sfn.SfnException", "sagemaker": "SageMaker.SageMakerException", "ec2": "Ec2.Ec2Exception"}
    service = names.get(call.partition("__")[0])
    error = TaskError(service or "ApplicationAutoScaling.InternalServiceException", "it is down")

    done = tear_down(World(**{call: error}))

    assert done.error == "TeardownFailed" and done.cause.endswith(": it is down")
    assert done.states[-2].lower() in done.cause.lower()


def test_artefacts_are_named_for_whoever_asks_and_nothing_of_them_is_deleted() -> None:
    done = tear_down(World(), {"artifacts": True})

    assert done.output["artifacts"] == [
        "s3://artifacts/runs/",
        "s3://artifacts/features/",
        "s3://artifacts/checkpoints/",
        "s3://artifacts/batches/",
    ]
