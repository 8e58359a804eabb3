"""An HTTP request to a service read as the name of an operation and its parameters, whatever the service's protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.parsers import BaseCBORParser

from local_aws.settings import ACCOUNT_ID, REGION

_FUNCTION = re.compile(r"^/[0-9-]+/functions/([^/]+)(/[a-z-]+)?/?$")
_LAMBDA = {
    ("POST", "/invocations"): "InvokeFunction",
    ("GET", None): "GetFunction",
    ("GET", "/configuration"): "GetFunctionConfiguration",
}
_SCHEDULE = re.compile(r"^/schedules/([^/]+)$")
_SCHEDULER = {"GET": "GetSchedule", "POST": "CreateSchedule", "PUT": "UpdateSchedule", "DELETE": "DeleteSchedule"}
_ENDPOINT = re.compile(r"^/endpoints/([^/]+)/invocations")


@dataclass(frozen=True)
class Call:
    """An HTTP request as MiniStack's handlers take it; header names in lower case."""

    service: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, Any]


def function_arn(reference: str, qualifier: str = "") -> str:
    """The ARN of a function named by name, name:alias, partial or whole ARN."""
    if not reference.startswith("arn:"):
        reference = reference.rpartition("function:")[2] if "function:" in reference else reference
        reference = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{reference}"
    qualified = reference.count(":") > 6
    return f"{reference}:{qualifier}" if qualifier and not qualified else reference


def _put(tree: dict[str, Any], path: list[str], value: str) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _lists(node: Any) -> Any:
    """Members numbered 1, 2, ... as lists; the level `member` of the query protocol is left out."""
    if not isinstance(node, dict):
        return node
    if set(node) == {"member"}:
        return _lists(node["member"])
    if node and all(name.isdigit() for name in node):
        return [_lists(node[name]) for name in sorted(node, key=int)]
    return {name: _lists(value) for name, value in node.items()}


def unflattened(form: Mapping[str, Any]) -> dict[str, Any]:
    """`Tag.1.Key=a` and its like as nested members."""
    tree: dict[str, Any] = {}
    for name, value in form.items():
        _put(tree, name.split("."), str(value[0]) if isinstance(value, list) else str(value))
    found: dict[str, Any] = _lists(tree)
    return found


def _rest(call: Call) -> tuple[str, dict[str, Any]] | None:
    if call.service == "lambda" and (match := _FUNCTION.match(call.path)):
        qualifier = call.query.get("Qualifier", "")
        qualifier = qualifier[0] if isinstance(qualifier, list) else qualifier
        name = _LAMBDA.get((call.method, match.group(2)), "")
        return name, {"FunctionArn": function_arn(unquote(match.group(1)), qualifier)}
    if call.service == "scheduler" and (match := _SCHEDULE.match(call.path)):
        content = json.loads(call.body or b"{}")
        group = (call.query.get("groupName") or [content.get("GroupName", "default")])[0]
        return _SCHEDULER.get(call.method, ""), {**content, "GroupName": group, "Name": unquote(match.group(1))}
    if call.service == "sagemaker" and (match := _ENDPOINT.match(call.path)):
        return "InvokeEndpoint", {"EndpointName": unquote(match.group(1))}
    return None


def _cbor(call: Call) -> tuple[str, dict[str, Any]]:
    """CloudWatch's newer clients speak it; botocore brings a reader."""
    reader = BaseCBORParser()
    content = reader.parse_data_item(reader.get_peekable_stream_from_bytes(call.body)) if call.body else {}
    return call.path.rpartition("/operation/")[2], content


def operation(call: Call) -> tuple[str, dict[str, Any]]:
    """The operation's name (empty when it cannot be told) and its parameters."""
    found = _rest(call)
    if found is not None:
        return found
    if call.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return _cbor(call)
    target = call.headers.get("x-amz-target", "")
    if target:
        try:
            parsed = json.loads(call.body or b"{}")
        except ValueError:
            parsed = {}
        return target.rpartition(".")[2], parsed if isinstance(parsed, dict) else {}
    form: dict[str, Any] = dict(call.query)
    if "x-www-form-urlencoded" in call.headers.get("content-type", ""):
        form |= parse_qs(call.body.decode(errors="replace"), keep_blank_values=True)
    action = form.pop("Action", "")
    form.pop("Version", None)
    return str(action[0] if isinstance(action, list) else action), unflattened(form)
