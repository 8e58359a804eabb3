"""Switches of the local AWS itself, for tests and demonstrations: /_local_aws/... of its endpoint. No part of AWS.

    POST /_local_aws/faults {"service": "sagemaker", "operation": "CreateEndpoint", "error": "ThrottlingException",
                             "message": "Rate exceeded", "status": 400, "times": 2}
    GET /_local_aws/faults, DELETE /_local_aws/faults: what is still to come, and forget it
    POST /_local_aws/interruptions {"TrainingJobName": "..."}: takes the instances of a running spot job away
    POST /_local_aws/interruptions {"InstanceId": "i-..."}: takes an EC2 spot instance back, with two minutes' notice

Errors are answered as AWS's JSON services do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from local_aws import faults
from local_aws.errors import ApiError, Response, error_response, json_response

PREFIX = "/_local_aws/"
BODY_MAX_BYTES = 64 * 1024
Interrupt = Mapping[str, Callable[[str], None]]


async def _body(receive: Any) -> dict[str, Any]:
    data, more = b"", True
    while more and len(data) <= BODY_MAX_BYTES:
        message = await receive()
        data, more = data + message.get("body", b""), message.get("more_body", False)
    try:
        request = json.loads(data or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"The request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise ApiError("SerializationException", "The request must be a JSON object")
    return request


async def _answer(method: str, path: str, receive: Any, interrupt: Interrupt) -> Response:
    match (method, path.removeprefix(PREFIX)):
        case ("GET", "faults"):
            pass
        case ("POST", "faults"):
            faults.add(await _body(receive))
        case ("DELETE", "faults"):
            faults.clear()
        case ("POST", "interruptions"):
            # A change of the store waits for its lock: not on the event loop.
            await asyncio.to_thread(_interrupt, await _body(receive), interrupt)
        case _:
            raise ApiError("UnknownOperationException", f"{method} {path}: see local_aws/internal.py", 404)
    return json_response({"faults": faults.waiting()})


def _interrupt(request: dict[str, Any], interrupt: Interrupt) -> None:
    for member, take in interrupt.items():
        if member in request:
            take(str(request[member]))
            return
    raise ApiError("ValidationException", f"An interruption names one of {', '.join(interrupt)}.")


async def handle(scope: dict[str, Any], receive: Any, send: Any, interrupt: Interrupt) -> None:
    """ASGI. `interrupt` has what takes a spot job or instance away (or raises ApiError) by the member that names it."""
    try:
        status, headers, body = await _answer(scope["method"], scope["path"], receive, interrupt)
    except ApiError as error:
        status, headers, body = error_response(error)
    wire = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    wire.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": wire})
    await send({"type": "http.response.body", "body": body})
