"""What MiniStack accepts settings for and does not write: API Gateway's access logs, Step Functions' logs, and both
services' metrics."""

from __future__ import annotations

import contextvars
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ministack import app

from local_aws import logs, metrics
from local_aws.errors import Response
from local_aws.iam import services
from local_aws.settings import ACCOUNT_ID

_VARIABLE = re.compile(r"\$context\.([A-Za-z.]+)")
_FAILURES = re.compile(r"(Failed|TimedOut|Aborted)$")
_FATAL = ("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")
Record = dict[str, Any]
_request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


def _group(arn: str) -> str:
    """The name of the log group of an ARN `...:log-group:NAME[:*]`."""
    return arn.partition(":log-group:")[2].removesuffix(":*")


# API Gateway


def stage_provisioner(handlers: Record) -> Record:
    """CloudFormation's handlers of AWS::ApiGateway::Stage, which leave AccessLogSetting out, with it."""

    def keep(props: Mapping[str, Any]) -> None:
        stage = (
            app._get_module("apigateway_v1")._stages_v1.get(props.get("RestApiId", ""), {}).get(props.get("StageName"))
        )
        setting = props.get("AccessLogSetting") or {}
        if stage is not None:
            stage["accessLogSettings"] = {name[:1].lower() + name[1:]: value for name, value in setting.items()}

    def create(logical_id: str, props: Record, stack_name: str) -> Any:
        made = handlers["create"](logical_id, props, stack_name)
        keep(props)
        return made

    def update(physical_id: str, old_props: Record, new_props: Record, stack_name: str) -> Any:
        made = handlers["update"](physical_id, old_props, new_props, stack_name)
        keep(new_props)
        return made

    return {**handlers, "create": create, "update": update}


def handle_execute(original: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """A request of a REST API, counted and written to its stage's access log."""

    async def wrapped(  # noqa: PLR0917 - MiniStack's signature
        api_id: str,
        stage_name: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query_params: Mapping[str, Any],
    ) -> Response:
        started = time.time()
        request_id = str(uuid.uuid4())
        token = _request_id.set(request_id)
        try:
            status, _, answer = found = await original(api_id, stage_name, method, path, headers, body, query_params)
        finally:
            _request_id.reset(token)
        service = app._get_module("apigateway_v1")
        stage = service.stages_for_api(api_id).get(stage_name) or {}
        if stage:
            where, resource = _measured_as(api_id, stage, method, path)
            metrics.put_api(where, resource, status, (time.time() - started) * 1000)
        setting = stage.get("accessLogSettings") or {}
        if setting.get("destinationArn") and setting.get("format"):
            key = headers.get("x-api-key")
            known = next((one["id"] for one in service._api_keys.values() if key and one.get("value") == key), "-")
            spent = round((time.time() - started) * 1000)
            values = {
                "accountId": ACCOUNT_ID,
                "apiId": api_id,
                "extendedRequestId": "-",
                "httpMethod": method,
                "identity.apiKeyId": known,
                "identity.sourceIp": "127.0.0.1",
                "identity.userAgent": headers.get("user-agent", "-"),
                "integrationLatency": spent if known != "-" else "-",
                "path": f"/{stage_name}{path}",
                "protocol": "HTTP/1.1",
                "requestId": request_id,
                "requestTime": datetime.fromtimestamp(started, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "requestTimeEpoch": int(started * 1000),
                "responseLatency": spent,
                "responseLength": len(answer) if isinstance(answer, bytes) else "-",
                "stage": stage_name,
                "status": status,
            }
            line = _VARIABLE.sub(lambda match: str(values.get(match.group(1).rstrip("."), "-")), setting["format"])
            group, stream = _group(setting["destinationArn"]), f"{api_id}-{stage_name}"
            account = service._account_settings.get("settings") or {}
            if services.may_log_apis(account.get("cloudwatchRoleArn"), api_id, group, stream):
                logs.append(group, stream, [line])
        return found

    return wrapped


def request_ids(original: Callable[[], str]) -> Callable[[], str]:
    """In place of MiniStack's maker of ids: a request has one, in its event, its answer and the access log."""
    return lambda: _request_id.get() or original()


def _measured_as(api_id: str, stage: Record, method: str, path: str) -> tuple[Record, Record | None]:
    """The dimensions of a request's metrics: API and stage, and the method where the stage measures methods."""
    service = app._get_module("apigateway_v1")
    api = service._rest_apis.get(api_id) or {}
    detailed = any(one.get("metricsEnabled") for one in (stage.get("methodSettings") or {}).values())
    # A resource with a parameter in its path has no metrics of its own here.
    known = detailed and path in {one.get("path") for one in (service._resources.get(api_id) or {}).values()}
    where = {"ApiName": api.get("name", api_id), "Stage": stage["stageName"]}
    return where, {"Method": method, "Resource": path} if known else None


# Step Functions


def _wanted(level: str, kind: str) -> bool:
    return (
        level == "ALL" or (level == "ERROR" and bool(_FAILURES.search(kind))) or (level == "FATAL" and kind in _FATAL)
    )


def log_event(execution: Record, machine: Record | None, event: Record) -> None:
    """Writes one event of an execution's history to the log groups of its state machine, by the level set there.

    Its start and its end are metrics, too.
    """
    if event["type"].startswith("Execution"):
        metrics.put_execution(execution["stateMachineArn"], event["type"])
    setting = (machine or {}).get("loggingConfiguration") or {}
    if not _wanted(setting.get("level", "OFF"), event["type"]):
        return
    details: Record = next((item for name, item in event.items() if name.endswith("Details")), {})
    if not setting.get("includeExecutionData"):
        details = {name: item for name, item in details.items() if name not in ("input", "output", "cause", "error")}
    stamp = datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))
    line = {
        "id": str(event["id"]),
        "type": event["type"],
        "details": details,
        "previous_event_id": str(event["id"] - 1),
        "event_timestamp": str(int(stamp.timestamp() * 1000)),
        "execution_arn": execution["executionArn"],
    }
    name = execution["stateMachineArn"].rpartition(":")[2]
    for destination in setting.get("destinations", []):
        group = _group(destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", ""))
        if group:
            logs.append(group, f"states/{name}/{execution['startDate'][:10]}", [json.dumps(line)])
