"""Check state machines before they cost anything: `python -m tools.asl_check statemachine/*.asl.json`.

The public linters leave out what breaks a deployed machine: an action or argument that the service does not have, a
pattern an integration lacks, an expression that does not parse or reads a variable nobody assigned. This one knows the
house's language only: JSONata, a Comment on every state, and a time limit and a way to fail on every task.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import asl_expressions
from tools.asl_services import Call

State = dict[str, Any]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EVERY = _words("Type Comment QueryLanguage")
_FLOW = _EVERY | _words("Next End Output Assign")
_RETRIED = _FLOW | _words("Retry Catch")
FIELDS = {
    "Task": _RETRIED | _words("Resource Arguments TimeoutSeconds HeartbeatSeconds Credentials"),
    "Parallel": _RETRIED | _words("Branches Arguments"),
    "Map": _RETRIED
    | _words("Items ItemProcessor ItemSelector ItemReader ItemBatcher ResultWriter MaxConcurrency Label")
    | _words("ToleratedFailurePercentage ToleratedFailureCount"),
    "Pass": _FLOW,
    "Wait": _FLOW | _words("Seconds Timestamp"),
    "Choice": _EVERY | _words("Choices Default Output Assign"),
    "Succeed": _EVERY | _words("Output"),
    "Fail": _EVERY | _words("Error Cause"),
}
JSONPATH = _words(
    "InputPath OutputPath ResultPath Parameters ResultSelector Result ItemsPath Variable TimeoutSecondsPath "
    "HeartbeatSecondsPath SecondsPath TimestampPath ErrorPath CausePath MaxConcurrencyPath"
)
RULE_FIELDS = _words("Condition Next Assign Output Comment")
RETRY_FIELDS = _words("ErrorEquals IntervalSeconds MaxAttempts BackoffRate MaxDelaySeconds JitterStrategy Comment")
CATCH_FIELDS = _words("ErrorEquals Next Assign Output Comment")
MACHINE_FIELDS = _words("Comment QueryLanguage StartAt States TimeoutSeconds Version ProcessorConfig")


def check(definition: dict[str, Any]) -> list[str]:
    """Everything found wrong in the definition, each line beginning with the state it is in."""
    problems = []
    if definition.get("QueryLanguage") != "JSONata":
        problems.append("the machine: QueryLanguage has to be JSONata")
    if not isinstance(definition.get("TimeoutSeconds"), int):
        problems.append("the machine: TimeoutSeconds is missing")
    return problems + list(_machine(definition, "the machine", frozenset()))


def _machine(machine: dict[str, Any], name: str, outer: frozenset[str]) -> Iterator[str]:
    states: dict[str, State] = machine.get("States", {})
    for field in machine.keys() - MACHINE_FIELDS:
        yield f"{name}: there is no field {field}"
    if machine.get("StartAt") not in states:
        yield f"{name}: StartAt names {machine.get('StartAt')}, which is not there"
        return
    assigned = _assigned(states, machine["StartAt"], outer)
    for state_name, state in states.items():
        if state_name not in assigned:
            yield f"{state_name}: nothing leads here"
        for problem in _state(state, states, assigned.get(state_name, outer)):
            yield f"{state_name}: {problem}"


def edges(state: State) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where a state may go on, and what is assigned on that way."""
    own = state.get("Assign", {})
    for field in ("Next", "Default"):
        if field in state:
            yield state[field], own
    for way in (*state.get("Choices", []), *state.get("Catch", [])):
        if "Next" in way:
            yield way["Next"], way.get("Assign", {})


def _assigned(states: dict[str, State], start: str, outer: frozenset[str]) -> dict[str, frozenset[str]]:
    """For every reachable state the variables that every way to it has assigned."""
    known = {start: outer}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        for target, assigns in edges(states[name]):
            found = known[name] | assigns.keys()
            merged = known[target] & found if target in known else found
            if target in states and known.get(target) != merged:
                known[target] = merged
                waiting.append(target)
    return known


def _state(state: State, states: dict[str, State], variables: frozenset[str]) -> Iterator[str]:
    kind = state.get("Type", "")
    if kind not in FIELDS:
        yield f"there is no state type {kind or '(none given)'}"
        return
    if not state.get("Comment"):
        yield "Comment is missing"
    yield from _languages(state)
    for field in sorted(state.keys() - FIELDS[kind] - JSONPATH):
        yield f"{kind} has no field {field}"
    yield from _ways(state, states)
    yield from _expressions(state, variables)
    if kind == "Task":
        yield from _task(state)
    if kind in ("Parallel", "Map"):
        inner = state.get("Branches", []) if kind == "Parallel" else [state.get("ItemProcessor", {})]
        for machine in inner:
            yield from _machine(machine, "inside", variables)


