"""Failures on demand: the next calls of an operation answer with an error instead of being done.

For tests of what happens then. Asked for with POST /_local_aws/faults (see local_aws/internal.py), kept in memory only.
They stand before MiniStack's table of handlers (patches.Handlers), through which requests over HTTP and those of Step
Functions' states come, whichever service they are for; a training job's own reads and writes of S3 do not.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from local_aws.errors import ApiError, Response, error_response
from local_aws.iam.wire import Call, operation

Handler = Callable[..., Awaitable[Response]]
ANY = "*"
_FIELDS = {
    "service": str,
    "operation": str,
    "error": str,
    "message": str,
    "status": int,
    "times": int,
    "skip": int,
    "done": bool,
}


@dataclass
class Fault:
    """`operation` (or ANY) of `service`, as its endpoint is called, fails `times` times after `skip` calls.

    With `done` what was asked for is done nevertheless: only its answer is lost.
    """

    service: str
    operation: str
    error: str = "ThrottlingException"
    message: str = "Rate exceeded"
    status: int = 400
    times: int = 1
    skip: int = 0
    done: bool = False


_faults: list[Fault] = []
_lock = threading.Lock()


def add(request: dict[str, Any]) -> None:
    """Adds a fault from the members of `Fault`. Raises ApiError ValidationException for anything else."""
    wrong = [name for name, value in request.items() if not isinstance(value, _FIELDS.get(name, ()))]
    missing = [name for name in ("service", "operation") if name not in request]
    if wrong or missing:
        raise ApiError(
            "ValidationException",
            "A fault has service and operation, and may have error and message (texts), status, times and skip "
            "(numbers), and done (true or false); "
            f"wrong: {', '.join(wrong) or 'none'}; missing: {', '.join(missing) or 'none'}.",
        )
    with _lock:
        _faults.append(Fault(**request))


def waiting() -> list[dict[str, Any]]:
    """The faults that are still to come."""
    with _lock:
        return [asdict(fault) for fault in _faults]


def clear() -> None:
    """Forgets all faults."""
    with _lock:
        _faults.clear()


def due(service: str, operation: str) -> Fault | None:
    """The fault that this call meets, if there is one; it is used up by that. Any thread."""
    with _lock:
        for fault in _faults:
            if fault.service == service and fault.operation in (operation, ANY):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    _faults.remove(fault)
                return fault
    return None


def guarded(service: str, handler: Handler) -> Handler:
    """`handler`, or while there are faults one that looks for its own first."""
    if not _faults:
        return handler

    async def failing(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        from ministack import app  # noqa: PLC0415 - MiniStack reads its environment when it is imported

        name, _ = operation(Call(service, method, path, headers, body, query))
        fault = due(service, name or app._ct_event_name(service, method, path, headers, query))
        if fault is None or fault.done:
            answer = await handler(method, path, headers, body, query)
        if fault is None:
            return answer
        return _on_the_wire(service, headers, ApiError(fault.error, fault.message, fault.status))

    return failing


def _on_the_wire(service: str, headers: Mapping[str, str], error: ApiError) -> Response:
    """The error in the protocol of the request."""
    if service == "s3" or "x-www-form-urlencoded" in headers.get("content-type", ""):
        from ministack.core.responses import error_response_xml  # noqa: PLC0415

        answer: Response = error_response_xml(error.code, error.message, error.status, "")
        return answer
    return error_response(error)
