"""Which execution a thread works for, and how everything that waits for something ends with it."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any

from ministack.services import stepfunctions as sfn

from local_aws.store import Record

POLL_SECONDS = 0.1
TIMEOUT, HEARTBEAT_TIMEOUT = "States.Timeout", "States.HeartbeatTimeout"

current: contextvars.ContextVar[Record | None] = contextvars.ContextVar("local_aws_execution", default=None)


class ExecutionEnded(BaseException):
    """The execution was stopped or timed out while a state ran. Not an Exception: no Retry or Catch may see it."""


def is_running() -> bool:
    """Whether the execution this thread works for still runs (True outside of any)."""
    execution = current.get()
    return execution is None or execution["status"] == "RUNNING"


def check() -> None:
    """Raises ExecutionEnded once the execution this thread works for does not run any more."""
    if not is_running():
        raise ExecutionEnded


def scaled_sleep(seconds: float) -> None:
    """Waits of states and retries, SFN_WAIT_SCALE times as long as said, cut short when the execution ends."""
    until = time.monotonic() + seconds * sfn._SFN_WAIT_SCALE
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, POLL_SECONDS))


class Limits:
    """TimeoutSeconds and HeartbeatSeconds of one attempt of a task.

    Both are real seconds, never scaled: what a task waits for is computed, and takes as long as it takes.
    """

    def __init__(self, timeout: float | None, heartbeat: float | None = None) -> None:
        self.timeout = timeout
        self.heartbeat = heartbeat
        self.expired = False
        self._begin = self._beat = time.monotonic()

    def beat(self) -> None:
        """A heartbeat has come."""
        self._beat = time.monotonic()

    def check(self) -> None:
        """Raises ExecutionEnded, or the error of the limit that is over, as MiniStack's error of a state."""
        check()
        now = time.monotonic()
        if self.timeout is not None and now - self._begin >= self.timeout:
            error = TIMEOUT
        elif self.heartbeat is not None and now - self._beat >= self.heartbeat:
            error = HEARTBEAT_TIMEOUT
        else:
            return
        self.expired = True
        raise sfn._ExecutionError(error, "")

    def pause(self, seconds: float) -> None:
        """Waits so long; raises as `check` does."""
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
            self.check()

    def wait(self, event: threading.Event) -> None:
        """Waits for `event`; raises as `check` does."""
        while not event.wait(POLL_SECONDS):
            self.check()

    def result_of(self, function: Callable[[], Any]) -> Any:
        """What `function` gives or raises; the wait for it ends with the limits, the function itself runs on."""
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # it is raised where the result is waited for
                future.set_exception(error)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), name="task", daemon=True).start()
        while True:
            try:
                return future.result(POLL_SECONDS)
            except NotYet:
                if future.done():
                    return future.result()
                self.check()
