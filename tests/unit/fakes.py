"""Stand-ins for what Lambda and SageMaker give a function."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

ENDPOINT = "kennel"
BUCKET = "kennel-data"
REQUEST_ID = "6a7f3c2e-0000-4000-8000-0123456789ab"
BREEDS = ("Affenpinscher", "Beagle", "Dalmatian")
LOGITS = [-1.5, 0.25, 3.75]

_INPUT_SHAPE = (
    botocore.session.get_session().get_service_model("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape
)


@dataclass
class LambdaContext:
    """What the runtime passes beside the event."""

    function_name: str = "classify"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:classify"
    aws_request_id: str = "11111111-2222-3333-4444-555555555555"


@dataclass
class Runtime:
    """A sagemaker-runtime client whose parameters are checked by AWS's own model, and which keeps what it was asked."""

    error: Exception | None = None
    body: bytes | None = None
    confident: bool = True
    calls: list[dict[str, Any]] = field(default_factory=list)

    def invoke_endpoint(self, **parameters: Any) -> dict[str, Any]:
        validate_parameters(parameters, _INPUT_SHAPE)
        self.calls.append(parameters)
        if self.error:
            raise self.error
        return {"Body": io.BytesIO(self.body if self.body is not None else self._answer(parameters))}

    def _answer(self, parameters: dict[str, Any]) -> bytes:
        asked = dict(part.split("=") for part in parameters.get("CustomAttributes", "").split(",") if part)
        ranked = sorted(range(len(BREEDS)), key=lambda index: -LOGITS[index])[: int(asked.get("top_k", 5))]
        answer: dict[str, Any] = {
            "predictions": [{"breed": BREEDS[i], "index": i, "probability": [0.01, 0.02, 0.97][i]} for i in ranked],
            "confident": self.confident,
            "model": "run-1",
        }
        if "logits" in asked:
            answer["logits"] = LOGITS
        return json.dumps(answer).encode()


def client_error(code: str, message: str = "", **members: object) -> ClientError:
    """What botocore raises for an error answer; `members` are the modelled exception's own."""
    return ClientError({"Error": {"Code": code, "Message": message}, **members}, "InvokeEndpoint")


def png(size: int = 0) -> bytes:
    """A 1x1 PNG, padded behind its end to `size` bytes when that is more."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    picture = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")) + chunk(b"IEND", b"")
    return picture.ljust(size, b"\x00")


def proxy_event(
    body: bytes | str | None,
    *,
    content_type: str = "application/json",
    query: dict[str, str] | None = None,
    method: str = "POST",
    resource: str = "/predictions",
) -> dict[str, Any]:
    """What API Gateway sends for `*/*` binary media types: bytes as base64."""
    return {
        "resource": resource,
        "path": resource,
        "httpMethod": method,
        "headers": {"Content-Type": content_type, "X-Api-Key": "the-secret-key"},
        "queryStringParameters": query,
        "requestContext": {"requestId": REQUEST_ID, "stage": "v1"},
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": isinstance(body, bytes),
    }
