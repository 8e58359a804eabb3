"""Training on an EC2 instance."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.functional.conftest import came

from .paths import Path, a_run, serving, traced, unique
from .world import SPOT as SPOT_ROLE
from .world import World, told

SPOT = {"train": {"mode": "ec2", "spot": True}}


def _the_first_spot_instance(world: World) -> None:
    """As in an account that has had none."""
    serving(world)
    world.delete_service_role(SPOT_ROLE)


def _plan(world: World, run: str) -> dict[str, Any]:
    """What the pipeline's first state would answer."""
    asked = {"input": {"run": run, **SPOT}, "execution": run, "started": "2026-01-01T00:00:00Z"}
    answer = world.client("lambda").invoke(
        FunctionName=world.physical("ValidateRunFunction"), Payload=json.dumps(asked)
    )
    found: dict[str, Any] = json.load(answer["Payload"])
    return found


def _token(world: World, instance: str) -> str:
    """The token of the waiting state, which is in the instance's user data."""
    asked = {"InstanceId": instance, "Attribute": "userData"}
    data = world.client("ec2").describe_instance_attribute(**asked)["UserData"]["Value"]
    found = re.search(r"TASK_TOKEN='([^']+)'", base64.b64decode(data).decode())
    assert found, "no token in the user data"
    return found.group(1)


def _start(world: World, **code: str) -> str:
    """The state machine of training on EC2, as the pipeline starts it; `code` changes where the code lies."""
    plan = _plan(world, unique("alone"))
    plan = {**plan, "code": {**plan["code"], **code}}
    given = json.dumps({"plan": plan, "parameters": plan["parameters"], "features_uri": ""})
    started = world.client("stepfunctions").start_execution(stateMachineArn=world.machine("TrainOnEc2"), input=given)
    return str(started["executionArn"])


def _without_code(world: World) -> str:
    """An instance that does not find its code says so, and the run ends."""
    before = set(world.instances())
    execution = _start(world, uri=f"s3://{world.quick.stack.artifact_bucket}/code/none/source.tar.gz")
    came(lambda: not world.runs(execution) or set(world.instances()) - before, 10.0)
    came(lambda: not world.runs(execution) or not set(world.instances()) - before, 60.0)
    if not came(lambda: not world.runs(execution), 3.0):
        world.stop_everything()
        return "the instance is gone and the run goes on waiting"
    outcome = world.quick.ended(execution)
    return "" if "could not fetch its code" in outcome.cause else told(outcome)


def _ended_by_the_machine(world: World) -> str:
    """The training is over and its instance goes on: the state machine must see that, and end it."""
    before = set(world.instances())
    world.quick.behave(files={"training/ec2_bootstrap.sh": "sleep 600\n"})
    execution = _start(world)
    came(lambda: not world.runs(execution) or set(world.instances()) - before, 10.0)
    for instance in set(world.instances()) - before:
        token = _token(world, instance)
        world.client("stepfunctions").send_task_failure(taskToken=token, error="Over", cause="error: over")
    ended = came(lambda: not world.runs(execution), 5.0)
    left = sorted(set(world.instances()) - before)
    world.stop_everything()
    outcome = world.quick.ended(execution)
    if ended and not left and outcome.cause == "LaunchInstance: over":
        return ""
    return f"still there: {left}" if not ended else told(outcome)


TRAINED = Path("a run on an EC2 spot instance", a_run("ec2", SPOT), _the_first_spot_instance)
NO_CODE = Path("an instance that does not find its code", _without_code)
ENDED = Path("an instance that outlives its training", _ended_by_the_machine)
TRACED = Path("traces of training on EC2", traced(_ended_by_the_machine))
