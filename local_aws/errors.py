"""Errors as AWS's JSON services answer them."""

from __future__ import annotations

import json
from typing import Any

Response = tuple[int, dict[str, str], bytes]
JSON_1_1 = "application/x-amz-json-1.1"


class ApiError(Exception):
    """One modelled (or common) AWS error: code, message, HTTP status and any further members of its shape."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members


def validation(message: str) -> ApiError:
    """The error SageMaker and Application Auto Scaling give for a wrong or unknown name or value."""
    return ApiError("ValidationException", message)


def error_response(error: ApiError) -> Response:
    """The wire form of `error`: the code in body and header, as SDKs of every language read it."""
    body = {"__type": error.code, "message": error.message, "Message": error.message, **error.members}
    return error.status, {"Content-Type": JSON_1_1, "x-amzn-ErrorType": error.code}, json.dumps(body).encode()


def json_response(data: dict[str, Any], status: int = 200) -> Response:
    """The wire form of an answer."""
    return status, {"Content-Type": JSON_1_1}, json.dumps(data, default=str).encode()
