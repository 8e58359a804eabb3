"""Executions: how they begin and end, their history, and the parts of states that MiniStack lacks or does otherwise.

Every function here stands in for MiniStack's of the same name, or wraps it.
"""

from __future__ import annotations

import contextvars
import json
import random
import threading
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions as sfn

from local_aws.errors import Response, json_response
from local_aws.iam import executions
from local_aws.log_delivery import log_event
from local_aws.stepfunctions import kept
from local_aws.stepfunctions.running import HEARTBEAT_TIMEOUT, TIMEOUT, ExecutionEnded, check, current, is_running
from local_aws.store import Record

_history = threading.RLock()


def add_event(original: Callable[..., Record]) -> Callable[..., Record]:
    """An event of the history, which also goes to the state machine's log. Nothing follows an execution's end."""

    def wrapped(execution: Record, event_type: str, details: Record | None = None) -> Record:
        with _history:
            if execution["status"] != "RUNNING" and not event_type.startswith("Execution"):
                return {}
            event = original(execution, event_type, details and _without_nothing(details))
            outside = event["id"] == 2 or event_type == "ExecutionAborted"  # AWS links these to no event
            event["previousEventId"] = 0 if outside else event["id"] - 1
            execution["events"][0]["previousEventId"] = 0
        log_event(execution, sfn._state_machines.get(execution["stateMachineArn"]), event)
        if event_type in kept.ENDINGS:
            kept.end(execution)
        return event

    return wrapped


def _without_nothing(details: Record) -> Record:
    """An error or cause that nobody gave is left out."""
    return {
        name: {key: value for key, value in part.items() if value or key not in ("error", "cause")}
        if isinstance(part, dict)
        else part
        for name, part in details.items()
    }


def start_execution(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """StartExecution, which may be said twice: the same name and input of an execution that still runs is that one."""

    def wrapped(data: Record) -> Response:
        machine = str(data.get("stateMachineArn", "")).replace(":stateMachine:", ":execution:")
        running = sfn._executions.get(f"{machine}:{data.get('name')}") if data.get("name") else None
        if running and running["status"] == "RUNNING" and running["input"] == data.get("input", "{}"):
            return json_response({"executionArn": running["executionArn"], "startDate": running["startDate"]})
        return original(data)

    return wrapped


def run_execution(original: Callable[[str], None]) -> Callable[[str], None]:
    """An execution: known to what it runs, ended by the state machine's TimeoutSeconds, quiet once it has ended."""

    def wrapped(arn: str) -> None:
        execution = sfn._executions.get(arn)
        if execution is None:
            return
        token = current.set(execution)
        executions.trace(execution)
        log_event(execution, sfn._state_machines.get(execution["stateMachineArn"]), execution["events"][0])
        definition = json.loads((sfn._state_machines.get(execution["stateMachineArn"]) or {}).get("definition", "{}"))
        timer: threading.Timer | None = None
        if definition.get("TimeoutSeconds"):
            context = contextvars.copy_context()
            timer = threading.Timer(definition["TimeoutSeconds"], context.run, args=(_time_out, execution))
            timer.daemon = True
            timer.start()
        try:
            original(arn)
        except ExecutionEnded:
            pass
        finally:
            if timer is not None:
                timer.cancel()
            current.reset(token)

    return wrapped


def _time_out(execution: Record) -> None:
    if execution["status"] != "RUNNING":
        return
    execution["status"] = "TIMED_OUT"
    execution["stopDate"] = sfn.now_iso()
    sfn._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {"error": TIMEOUT}})
    sfn._emit_execution_status_event(execution)