def _languages(value: Any, path: str = "") -> Iterator[str]:
    """JSONPath where JSONata is spoken."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _languages(item, f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    for name, member in value.items():
        where = f"{path}.{name}".lstrip(".")
        if name == "QueryLanguage" and member != "JSONata":
            yield f"{where} is {member}: query languages are mixed"
        if name.endswith(".$") or (name in JSONPATH and not path.startswith(("Arguments", "Output", "Assign"))):
            yield f"{where} is JSONPath: query languages are mixed"
        if name not in ("States", "Branches", "ItemProcessor"):
            yield from _languages(member, where)


def _ways(state: State, states: dict[str, State]) -> Iterator[str]:
    kind = state["Type"]
    for target, _ in edges(state):
        if target not in states:
            yield f"leads to {target}, which is not there"
    if kind == "Choice":
        if "Default" not in state:
            yield "Default is missing: an input that no rule fits would end the execution with States.NoChoiceMatched"
        for index, rule in enumerate(state.get("Choices", [])):
            unknown = sorted(rule.keys() - RULE_FIELDS - JSONPATH)
            yield from (f"Choices[{index}]: there is no field {field}" for field in unknown)
            yield from (f"Choices[{index}]: {field} is missing" for field in ("Condition", "Next") if field not in rule)
    elif kind not in ("Succeed", "Fail") and ("Next" in state) == (state.get("End") is True):
        yield "has to have either Next or End"
    if kind == "Wait" and ("Seconds" in state) == ("Timestamp" in state):
        yield "has to have either Seconds or Timestamp"


def _expressions(state: State, variables: frozenset[str]) -> Iterator[str]:
    always = {"input", "context"}
    done = always | ({"result"} if state["Type"] in ("Task", "Parallel", "Map", "Pass") else set())
    token = {asl_expressions.WAITS} if _waits_for_token(state) else set()
    for field, value in state.items():
        if field in ("Catch", "Retry", "Choices", "Branches", "ItemProcessor"):
            continue
        readable = done if field in ("Assign", "Output") else always | token
        yield from asl_expressions.check(value, field, variables, readable)
    for index, rule in enumerate(state.get("Choices", [])):
        yield from asl_expressions.check(rule, f"Choices[{index}]", variables, always)
    for index, catcher in enumerate(state.get("Catch", [])):
        yield from asl_expressions.check(catcher, f"Catch[{index}]", variables, always | {"errorOutput"})


def _waits_for_token(state: State) -> bool:
    return str(state.get("Resource", "")).endswith(".waitForTaskToken")


def _task(state: State) -> Iterator[str]:
    call = Call(str(state.get("Resource", "")))
    yield from call.problems
    if not call.problems:
        yield from call.check_arguments(state.get("Arguments", {}))
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if timeout is None:
        yield "TimeoutSeconds is missing: without it a task may wait for a year"
    if _waits_for_token(state) and "context.Task.Token" not in json.dumps(state.get("Arguments", {})):
        yield "Arguments do not hold $states.context.Task.Token: nobody could answer"
    if heartbeat is not None and not _waits_for_token(state):
        yield "HeartbeatSeconds does nothing without .waitForTaskToken"
    if isinstance(heartbeat, int) and isinstance(timeout, int) and heartbeat >= timeout:
        yield f"HeartbeatSeconds, {heartbeat}, has to be below TimeoutSeconds, {timeout}"
    if not any("States.ALL" in catcher.get("ErrorEquals", []) for catcher in state.get("Catch", [])):
        yield "Catch of States.ALL is missing: its failure would end the execution without cleaning up"
    yield from _error_lists(state, "Retry", RETRY_FIELDS, call)
    yield from _error_lists(state, "Catch", CATCH_FIELDS, call)


def _error_lists(state: State, field: str, fields: frozenset[str], call: Call) -> Iterator[str]:
    handlers = state.get(field, [])
    for index, handler in enumerate(handlers):
        where, names = f"{field}[{index}]", handler.get("ErrorEquals", [])
        yield from (f"{where}: there is no field {name}" for name in sorted(handler.keys() - fields - JSONPATH))
        if not names:
            yield f"{where}: ErrorEquals is missing"
        if "States.ALL" in names and (len(names) > 1 or index < len(handlers) - 1):
            yield f"{where}: States.ALL has to stand alone and last"
        if handler.get("JitterStrategy", "NONE") not in ("FULL", "NONE"):
            yield f"{where}: JitterStrategy has to be FULL or NONE"
        if handler.get("MaxDelaySeconds", sys.maxsize) <= handler.get("IntervalSeconds", 1):
            yield f"{where}: MaxDelaySeconds has to be above IntervalSeconds"
        if not call.problems:
            for name in names:
                yield from (f"{where}: {problem}" for problem in call.check_error(name))


def main(paths: list[str]) -> int:
    """Check the files, print what is wrong, and answer the exit status."""
    problems = []
    for path in paths:
        try:
            definition = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {error}")
            continue
        problems += [f"{path}: {problem}" for problem in check(definition)]
    print("\n".join(problems) if problems else f"{len(paths)} state machine(s) checked, nothing wrong")
    return 1 if problems or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
