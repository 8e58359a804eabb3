"""Step Functions: SageMaker's integrations, and what MiniStack's interpreter lacks.

Added: `sagemaker:*` integrations (`.sync` of training and tuning jobs waits, and stops the job when its state times
out or its execution is stopped), state machines' own TimeoutSeconds, an end to what a stopped execution was doing,
MaxDelaySeconds and JitterStrategy of Retry, JSONata in TimeoutSeconds, Assign that sees only the variables from before
the state.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app
from ministack.services import stepfunctions as sfn

from local_aws.dispatch import COVERAGE, JsonService
from local_aws.errors import ApiError
from local_aws.log_delivery import log_event
from local_aws.sagemaker.jobs import ENDED
from local_aws.store import Record

POLL_SECONDS = 0.1

# Names of the errors an execution sees: the optimized integration is of SDK 1, the SDK integration of SDK 2.
# SageMaker's ValidationException is in neither's model, so it comes as the service's base exception.
OPTIMIZED_ERRORS = {
    "ResourceInUse": "SageMaker.ResourceInUseException",
    "ResourceLimitExceeded": "SageMaker.ResourceLimitExceededException",
    "ResourceNotFound": "SageMaker.ResourceNotFoundException",
    "ConflictException": "SageMaker.ConflictException",
}
SDK_ERRORS = {
    "ResourceInUse": "ResourceInUseException",
    "ResourceLimitExceeded": "ResourceLimitExceededException",
    "ResourceNotFound": "ResourceNotFoundException",
    "ConflictException": "ConflictException",
    "ValidationException": "SageMakerException",
}
OPTIMIZED_ACTIONS = (
    "createTrainingJob",
    "createHyperParameterTuningJob",
    "createEndpointConfig",
    "createEndpoint",
    "createModel",
    "updateEndpoint",
    "addTags",
)
# What the optimized updateEndpoint takes: the rest of the API's fields it refuses, on AWS too.
OPTIMIZED_FIELDS = {"updateEndpoint": ("EndpointConfigName", "EndpointName")}

# What `.sync` waits for: the name of the kind of job, as in TrainingJobName, TrainingJobStatus and StopTrainingJob.
SYNC_KINDS = {"createTrainingJob": "TrainingJob", "createHyperParameterTuningJob": "HyperParameterTuningJob"}

_execution: contextvars.ContextVar[Record | None] = contextvars.ContextVar("local_aws_execution", default=None)
_cancelled: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("local_aws_cancelled", default=None)


class ExecutionEnded(BaseException):
    """The execution was stopped or timed out while a state ran. Not an Exception: no Retry or Catch may see it."""


def _running() -> bool:
    """Whether the execution this thread works for still runs (True outside of any)."""
    execution = _execution.get()
    return execution is None or execution["status"] == "RUNNING"


class SageMakerTasks:
    """The optimized integrations `arn:aws:states:::sagemaker:*`."""

    def __init__(self, service: JsonService, describe: Mapping[str, Callable[[Record], Record]]) -> None:
        self.service = service
        self.describe = describe

    def _call(self, action: str, data: dict[str, Any]) -> dict[str, Any]:
        name = action[0].upper() + action[1:]

        async def handler(*_: Any) -> dict[str, Any]:
            return await self.service.call(name, data)

        answer: dict[str, Any]
        try:
            answer = app.call_service_handler_sync(handler, "POST", "/", {}, b"", {})
        except ApiError as error:
            code = OPTIMIZED_ERRORS.get(error.code, "SageMaker.AmazonSageMakerException")
            cause = f"{error.message} (Service: AmazonSageMaker; Status Code: {error.status}; Error Code: {error.code})"
            raise sfn._ExecutionError(code, cause) from error
        else:
            return answer

    def invoke(self, resource: str, data: dict[str, Any]) -> dict[str, Any]:
        """Handler of MiniStack's dispatch table."""
        action = resource.rpartition(":")[2]
        sync = action.endswith(".sync")
        action = action.removesuffix(".sync")
        if action not in OPTIMIZED_ACTIONS or (sync and action not in SYNC_KINDS):
            raise sfn._ExecutionError("States.Runtime", f"{resource} is not there in the local AWS: see {COVERAGE}")
        for field in data:
            if field not in OPTIMIZED_FIELDS.get(action, data):
                raise sfn._ExecutionError("States.Runtime", f"The field '{field}' is not supported by {resource}")
        answer = self._call(action, data)
        return self._wait(SYNC_KINDS[action], data) if sync else answer

    def _wait(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Waits for the job; gives its description. A job whose state or execution has ended is stopped."""
        job = {f"{kind}Name": data[f"{kind}Name"]}
        cancelled = _cancelled.get() or threading.Event()
        while (record := self.describe[kind](job))[f"{kind}Status"] not in ENDED:
            if cancelled.is_set() or not _running():
                with contextlib.suppress(sfn._ExecutionError):
                    self._call(f"stop{kind}", job)
                raise ExecutionEnded
            time.sleep(POLL_SECONDS)
        described: dict[str, Any] = _milliseconds(record)
        if record[f"{kind}Status"] != "Completed":
            raise sfn._ExecutionError("States.TaskFailed", json.dumps(described))
        return described


def _milliseconds(value: Any, name: str = "") -> Any:
    """Times as the optimized integration gives them: milliseconds since the epoch."""
    if isinstance(value, dict):
        return {key: _milliseconds(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_milliseconds(item) for item in value]
    if isinstance(value, (int, float)) and (name.endswith("Time") or name == "Timestamp"):
        return int(value * 1000)
    return value


# Wrappers around MiniStack's interpreter; patches.py puts them in place.


def add_event(original: Callable[..., Record]) -> Callable[..., Record]:
    """An event of the history, which also goes to the state machine's log."""

    def wrapped(execution: Record, event_type: str, details: Record | None = None) -> Record:
        event = original(execution, event_type, details)
        event["previousEventId"] = event["id"] - 1
        execution["events"][0]["previousEventId"] = 0
        log_event(execution, sfn._state_machines.get(execution["stateMachineArn"]), event)
        return event

    return wrapped


def run_execution(original: Callable[[str], None]) -> Callable[[str], None]:
    """An execution: known to what it runs, ended by the state machine's TimeoutSeconds, quiet once it has ended."""

    def wrapped(arn: str) -> None:
        execution = sfn._executions.get(arn)
        if execution is None:
            return
        token = _execution.set(execution)
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
            _execution.reset(token)

    return wrapped


def _time_out(execution: Record) -> None:
    if execution["status"] != "RUNNING":
        return
    execution["status"] = "TIMED_OUT"
    execution["stopDate"] = sfn.now_iso()
    execution["error"] = "States.Timeout"
    details = {"executionTimedOutEventDetails": {"error": "States.Timeout"}}
    sfn._add_event(execution, "ExecutionTimedOut", details)
    sfn._emit_execution_status_event(execution)


def fail_execution(original: Callable[[Record, str, str], None]) -> Callable[[Record, str, str], None]:
    """What fails after the execution was stopped or timed out does not change how it ended."""

    def wrapped(execution: Record, error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            original(execution, error, cause)

    return wrapped


def execute_task(original: Callable[..., Any]) -> Callable[..., Any]:
    """A Task state whose TimeoutSeconds may be JSONata, and that leads nowhere once the execution has ended."""

    def wrapped(state: Record, data: Any, execution: Record, ctx: Record) -> Any:
        for field in ("TimeoutSeconds", "HeartbeatSeconds"):
            if isinstance(state.get(field), str):
                state = {**state, field: sfn._jsonata_state_field(state, field, "number", data, ctx)}
        result = original(state, data, execution, ctx)
        if execution["status"] != "RUNNING":
            raise ExecutionEnded
        return result

    return wrapped


def invoke_with_timeout(original: Callable[..., Any]) -> Callable[..., Any]:
    """A state's TimeoutSeconds also ends what the state was waiting for."""

    def wrapped(resource: str, data: Any, timeout: float) -> Any:
        cancelled = threading.Event()
        token = _cancelled.set(cancelled)
        try:
            return original(resource, data, timeout)
        except BaseException:
            cancelled.set()
            raise
        finally:
            _cancelled.reset(token)

    return wrapped


def scaled_sleep(seconds: float) -> None:
    """Waits of states and retries, cut short when the execution ends."""
    until = time.monotonic() + seconds * sfn._SFN_WAIT_SCALE
    while (left := until - time.monotonic()) > 0:
        if not _running():
            raise ExecutionEnded
        time.sleep(min(left, POLL_SECONDS))


def find_matching_retrier(original: Callable[..., Any]) -> Callable[..., Any]:
    """Retry with MaxDelaySeconds and JitterStrategy: the delay is worked out here and handed on as a fixed interval."""

    def wrapped(retriers: list[Record], error: str, counts: dict[int, int]) -> tuple[Record | None, int]:
        retrier, index = original(retriers, error, counts)
        if retrier is None or not _running():
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
