"""Task tokens: what a state with `.waitForTaskToken` (or an activity's) waits for, and who answers them."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import uuid
from typing import Any

from ministack.services import stepfunctions as sfn

from local_aws.errors import ApiError, Response, error_response, json_response
from local_aws.stepfunctions.running import Limits
from local_aws.store import Record

_MARK = "task-of"
_lock = threading.Lock()
_tasks: dict[str, Callback] = {}
_closed: set[str] = set()


class Callback:
    """One task that waits for its token. Leave the `with` block, and the token is closed for good."""

    def __init__(self, execution: Record) -> None:
        # Like AWS's, tokens are base64 and tell of their own form: one that is not ours is invalid, not forgotten.
        content = json.dumps({_MARK: execution["executionArn"], "id": uuid.uuid4().hex})
        self.token = base64.b64encode(content.encode()).decode()
        self.limits = Limits(None)
        self.execution = execution
        self._answered = threading.Event()
        self._output: str | None = None
        self._failure: tuple[str | None, str | None] = (None, None)

    def __enter__(self) -> Callback:
        with _lock:
            _tasks[self.token] = self
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            _tasks.pop(self.token, None)
            _closed.add(self.token)

    def result(self) -> Any:
        """Waits for the answer: the output of SendTaskSuccess; raises what SendTaskFailure says, or a limit's error."""
        self.limits.wait(self._answered)
        if self._output is None:
            raise sfn._ExecutionError(*self._failure)
        return json.loads(self._output)

    def succeed(self, output: str) -> None:
        """Answers with JSON text. The lock is held."""
        self._output = output
        self._answered.set()

    def fail(self, error: str | None, cause: str | None) -> None:
        """Answers with a failure. The lock is held."""
        self._failure = error, cause
        self._answered.set()


def _waiting(token: str) -> Callback:
    """The task that waits for `token`. Raises ApiError as AWS answers."""
    task = _tasks.get(token)
    if task is not None and task.execution["status"] == "RUNNING":
        return task
    if task is not None or token in _closed:
        raise ApiError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
    try:
        content = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        content = None
    if not isinstance(content, dict) or _MARK not in content:
        raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'")
    raise ApiError("TaskDoesNotExist", f"Task Does Not Exist: '{content[_MARK]}'")


def _close(token: str) -> Callback:
    task = _waiting(token)
    del _tasks[token]
    _closed.add(token)
    return task


def send_success(data: Record) -> Response:
    """SendTaskSuccess."""
    output = data.get("output", "")
    try:
        json.loads(output)
    except (TypeError, ValueError):
        return error_response(ApiError("InvalidOutput", f"Invalid Output: 'Output is not JSON: {str(output)[:200]}'"))
    try:
        with _lock:
            _close(data.get("taskToken", "")).succeed(output)
    except ApiError as error:
        return error_response(error)
    return json_response({})


def send_failure(data: Record) -> Response:
    """SendTaskFailure: error and cause may both be left out."""
    try:
        with _lock:
            _close(data.get("taskToken", "")).fail(data.get("error"), data.get("cause"))
    except ApiError as error:
        return error_response(error)
    return json_response({})


def send_heartbeat(data: Record) -> Response:
    """SendTaskHeartbeat."""
    try:
        with _lock:
            _waiting(data.get("taskToken", "")).limits.beat()
    except ApiError as error:
        return error_response(error)
    return json_response({})
