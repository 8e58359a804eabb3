"""EC2's query protocol by botocore's model: a form's fields to checked members, an answer's members to XML."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape  # nosec B406 - it writes XML, and reads none

from botocore.model import OperationModel

from local_aws.errors import ApiError, Response

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
_XML = {"Content-Type": "text/xml;charset=UTF-8"}
_COMMON = {"Action", "Version"}
_BOOLEANS = {"true": True, "false": False}


def parse(operation: OperationModel, fields: Mapping[str, str]) -> dict[str, Any]:
    """The members of a request, by the model's names and types. Raises ApiError in EC2's words."""
    tree: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _COMMON:
            continue
        node = tree
        *way, last = name.split(".")
        for step in way:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                raise _unknown(name)
        node[last] = value
    if operation.input_shape is None:
        return {}
    parsed: dict[str, Any] = _structure(operation.input_shape, tree, "")
    return parsed


def _wire_name(name: str, shape: Any) -> str:
    query, location = shape.serialization.get("queryName"), shape.serialization.get("name")
    if query:
        return str(query)
    return location[:1].upper() + location[1:] if location else name


def _unknown(name: str) -> ApiError:
    return ApiError("UnknownParameter", f"The parameter {name} is not recognized")


def _value(shape: Any, node: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, _branch(node, path), path + ".")
    if kind == "list":
        return _list(shape, _branch(node, path), path)
    if isinstance(node, dict):
        raise _unknown(path)
    try:
        if kind in ("integer", "long"):
            return int(node)
        if kind in ("float", "double"):
            return float(node)
        if kind == "boolean":
            return _BOOLEANS[node.lower()]
    except (ValueError, KeyError):
        raise ApiError("InvalidParameterValue", f"Invalid value '{node}' for {path}: it must be {kind}") from None
    if node not in (shape.enum or [node]):
        raise ApiError("InvalidParameterValue", f"Invalid value '{node}' for {path}.")
    return node


def _branch(node: Any, path: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        raise _unknown(path)
    return node


def _structure(shape: Any, node: dict[str, Any], path: str) -> dict[str, Any]:
    members = {_wire_name(name, member): (name, member) for name, member in shape.members.items()}
    found = {}
    for wire, value in node.items():
        if wire not in members:
            raise _unknown(path + wire)
        name, member = members[wire]
        found[name] = _value(member, value, path + wire)
    for name in shape.required_members:
        if name not in found:
            wire = path + _wire_name(name, shape.members[name])
            raise ApiError("MissingParameter", f"The request must contain the parameter {wire}")
    return found


def _list(shape: Any, node: dict[str, Any], path: str) -> list[Any]:
    if not all(number.isdigit() for number in node):
        raise _unknown(path)
    return [_value(shape.member, node[number], f"{path}.{number}") for number in sorted(node, key=int)]


def answer(operation: OperationModel, members: Mapping[str, Any]) -> Response:
    """The XML of `members`, named and ordered by the operation's output shape; what is None is left out."""
    request_id = f"<requestId>{uuid.uuid4()}</requestId>"
    shape = operation.output_shape
    inner = _render(shape, members) if shape is not None else "<return>true</return>"
    root = f"{operation.name}Response"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{request_id}{inner}</{root}>'
    return 200, dict(_XML), body.encode()


def _render(shape: Any, value: Any) -> str:
    if shape.type_name == "structure":
        rows = [(name, member) for name, member in shape.members.items() if value.get(name) is not None]
        return "".join(_element(member.serialization.get("name", name), member, value[name]) for name, member in rows)
    if shape.type_name == "list":
        return "".join(_element("item", shape.member, item) for item in value)
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if shape.type_name == "timestamp" and not isinstance(value, str):
        return iso(value)
    return escape(str(value))


def _element(name: str, shape: Any, value: Any) -> str:
    return f"<{name}>{_render(shape, value)}</{name}>"


def iso(seconds: float) -> str:
    """A time (seconds since the epoch) as EC2 writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def error(problem: ApiError) -> Response:
    """The XML of an error."""
    code, message = escape(problem.code), escape(problem.message)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        f"<RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    return problem.status, dict(_XML), body.encode()
