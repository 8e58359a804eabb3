"""Small state machines on the emulator: create, start, wait for the end, read the history."""

from __future__ import annotations

import json
import uuid
from typing import Any

from .conftest import ROLE, Stage, wait_for


def create(stage: Stage, states: dict[str, Any], **machine: Any) -> str:
    """A JSONata state machine that begins with the first of `states`; gives its ARN."""
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **machine}
    created = stage.aws.client("stepfunctions").create_state_machine(
        name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
    )
    return str(created["stateMachineArn"])


def start(stage: Stage, states: dict[str, Any], **machine: Any) -> str:
    """Creates and starts a state machine; gives the execution's ARN."""
    arn = create(stage, states, **machine)
    return str(stage.aws.client("stepfunctions").start_execution(stateMachineArn=arn, input="{}")["executionArn"])


def ended(stage: Stage, execution: str, seconds: float = 15.0) -> dict[str, Any]:
    """The execution once it has ended."""
    client = stage.aws.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    found: dict[str, Any] = wait_for(look, "the execution's end", seconds)
    return found


def run(stage: Stage, states: dict[str, Any], **machine: Any) -> dict[str, Any]:
    """Runs a state machine to its end."""
    return ended(stage, start(stage, states, **machine))


def history(stage: Stage, execution: str) -> list[dict[str, Any]]:
    """The execution's events."""
    events: list[dict[str, Any]] = stage.aws.client("stepfunctions").get_execution_history(executionArn=execution)[
        "events"
    ]
    return events


def details(event: dict[str, Any]) -> dict[str, Any]:
    """What one event tells beside its number and time."""
    found: dict[str, Any] = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
    return found


def event(stage: Stage, execution: str, kind: str) -> dict[str, Any]:
    """The details of the execution's only event of the kind, which may have yet to come."""
    found = wait_for(lambda: [one for one in history(stage, execution) if one["type"] == kind], kind)
    assert len(found) == 1, kind
    return details(found[0])


def task(resource: str, arguments: Any, **more: Any) -> dict[str, Any]:
    """A Task that ends the machine."""
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Arguments": arguments, "End": True, **more}