def fail_execution(original: Callable[[Record, str, str], None]) -> Callable[[Record, str, str], None]:
    """What fails after the execution was stopped or timed out does not change how it ended."""

    def wrapped(execution: Record, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            original(execution, error, cause)
            execution["output"] = None  # MiniStack keeps error and cause there, too

    return wrapped


def error_matches(error_equals: list[str], error: str | None) -> bool:
    """Whether a Retry or Catch of these names takes the error.

    A missed heartbeat is a timeout, too; States.ALL leaves States.Runtime and States.DataLimitExceeded alone.
    """
    if "States.ALL" in error_equals and error not in ("States.Runtime", "States.DataLimitExceeded"):
        return True
    timeouts = (TIMEOUT, HEARTBEAT_TIMEOUT)
    if error in error_equals or (error == HEARTBEAT_TIMEOUT and TIMEOUT in error_equals):
        return True
    return "States.TaskFailed" in error_equals and error not in (*timeouts, "States.Runtime")


def find_matching_retrier(original: Callable[..., Any]) -> Callable[..., Any]:
    """Retry with MaxDelaySeconds and JitterStrategy: the delay is worked out here and handed on as a fixed interval."""

    def wrapped(retriers: list[Record], error: str, counts: dict[int, int]) -> tuple[Record | None, int]:
        retrier, index = original(retriers, error, counts)
        if retrier is None or not is_running():
            return (retrier, index) if retrier is None else (None, -1)
        delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** counts.get(index, 0)
        delay = min(delay, retrier.get("MaxDelaySeconds", delay))
        if retrier.get("JitterStrategy") == "FULL":
            delay = random.uniform(0, delay)  # noqa: S311 - spreads retries, keeps no secret
        return {**retrier, "IntervalSeconds": delay, "BackoffRate": 1.0}, index

    return wrapped


def apply_state_assign(
    state: Record, data: Any, ctx: Record | None, result: Any = None, error_output: Any = None
) -> None:
    """Assign: every expression sees the variables from before the state, as on AWS; MiniStack's sees earlier lines."""
    assign = state.get("Assign")
    if ctx is None or not isinstance(assign, dict) or sfn._state_query_language(state, ctx) != "JSONata":
        return
    fresh = {
        name: sfn._apply_jsonata_template(template, data, ctx, result=result, error_output=error_output)
        for name, template in assign.items()
    }
    ctx.setdefault("variables", {}).update(fresh)


def apply_output_path(original: Callable[..., Any]) -> Callable[..., Any]:
    """What a Succeed state gives: MiniStack knows its OutputPath only, not JSONata's Output."""

    def wrapped(state: Record, data: Any, ctx: Record | None = None) -> Any:
        if state.get("Type") == "Succeed" and "Output" in state:
            return sfn._apply_jsonata_template(state["Output"], data, ctx)
        return original(state, data, ctx)

    return wrapped


def run_sub_machine(original: Callable[..., Any]) -> Callable[..., Any]:
    """A branch or an item: it has a context of its own, and what it assigns stays in it."""

    def wrapped(states: Record, start: str, data: Any, execution: Record, ctx: Record) -> Any:
        try:
            return original(states, start, data, execution, {**ctx, "variables": dict(ctx.get("variables", {}))})
        except ExecutionEnded:  # the state around it tells
            return None

    return wrapped


def run_parallel_branches(original: Callable[..., Any]) -> Callable[..., Any]:
    """A Parallel state with JSONata's Arguments, Output and Assign."""

    def wrapped(state: Record, data: Any, execution: Record, ctx: Record) -> tuple[Any, str | None]:
        if sfn._state_query_language(state, ctx) != "JSONata":
            output, following = original(state, data, execution, ctx)
        else:
            given = sfn._apply_jsonata_arguments(state, data, ctx)
            results, following = original(state, given, execution, ctx)
            check()
            output = sfn._apply_jsonata_output(state, data, ctx, result=results, default=results)
            sfn._apply_state_assign(state, data, ctx, result=results)
        check()
        return output, following

    return wrapped


def run_map_items(original: Callable[..., Any]) -> Callable[..., Any]:
    """A Map state that leads nowhere once the execution has ended."""

    def wrapped(state: Record, data: Any, execution: Record, ctx: Record) -> Any:
        result = original(state, data, execution, ctx)
        check()
        return result

    return wrapped
