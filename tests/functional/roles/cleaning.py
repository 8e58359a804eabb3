"""The sweeper, after aborted runs and by the hour, and the teardown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.functional.conftest import came

from . import batches, leftovers
from .leftovers import searches
from .paths import Path, serving, traced, unique
from .running import SEARCH, delete_images
from .world import World, told

# --- runs that a person stops: what they had started stops with them, and the sweeper comes --------------------------


def _jobs(world: World) -> bool:
    found = world.client("sagemaker").list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
    return bool(found)


def _searches(world: World) -> bool:
    return bool(searches(world.client("sagemaker"), StatusEquals="InProgress"))


def _builds(world: World) -> bool:
    client = world.client("codebuild")
    ids = client.list_builds()["ids"]
    return any(one["buildStatus"] == "IN_PROGRESS" for one in client.batch_get_builds(ids=ids)["builds"])


def _aborted(run_input: dict[str, Any], begun: Callable[[World], Any], hang: str = "") -> Callable[[World], str]:
    """A run that is stopped once `begun`; the program `hang` never ends."""

    def walk(world: World) -> str:
        if hang:
            world.quick.behave({hang: {"hang": ""}})
        before = {one["executionArn"] for one in world.executions("Sweep")}
        execution = world.quick.start({"run": unique("aborted"), **run_input})
        assert came(lambda: begun(world), 20.0), "what is to be aborted never began"
        world.client("stepfunctions").stop_execution(executionArn=execution)
        came(lambda: len(world.executions("Sweep")) > len(before), 2.0)
        sweeps = [one["executionArn"] for one in world.executions("Sweep") if one["executionArn"] not in before]
        if not sweeps:
            world.stop_everything()
            return "no sweep came"
        broke = told(world.quick.ended(sweeps[0]))
        gone = came(lambda: not begun(world), 10.0)
        return broke or ("" if gone else "what the run had started goes on")

    return walk


def _long_build(world: World) -> None:
    """No image, and a bundle of so many files that its build is still busy when the run is stopped."""
    delete_images(world)
    world.quick.behave(files={f"many/{number}": "" for number in range(10_000)})


# --- the sweeper ----------------------------------------------------------------------------------------------------


def _sweep_after_abort(world: World) -> str:
    """A deployment that was cut off when scaling was paused, and an instance of a run that is over."""
    made = leftovers.half_deployed(world)
    leftovers.pause_scaling(world)
    if broke := world.execute("Sweep", {"detail": {"executionArn": made.execution}}):
        return broke
    models = world.client("sagemaker").list_models(NameContains=made.model)["Models"]
    package = world.client("sagemaker").describe_model_package(ModelPackageName=made.package)
    came(lambda: not world.instances(), 3.0)
    left = [*(one["ModelName"] for one in models), *world.instances()]
    states = f"left: {left}; the package is {package['ModelApprovalStatus']}; scales: {world.scales()}"
    return "" if states == "left: []; the package is Rejected; scales: True" else states


def _serving_and_orphan(world: World) -> None:
    serving(world)
    leftovers.orphan(world)


def _expired(world: World) -> None:
    serving(world)
    endpoint = world.endpoint()
    assert endpoint
    expiry = [{"Key": "kennel:expires", "Value": "2026-01-01T00:00:00Z"}]
    world.client("sagemaker").add_tags(ResourceArn=endpoint["EndpointArn"], Tags=expiry)


def _torn_down_by_the_sweep(world: World) -> str:
    broke = world.execute("Sweep")
    return broke or ("" if came(lambda: world.endpoint() is None, 10.0) else "the endpoint still serves")


# --- the teardown ---------------------------------------------------------------------------------------------------


def _all_kinds(world: World) -> None:
    """Everything that runs may leave: an endpoint, models, packages, and jobs and an instance that nobody ends."""
    serving(world)
    leftovers.orphan(world)
    if not searches(world.client("sagemaker")):
        world.quick.run({"run": unique("searched"), **SEARCH})
    if not (_jobs(world) and _searches(world)):
        # What the pipeline starts ends with it, so these are copies.
        world.quick.behave({"train": {"hang": ""}, "trial": {"hang": ""}})
        leftovers.job(world)
        leftovers.search(world)
    leftovers.transform(world)


def _torn_down(world: World) -> str:
    if broke := world.execute("Teardown"):
        return broke
    came(lambda: not world.instances(), 3.0)
    left = [
        *world.instances(),
        *(["a search"] if _searches(world) else []),
        *(["a job"] if _jobs(world) or batches.jobs(world) else []),
    ]
    return f"left: {left}" if left or world.endpoint() else ""


ON_EC2 = {"train": {"mode": "ec2"}}
ABORTED_JOB = Path("a run aborted in a job", _aborted({}, _jobs, "train"), serving)
ABORTED_SEARCH = Path("a run aborted in a search", _aborted(SEARCH, _searches, "trial"), serving)
ABORTED_BUILD = Path("a run aborted in its image build", _aborted({}, _builds), _long_build)
ABORTED_ON_EC2 = Path("a run aborted on EC2", _aborted(ON_EC2, World.instances, "train"), serving)
SWEPT = Path("a sweep after an abort", _sweep_after_abort, _serving_and_orphan)
SWEEP_TRACED = Path("a sweep's traces", traced(lambda world: world.execute("Sweep")), serving)
EXPIRED = Path("a sweep after the expiry", _torn_down_by_the_sweep, _expired)
TORN_DOWN = Path("a teardown of everything", _torn_down, _all_kinds)
TEARDOWN_TRACED = Path("a teardown's traces", traced(lambda world: world.execute("Teardown")))
