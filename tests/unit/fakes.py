"""Stand-ins for what Lambda and SageMaker give a function."""

from __future__ import annotations

import base64
import email
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
UNREADABLE = {
    "type": "about:blank#unreadable-image",
    "title": "The picture cannot be read",
    "status": 400,
    "detail": "it breaks off",
}

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
        asked = dict(part.split("=", 1) for part in parameters.get("CustomAttributes", "").split(",") if part)
        answer: dict[str, Any] = {"model": "run-1"}
        if parameters["ContentType"].startswith("multipart/form-data"):
            pictures = form_files(parameters["ContentType"], parameters["Body"])
            answer["results"] = [self._result(asked, picture) for picture in pictures]
        else:
            answer |= self._result(asked, parameters["Body"])
        return json.dumps(answer).encode()

    def _result(self, asked: dict[str, str], picture: bytes) -> dict[str, Any]:
        if picture.endswith(b"UNREADABLE"):
            return {"problem": UNREADABLE}
        ranked = sorted(range(len(BREEDS)), key=lambda index: -LOGITS[index])[: int(asked.get("top_k", 5))]
        predictions = [{"breed": BREEDS[i], "index": i, "probability": [0.01, 0.02, 0.97][i]} for i in ranked]
        return {
            "predictions": predictions,
            "confident": self.confident,
            **({"logits": LOGITS} if "logits" in asked else {}),
            **({"timing_ms": {"queue": 0.5, "decode": 1.5, "model": 4.0}} if "timing" in asked else {}),
            **({"explanation": EXPLANATION} if "explain" in asked else {}),
        }


def form_files(content_type: str, body: bytes) -> list[bytes]:
    """The files of a multipart form, taken apart by the standard library's mail parser."""
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    assert not message.defects
    return [bytes(part.get_payload(decode=True)) for part in message.walk() if not part.is_multipart()]


def form(*files: bytes, boundary: str = "b", **fields: str) -> tuple[str, bytes]:
    """(content type, body) of a multipart form as a browser sends it."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in fields.items()]
    parts += [
        b'Content-Disposition: form-data; name="dog"; filename="dog.png"\r\nContent-Type: image/png\r\n\r\n' + data
        for data in files
    ]
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def client_error(code: str, message: str = "", **members: object) -> ClientError:
    """What botocore raises for an error answer; `members` are the modelled exception's own."""
    return ClientError({"Error": {"Code": code, "Message": message}, **members}, "InvokeEndpoint")


def _png(width: int, height: int, colour: int, rows: bytes) -> bytes:
    """`colour` is PNG's colour type (2: RGB, 6: RGBA), `rows` the pixels with each row's filter byte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png(size: int = 0) -> bytes:
    """A 1x1 PNG, padded behind its end to `size` bytes when that is more."""
    return _png(1, 1, 2, b"\x00\xff\x00\x00").ljust(size, b"\x00")


def heat_map() -> bytes:
    """A 7x7 PNG, red and the less to be seen the farther from its middle."""
    rows = [[(row - 3) ** 2 + (column - 3) ** 2 for column in range(7)] for row in range(7)]
    pixels = [b"\x00" + b"".join(b"\xff\x20\x00%c" % max(0, 200 - 20 * far) for far in row) for row in rows]
    return _png(7, 7, 6, b"".join(pixels))


EXPLANATION = {"breed": "Dalmatian", "index": 2, "heat_map": base64.b64encode(heat_map()).decode()}


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
