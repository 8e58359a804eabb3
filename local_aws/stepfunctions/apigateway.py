"""The optimized integration `apigateway:invoke`: one request to a REST API, signed with the role where it says so."""

from __future__ import annotations

import http
import json
import time
from typing import Any

from ministack import app
from ministack.services import stepfunctions as sfn

from local_aws import credentials
from local_aws.settings import REGION
from local_aws.store import Record

FIELDS = frozenset(
    {
        "AllowNullValues",
        "ApiEndpoint",
        "AuthType",
        "Headers",
        "Method",
        "Path",
        "QueryParameters",
        "RequestBody",
        "Stage",
    }
)


def invoke(arguments: Record, role: str) -> Record:
    """The API's answer as {Headers, ResponseBody, StatusCode, StatusText}. Raises sfn._ExecutionError.

    With AuthType IAM_ROLE the request says that `role` has signed it; whether the role may was asked before.
    """
    _check(arguments)
    body = arguments.get("RequestBody", "")
    sent = (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()
    headers = {name.lower(): _one(value) for name, value in arguments.get("Headers", {}).items()}
    headers = {"content-type": "application/json", **headers, "host": arguments["ApiEndpoint"]}
    headers |= {"content-length": str(len(sent)), "user-agent": "Amazon|StepFunctions|HttpInvoke|us-east-1"}
    if arguments.get("AuthType") == "IAM_ROLE":
        headers["authorization"] = _signature(role)
    path = "/" + str(arguments.get("Path", "")).lstrip("/")
    given: Record = arguments.get("QueryParameters", {})
    query = {name: value if isinstance(value, list) else [value] for name, value in given.items()}

    async def request(*_: Any) -> Any:
        service = app._get_module("apigateway_v1")
        api, stage = arguments["ApiEndpoint"].partition(".")[0], arguments.get("Stage", "")
        return await service.handle_execute(api, stage, arguments["Method"], path, headers, sent, query)

    status, answered, text = app.call_service_handler_sync(request, arguments["Method"], path, headers, sent, query)
    answer = text.decode(errors="replace") if isinstance(text, bytes) else str(text or "")
    if status >= 400:
        raise sfn._ExecutionError(f"ApiGateway.{status}", answer)
    return {
        "Headers": {name: [value] for name, value in answered.items()},
        "ResponseBody": _parsed(answer),
        "StatusCode": status,
        "StatusText": http.HTTPStatus(status).phrase,
    }


def _check(arguments: Record) -> None:
    for field in arguments:
        if field not in FIELDS:
            raise sfn._ExecutionError("States.Runtime", f'The field "{field}" is not supported by Step Functions')
    for field in ("ApiEndpoint", "Method"):
        if not arguments.get(field):
            raise sfn._ExecutionError("States.Runtime", f'The field "{field}" is required but was missing')


def _signature(role: str) -> str:
    """Names who calls. Signatures are not checked here, so there is nothing to be computed."""
    key = credentials.issue(role, "states")["AccessKeyId"]
    scope = f"{key}/{time.strftime('%Y%m%d', time.gmtime())}/{REGION}/execute-api/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"


def _one(value: Any) -> str:
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
