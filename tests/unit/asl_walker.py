"""Walks a JSONata state machine for tests: expressions are really evaluated, arguments really validated, waits skipped.

What a task answers comes from a fake: `world("sagemaker:describeEndpoint", arguments)` returns the result or raises
TaskError. Retries are not made: how often AWS tries again is its own affair; which errors end where is ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import botocore.validate
from jsonata import Jsonata, utils  # type: ignore[import-untyped,unused-ignore]

from tools.asl_services import Call

World = Callable[[str, dict[str, Any]], Any]
CONTEXT = {
    "Execution": {"Name": "execution", "Id": "arn:execution", "StartTime": "2026-11-20T10:00:00Z"},
    "State": {"RetryCount": 0, "EnteredTime": "2026-11-20T12:00:00.123Z"},
    "Task": {"Token": "token"},
}


class TaskError(Exception):
    """What a task fails with: Step Functions' Error and Cause."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause


@dataclass
class Walk:
    """An execution that has ended: the states it passed, and Output, or Error and Cause."""

    states: list[str] = field(default_factory=list)
    output: Any = None
    error: str = ""
    cause: str = ""


def evaluate(template: Any, variables: dict[str, Any], **states: Any) -> Any:
    """Every expression in `template` replaced by its value. Undefined is an error, as Step Functions has it."""
    if isinstance(template, dict):
        return {name: evaluate(value, variables, **states) for name, value in template.items()}
    if isinstance(template, list):
        return [evaluate(value, variables, **states) for value in template]
    if not (isinstance(template, str) and template.startswith("{%")):
        return template
    expression = Jsonata.jsonata(template[2:-2].strip())
    expression.register_lambda("parse", json.loads)
    value = expression.evaluate(None, {**variables, "states": states})
    if value is None or value is utils.Utils.NULL_VALUE:
        raise TaskError("States.QueryEvaluationError", f"no result: {template}")
    return value


def walk(machine: dict[str, Any], run_input: Any, world: World) -> Walk:
    """Run `machine` on `run_input` against `world`."""
    done, current = Walk(), run_input
    variables: dict[str, Any] = {}
    name = machine["StartAt"]
    while name:
        state = machine["States"][name]
        done.states.append(name)
        assert len(done.states) < 8000, f"the machine goes round in circles: {done.states[-6:]}"
        seen = {"input": current, "context": CONTEXT}
        if state["Type"] == "Fail":
            done.error, done.cause = (evaluate(state[part], variables, **seen) for part in ("Error", "Cause"))
            return done
        step = {"Choice": _choice, "Task": _task}.get(state["Type"], _plain)
        name, assigned, current = step(state, variables, seen, world)
        variables |= assigned
    done.output = current
    return done


def _plain(
    state: dict[str, Any], variables: dict[str, Any], seen: dict[str, Any], _: World
) -> tuple[str, dict[str, Any], Any]:
    output = evaluate(state["Output"], variables, **seen) if "Output" in state else seen["input"]
    return state.get("Next", ""), evaluate(state.get("Assign", {}), variables, **seen), output


def _choice(
    state: dict[str, Any], variables: dict[str, Any], seen: dict[str, Any], _: World
) -> tuple[str, dict[str, Any], Any]:
    rules = [rule for rule in state["Choices"] if evaluate(rule["Condition"], variables, **seen) is True]
    taken, target = (rules[0], rules[0]["Next"]) if rules else (state, state["Default"])
    output = evaluate(taken["Output"], variables, **seen) if "Output" in taken else seen["input"]
    return target, evaluate(taken.get("Assign", {}), variables, **seen), output


def _task(
    state: dict[str, Any], variables: dict[str, Any], seen: dict[str, Any], world: World
) -> tuple[str, dict[str, Any], Any]:
    try:
        arguments = evaluate(state["Arguments"], variables, **seen)
        _validate(state["Resource"], arguments)
        result = world(state["Resource"].partition(":::")[2].removeprefix("aws-sdk:"), arguments)
        assigned = evaluate(state.get("Assign", {}), variables, **seen, result=result)
        output = evaluate(state["Output"], variables, **seen, result=result) if "Output" in state else result
    except TaskError as error:
        for catcher in state["Catch"]:
            if error.error in catcher["ErrorEquals"] or "States.ALL" in catcher["ErrorEquals"]:
                output = {"Error": error.error, "Cause": error.cause}
                return (
                    catcher["Next"],
                    evaluate(catcher.get("Assign", {}), variables, **seen, errorOutput=output),
                    output,
                )
        raise
    return state["Next"], assigned, output


def _validate(resource: str, arguments: dict[str, Any]) -> None:
    """botocore's own judgement of the evaluated arguments."""
    if any(part in resource for part in (":lambda:", ":states:", ":apigateway:")):
        return  # what they send on is any JSON to Step Functions, but bytes or text to the API
    call = Call(resource)
    if "Body" in arguments:
        arguments = {**arguments, "Body": json.dumps(arguments["Body"])}
    shape = call.model.operation_model(call.action[0].upper() + call.action[1:]).input_shape
    report = botocore.validate.ParamValidator().validate(_api_names(shape, arguments), shape)
    assert not report.has_errors(), f"{resource}: {report.generate_report()}"


def _api_names(shape: Any, value: Any) -> Any:
    """Step Functions' PascalCase to the API's own spelling."""
    if shape.type_name == "structure" and isinstance(value, dict):
        spelt = {name[0].upper() + name[1:]: name for name in shape.members}
        return {
            spelt.get(key, key): _api_names(shape.members[spelt[key]], item) if key in spelt else item
            for key, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_api_names(shape.member, item) for item in value]
    return value
