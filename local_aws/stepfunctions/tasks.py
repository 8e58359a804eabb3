"""One Task state: its request, what it waits for, its limits, its history, Retry and Catch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ministack.services import stepfunctions as sfn

from local_aws.settings import REGION
from local_aws.stepfunctions import sync
from local_aws.stepfunctions.integrations import Resource, call_integration, check_there
from local_aws.stepfunctions.running import HEARTBEAT_TIMEOUT, TIMEOUT, Limits, check
from local_aws.stepfunctions.tokens import Callback
from local_aws.store import Record


@dataclass(frozen=True)
class Attempt:
    """One attempt of a Task: the state, its resource, input and execution, and a context of its own."""

    state: Record
    resource: Resource
    data: Any
    execution: Record
    ctx: Record
    limits: Limits
    callback: Callback | None

    @property
    def role(self) -> str:
        """The role that the state machine had when the execution began."""
        return str(self.execution["events"][0]["executionStartedEventDetails"].get("roleArn", ""))

    def tell(self, kind: str, **details: Any) -> None:
        """Adds an event of the task to the history."""
        what = {"resourceType": self.resource.resource_type, "resource": self.resource.action + self.resource.pattern}
        name = f"{kind[0].lower()}{kind[1:]}EventDetails"
        sfn._add_event(self.execution, kind, {name: {**what, **details}})

    def run(self, kinds: sync.Synchronous) -> Any:
        """The task's result. Raises sfn._ExecutionError with the error that Retry and Catch see."""
        arguments = self.arguments()
        limits = {"timeoutInSeconds": self.limits.timeout, "heartbeatInSeconds": self.limits.heartbeat}
        given = {name: round(value) for name, value in limits.items() if value is not None}
        self.tell("TaskScheduled", region=REGION, parameters=json.dumps(arguments), **given)
        self.tell("TaskStarted")
        try:
            check_there(self.resource)
            result = self._result(arguments, kinds)
        except sfn._ExecutionError as error:
            check()
            if self.limits.expired:
                self.tell("TaskTimedOut", error=TIMEOUT)
            else:
                self.tell("TaskFailed", error=error.error, cause=error.cause)
            raise
        check()
        self.tell("TaskSucceeded", output=json.dumps(result))
        return result

    def arguments(self) -> Any:
        """Arguments (JSONata) or Parameters (JSONPath) with everything in them evaluated."""
        if sfn._state_query_language(self.state, self.ctx) == "JSONata":
            return sfn._apply_jsonata_arguments(self.state, self.data, self.ctx)
        return sfn._apply_parameters(self.state, sfn._apply_input_path(self.state, self.data, self.ctx), self.ctx)

    def _result(self, arguments: Any, kinds: sync.Synchronous) -> Any:
        if self.callback is not None:
            with self.callback as callback:
                answer = self.limits.result_of(lambda: self._call(arguments))
                self.tell("TaskSubmitted", output=json.dumps(answer))
                return callback.result()
        if self.resource.pattern.startswith(".sync"):
            waited = kinds.of(self.resource)
            # Not cut short: what is started has to be known, or nobody would stop it.
            answer = self._call(arguments)
            self.tell("TaskSubmitted", output=json.dumps(answer))
            request = waited.named(arguments, answer)
            return sync.wait(waited, self.resource, request, self.role, self.limits)
        return self.limits.result_of(lambda: self._call(arguments))

    def _call(self, arguments: Any) -> Any:
        if self.resource.service == "activity" and self.callback is not None:
            if self.resource.arn not in sfn._activities:
                raise sfn._ExecutionError("ActivityDoesNotExist", f"Activity {self.resource.arn} not found")
            task = {"taskToken": self.callback.token, "input": json.dumps(arguments)}
            return sfn._activity_tasks[self.resource.arn].append(task)
        return call_integration(self.resource, arguments, self.role)

    def output(self, result: Any) -> Any:
        """The state's output; assigns its variables."""
        if sfn._state_query_language(self.state, self.ctx) == "JSONata":
            output = sfn._apply_jsonata_output(self.state, self.data, self.ctx, result=result, default=result)
            sfn._apply_state_assign(self.state, self.data, self.ctx, result=result)
            return output
        result = sfn._apply_result_selector(self.state, result)
        return sfn._apply_output_path(self.state, sfn._apply_result_path(self.state, self.data, result), self.ctx)


class Tasks:
    """Executes Task states; `execute` stands in for MiniStack's function."""

    def __init__(self, kinds: sync.Synchronous) -> None:
        self.kinds = kinds

    def execute(self, state: Record, data: Any, execution: Record, ctx: Record) -> tuple[Any, str | None]:
        """The state's output and the name of the next state. Raises sfn._ExecutionError when nothing catches."""
        counts: dict[int, int] = {}
        while True:
            check()
            try:
                attempt = _attempt(state, data, execution, ctx, sum(counts.values()))
                output = attempt.output(attempt.run(self.kinds))
            except sfn._ExecutionError as error:
                check()
                retrier, index = sfn._find_matching_retrier(state.get("Retry", []), error.error, counts)
                if retrier is None:
                    return _caught(state, data, ctx, error)
                sfn._scaled_sleep(retrier["IntervalSeconds"])
                counts[index] = counts.get(index, 0) + 1
            else:
                return output, sfn._next_or_end(state)


def _attempt(state: Record, data: Any, execution: Record, ctx: Record, retries: int) -> Attempt:
    """An attempt with a context of its own (branches share theirs) and, where it waits for one, a token of its own."""
    resource = Resource.parse(state.get("Resource", ""))
    context = {**ctx, "State": {**ctx["State"], "RetryCount": retries}}
    waits = resource.pattern == ".waitForTaskToken" or resource.service == "activity"
    callback = Callback(execution) if waits else None
    if callback is not None:
        context["Task"] = {"Token": callback.token}
    timeout = _seconds(state, "TimeoutSeconds", data, context)
    limits = Limits(timeout, _seconds(state, "HeartbeatSeconds", data, context) if waits else None)
    if callback is not None:
        callback.limits = limits
    return Attempt(state, resource, data, execution, context, limits, callback)


def _seconds(state: Record, field: str, data: Any, ctx: Record) -> float | None:
    """TimeoutSeconds or HeartbeatSeconds: a number or JSONata."""
    value = state.get(field)
    if isinstance(value, str):
        value = sfn._jsonata_state_field(state, field, "number", data, ctx)
    return None if value is None else float(value)


def _caught(state: Record, data: Any, ctx: Record, error: Any) -> tuple[Any, str]:
    catcher = sfn._find_matching_catcher(state.get("Catch", []), error.error)
    if catcher is None:
        # AWS's executions end with States.Timeout for a missed heartbeat, too.
        raise sfn._ExecutionError(TIMEOUT if error.error == HEARTBEAT_TIMEOUT else error.error, error.cause)
    language = sfn._state_query_language(state, ctx)
    shown = {"Error": error.error, "Cause": error.cause}
    return sfn._apply_catcher(catcher, data, ctx, language, shown), catcher["Next"]
