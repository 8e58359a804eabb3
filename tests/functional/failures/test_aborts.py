"""A person stops a run (StopExecution): its jobs end with it, and the sweeper clears away and mends the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from .quick import Quick
from .table import BAYESIAN, EMBEDDED, MANUAL, NEW, NOTHING, Row

pytestmark = pytest.mark.slow

HANGS = {"hang": ""}
SLOW = {"train": {"files": {"starts_in": "2"}}}  # the new model's container takes two seconds to serve
CANARY = {"endpoint": {"minimum": 2, "rollout": "canary", "rollout_percent": 50, "rollout_wait_seconds": 120}}


def stopped(state: str, happens: str = "", **more: Any) -> Row:
    """A row of a run that is stopped in `state`, or where `happens` says."""
    return Row(state, happens or f"the run is stopped in {state}", "ABORTED", lossless=True, **more)


JOBS = (
    stopped("ExtractFeatures", behaviour={"extract": HANGS}, fresh=True),
    stopped("Tune", behaviour={"trial": HANGS}, input=BAYESIAN),
    stopped("TuneInOneJob", behaviour={"tune": HANGS}, input=EMBEDDED),
    stopped("Train", behaviour={"train": HANGS}),
    stopped(
        "Train",
        "the run is stopped in Train, on two instances",
        behaviour={"train": HANGS},
        input={"train": {"mode": "multi"}},
    ),
    stopped("LaunchInstance", behaviour={"train": HANGS}, input={"train": {"mode": "ec2"}}),
    stopped("Evaluate", behaviour={"evaluate": HANGS}),
    stopped("WaitForApproval", input=MANUAL),
)
BUILD = stopped("BuildImage")
CREATING = stopped(
    "WaitForEndpoint",
    "the run is stopped while its endpoint is Creating",
    behaviour=SLOW,
    before=NOTHING,
    after=NEW,
)
UPDATING = stopped("WaitForEndpoint", "the run is stopped while its endpoint is Updating", behaviour=SLOW, after=NEW)
BAKING = stopped("WaitForEndpoint", "the run is stopped while a canary is watched", input=CANARY, after=NEW)
# Each is stopped right behind its state of the deployment.
DEPLOYING = (
    stopped("CreateModel", "the run is stopped when it has its model"),
    stopped("CreateEndpointConfig", "the run is stopped when it has its configuration"),
    stopped("PauseScaling", "the run is stopped between pausing scaling and updating"),
    stopped("RegisterScalableTarget", "the run is stopped between target and policy", after=NEW),
    stopped("SmokeTest", "the run is stopped when its model has answered", after=NEW),
)
ROWS_ABORTS = (BUILD, *JOBS, CREATING, *DEPLOYING, UPDATING, BAKING)


@contextmanager
def held_after(quick: Quick, state: str) -> Iterator[None]:
    """Deployments stop for good behind `state`, as if nothing went on there."""
    client = quick.client("stepfunctions")
    arn = quick.stack.state_machines["pipeline"].replace("-pipeline", "-deploy")
    definition = client.describe_state_machine(stateMachineArn=arn)["definition"]
    held = json.loads(definition)
    held["States"]["Held"] = {"Type": "Wait", "Seconds": 10_000_000, "Next": held["States"][state]["Next"]}
    held["States"][state]["Next"] = "Held"
    client.update_state_machine(stateMachineArn=arn, definition=json.dumps(held))
    try:
        yield
    finally:
        client.update_state_machine(stateMachineArn=arn, definition=definition)


def wait_for_state(quick: Quick, state: str) -> None:
    """Until the run is in `state` and, where that runs something, this has begun."""

    def there() -> bool:
        events = [event["type"] for name, event in quick.history() if name == state]
        return "WaitStateEntered" in events or bool({"TaskSubmitted", "TaskSucceeded"} & set(events))

    quick.wait_until(there, state)


def swept(quick: Quick, execution: str) -> bool:
    """Whether EventBridge has started the sweeper for the execution, and it has ended well."""
    client = quick.client("stepfunctions")
    sweeper = quick.stack.state_machines["sweep"]
    for found in client.list_executions(stateMachineArn=sweeper)["executions"]:
        told = client.describe_execution(executionArn=found["executionArn"])
        if json.loads(told["input"]).get("detail", {}).get("executionArn") == execution:
            assert told["status"] in ("RUNNING", "SUCCEEDED"), told.get("cause")
            return bool(told["status"] == "SUCCEEDED")
    return False


def begin(quick: Quick, row: Row) -> str | None:
    """Puts what the row says in place; gives the run whose model serves."""
    quick.serve(row.before != NOTHING)
    if row.fresh:
        quick.forget_features()
    quick.behave(row.behaviour)
    return quick.serving()


def abort(quick: Quick, row: Row, execution: str, before: str | None) -> None:
    """Stops the run, and looks that the row comes true."""
    client = quick.client("stepfunctions")
    client.stop_execution(executionArn=execution)
    assert client.describe_execution(executionArn=execution)["status"] == row.error
    quick.wait_until(lambda: swept(quick, execution), "the sweeper", 30)
    assert quick.left_running() == []
    assert (quick.serving() == before) == (row.after != NEW)


def go_through(quick: Quick, row: Row, *, held: bool = False) -> None:
    """A whole story: what is in place, the run, its abort, and a client that asks all the time."""
    before = begin(quick, row)
    with held_after(quick, row.state) if held else nullcontext(), quick.asking() as statuses:
        execution = quick.start(row.input)
        wait_for_state(quick, "Held" if held else row.state)
        abort(quick, row, execution, before)
    assert set(statuses) == {200}


@pytest.mark.parametrize("row", JOBS, ids=lambda row: row.happens)
def test_a_stopped_run_leaves_nothing_running_and_what_serves_serves(quick: Quick, row: Row) -> None:
    go_through(quick, row)


def test_a_stopped_image_build_leaves_no_image(quick: Quick) -> None:
    # given an image that has to be built, from so many files that this takes a moment
    before = begin(quick, BUILD)
    quick.forget_image()
    quick.behave(files={f"junk/{number}": "" for number in range(10_000)})
    # when the run is stopped meanwhile
    execution = quick.start({})
    wait_for_state(quick, "BuildImage")
    abort(quick, BUILD, execution, before)
    # then there is none
    builds = quick.client("codebuild").list_builds(sortOrder="DESCENDING")["ids"]
    (build,) = quick.client("codebuild").batch_get_builds(ids=builds[:1])["builds"]
    assert build["buildStatus"] == "STOPPED"
    ecr = quick.client("ecr")
    assert ecr.list_images(repositoryName=f"{quick.stack.name}/serving")["imageIds"] == []


@pytest.mark.parametrize("row", DEPLOYING, ids=lambda row: row.happens)
def test_a_deployment_that_is_stopped_half_way_is_cleared_away_or_finished(quick: Quick, row: Row) -> None:
    go_through(quick, row, held=True)


@pytest.mark.parametrize("row", [CREATING, UPDATING, BAKING], ids=lambda row: row.happens)
def test_an_endpoint_that_goes_on_changing_after_the_stop_scales_when_it_is_done(quick: Quick, row: Row) -> None:
    # given a run that is deploying
    before = begin(quick, row)
    sagemaker, name = quick.client("sagemaker"), quick.stack.endpoint_name
    wanted = "Creating" if row is CREATING else "Updating"
    with quick.asking() as statuses:
        execution = quick.start(row.input)
        if row is CREATING:
            wait_for_state(quick, "CreateEndpoint")
        quick.wait_until(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == wanted, wanted)
        # when it is stopped
        abort(quick, row, execution, before)
    # then SageMaker has done what it had begun, and nobody has noticed
    assert row is CREATING or set(statuses) == {200}
