"""API Gateway REST proxy events in, proxy answers out. A direct invocation gets the same answer shape."""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from kennel import settings
from kennel.errors import BadRequest, RequestError, problem_document

Answer = dict[str, object]

# What a request's id may be: fit for a log line, a header, and SageMaker's InferenceId.
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(r"\bRoot=(1-[0-9a-f]{8}-[0-9a-f]{24})(?![0-9a-f])")

# The API is called by pages of other origins and authenticates by a header, never by a cookie: any origin may ask.
_CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-Request-Id, Retry-After"}
_ALWAYS = {**_CORS, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Request(NamedTuple):
    """A proxy event, decoded: `route` is the resource path, header names are lower case, `body` is as sent."""

    method: str
    route: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


def is_proxy_event(event: object) -> bool:
    """Whether API Gateway made this event; anything else is a direct invocation."""
    return isinstance(event, dict) and "httpMethod" in event and "requestContext" in event


def to_request(event: Mapping[str, object]) -> Request:
    """Decode a proxy event. Raises BadRequest when it says it is base64 and is not, or lacks what a proxy event has."""
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise BadRequest("the event's body is not text")
    try:
        # surrogatepass: a lone surrogate is no reason for a 500; the JSON or picture check then refuses the bytes
        raw = (
            base64.b64decode(body, validate=True)
            if event.get("isBase64Encoded")
            else body.encode("utf-8", "surrogatepass")
        )
    except (binascii.Error, ValueError):
        raise BadRequest("the event's body is not base64") from None
    return Request(
        method=str(event["httpMethod"]).upper(),
        route=str(event.get("resource") or event.get("path") or "/"),
        headers={name.lower(): value for name, value in _texts(event.get("headers")).items()},
        query=_texts(event.get("queryStringParameters")),
        body=raw,
    )


class Ids(NamedTuple):
    """What a request is found by: `request_id` in the answer and at every hop, `api_request_id` in the API's access
    log ("" without an API), `trace` in X-Ray ("" where nothing traces)."""

    request_id: str
    api_request_id: str
    trace: str


def ids(event: object, context: object) -> Ids:
    """The request's id is the caller's own (X-Request-Id), else API Gateway's, else Lambda's, else a new one.

    The first three come from outside (API Gateway's, too, may be the caller's), so only one that is well-formed counts.
    """
    event = event if isinstance(event, dict) else {}
    headers = {name.lower(): value for name, value in _texts(event.get("headers")).items()}
    gateway = event.get("requestContext")
    by_gateway = _well_formed(gateway.get("requestId")) if isinstance(gateway, dict) else ""
    candidates = (headers.get("x-request-id"), by_gateway, getattr(context, "aws_request_id", None))
    traced = map(_TRACE.search, (headers.get("x-amzn-trace-id", ""), settings.trace_header()))
    return Ids(
        request_id=next(filter(None, map(_well_formed, candidates)), "") or str(uuid.uuid4()),
        api_request_id=by_gateway,
        trace=next((found[1] for found in traced if found), ""),
    )


def _well_formed(request_id: object) -> str:
    return request_id if isinstance(request_id, str) and _ID.fullmatch(request_id) else ""


def json_answer(status: int, payload: object, request_id: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A proxy answer with a JSON body. `headers` add to the usual ones or replace them."""
    text = json.dumps(payload, separators=(",", ":"))
    return text_answer(status, text, request_id, {"Content-Type": "application/json", **(headers or {})})


def text_answer(status: int, text: str, request_id: str, headers: Mapping[str, str]) -> Answer:
    """A proxy answer with a text as it is; `headers` say what it is, and add to the usual ones or replace them."""
    return {
        "statusCode": status,
        "headers": {**_ALWAYS, "X-Request-Id": request_id, **headers},
        "body": text,
        "isBase64Encoded": False,
    }


def problem_answer(error: RequestError, request_id: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A proxy answer with a problem JSON body (RFC 9457), with Retry-After where the problem has one."""
    extra = {"Content-Type": "application/problem+json", **(headers or {})}
    if error.problem.retry_after_seconds is not None:
        extra["Retry-After"] = str(error.problem.retry_after_seconds)
    # The request's id is an extension member, to quote when asking for help.
    document = {**problem_document(error), "request_id": request_id}
    return json_answer(error.problem.status, document, request_id, extra)


def preflight_answer(allow: str, request_id: str) -> Answer:
    """The answer to a browser's OPTIONS: `allow` lists the methods (`POST, OPTIONS`)."""
    headers = {
        **_ALWAYS,
        "X-Request-Id": request_id,
        "Access-Control-Allow-Methods": allow,
        "Access-Control-Allow-Headers": "Content-Type, X-Api-Key, X-Request-Id, Authorization, X-Amz-Date, "
        "X-Amz-Security-Token",
        "Access-Control-Max-Age": "600",
    }
    return {"statusCode": 204, "headers": headers, "body": "", "isBase64Encoded": False}


def _texts(value: object) -> dict[str, str]:
    """API Gateway sends null for "none"; a hand-written event may send anything."""
    return {str(name): str(item) for name, item in value.items()} if isinstance(value, dict) else {}
