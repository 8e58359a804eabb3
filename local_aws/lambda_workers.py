"""Lambda's warm worker processes, nearer to AWS and faster.

MiniStack's worker reports every exception as `Runtime.HandlerError`, is ended by it, and each call waits 5 to 50 ms for
log lines that may still come. Here a failed handler answers with its own errorType and stack trace and its process
lives on, as on AWS, and the worker itself says when the log of a call is complete.

Nor does a burst start a process for every call that finds none free: on one machine those starts slow down what runs,
so that more calls find none, and everything stands still for a minute.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

LOG_END = "local_aws: end of log"
ERROR_MEMBER = "local_aws_error"
LOG_WAIT_SECONDS = 0.25
STARTS_AT_ONCE = max(1, (os.cpu_count() or 2) // 2)  # the other cores go on answering
LOOK_AGAIN_SECONDS = 0.01

_starting = threading.BoundedSemaphore(STARTS_AT_ONCE)

# The end of MiniStack's worker script, and what stands there instead.
SCRIPT_END = (
    "        except Exception as e:\n"
    '            _real_stdout.write(json.dumps({"status": "error", "error": str(e), "trace": traceback.format_exc()})'
    ' + "\\n")\n'
    "        _real_stdout.flush()\n"
)
OUR_SCRIPT_END = f"""\
        except Exception as e:
            _trace = traceback.format_exc()
            _failure = {{
                "errorMessage": str(e),
                "errorType": type(e).__name__,
                "requestId": _ms_ctx.get("request_id", ""),
                "stackTrace": traceback.format_list(traceback.extract_tb(e.__traceback__)[1:]),
            }}
            print("[ERROR] " + type(e).__name__ + ": " + str(e) + chr(10) + _trace, file=sys.stderr)
            _real_stdout.write(json.dumps({{"status": "ok", "result": {{"{ERROR_MEMBER}": _failure}}}}) + chr(10))
        print("{LOG_END}", file=sys.stderr, flush=True)
        _real_stdout.flush()
"""


def worker_script(original: str) -> str:
    """MiniStack's worker script with our end. Raises ValueError when it is not the script this was written for."""
    if original.count(SCRIPT_END) != 1:
        raise ValueError("MiniStack's Python worker script is not the expected one")
    return original.replace(SCRIPT_END, OUR_SCRIPT_END)


def drain_log(worker: Any, first_line_wait: float = LOG_WAIT_SECONDS) -> str:
    """The log lines of the call that has just ended: everything up to the worker's own mark."""
    lines: list[str] = []
    deadline = time.monotonic() + first_line_wait
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = worker._stderr_queue.get(timeout=left)
        except queue.Empty:
            break
        if line == LOG_END:
            break
        lines.append(line)
    return "\n".join(lines)


def execute_warm(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A call whose handler's exception is the answer AWS gives: errorMessage, errorType, requestId, stackTrace."""

    def wrapped(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        result = original(func, event, request_id)
        body = result.get("body")
        if isinstance(body, dict) and set(body) == {ERROR_MEMBER}:
            return {**result, "body": body[ERROR_MEMBER], "error": True}
        return result

    return wrapped


def leased(
    original: Callable[..., tuple[Any, str]], start: Callable[[Any], None]
) -> Callable[..., tuple[Any, str | None]]:
    """Leases a worker: a free one, also one that becomes free while others start, or one that is started now.

    Starts, which `start` waits for, are not more than STARTS_AT_ONCE at a time, so the wait for one always ends.
    """

    def wrapped(
        func_name: str,
        config: dict[str, Any],
        code: bytes,
        qualifier: str = "$LATEST",
        max_concurrency: int | None = None,
    ) -> tuple[Any, str | None]:
        # With a ceiling of one it gives a free one, the very first, or none.
        worker, how = original(func_name, config, code, qualifier=qualifier, max_concurrency=1)
        while worker is None and not _starting.acquire(timeout=LOOK_AGAIN_SECONDS):
            worker, how = original(func_name, config, code, qualifier=qualifier, max_concurrency=1)
        if how == "reused":
            return worker, how
        if worker is not None:
            _starting.acquire()
        try:
            if worker is None:
                worker, how = original(func_name, config, code, qualifier=qualifier, max_concurrency=max_concurrency)
            if how == "spawn":
                with contextlib.suppress(Exception):  # the call starts it once more, and reports why it cannot
                    start(worker)
        finally:
            _starting.release()
        return worker, how

    return wrapped
