"""Names and values as a state machine sees them, to and from botocore's.

`aws-sdk:` integrations speak as the AWS SDK for Java 2 does: members in PascalCase with a leading acronym lowered
(KMSKeyId is KmsKeyId, ChecksumCRC32 stays), times in ISO 8601, errors as `Prefix.NameException`. Optimized ones speak
as SDK 1: PascalCase alone, times in milliseconds.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Shape = Any
_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (str, int, float),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}


class ArgumentError(ValueError):
    """Arguments that Step Functions itself refuses; the message says which."""


def pascal(name: str) -> str:
    """The name with a capital first letter."""
    return name[:1].upper() + name[1:]


def sdk_name(name: str) -> str:
    """The name of a member as SDK 2 for Java has it, in PascalCase."""
    acronym = re.match(r"[A-Z]{2,}(?![a-z])|[A-Z]+(?=[A-Z][a-z])", name)
    return pascal(name[: acronym.end()].lower() + name[acronym.end() :]) if acronym else pascal(name)


def error_prefix(service_id: str) -> str:
    """What precedes the dot in the errors of an `aws-sdk:` integration: SFN is Sfn, DynamoDB is DynamoDb."""
    return "".join(re.sub(r"[A-Z]{2,}", lambda run: run[0].capitalize(), pascal(word)) for word in service_id.split())


def error_class(shape_name: str) -> str:
    """The exception of SDK 2 for Java for a modelled error: NoSuchKey is NoSuchKeyException."""
    return re.sub(r"(Exception|Fault)$", "", shape_name) + "Exception"


def parameters(shape: Shape, value: Any, path: str = "Arguments") -> Any:
    """A state's arguments as botocore's serializer takes them. Raises ArgumentError."""
    kind = shape.type_name
    if kind in ("string", "blob"):
        return _text(kind, value, path)
    is_bool = isinstance(value, bool)
    if is_bool != (kind == "boolean") or not isinstance(value, _TYPES[kind]):
        raise ArgumentError(f"The value for the field '{path}' must be of type {kind}")
    return _container(shape, value, path)


def _container(shape: Shape, value: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        members = {spelling(name): name for name in shape.members for spelling in (pascal, sdk_name)}
        for name in value:
            if name not in members:
                raise ArgumentError(f'The field "{name}" is not supported by Step Functions')
        return {
            members[name]: parameters(shape.members[members[name]], item, name)
            for name, item in value.items()
            if item is not None
        }
    if kind == "list":
        return [parameters(shape.member, item, path) for item in value]
    if kind == "map":
        return {key: parameters(shape.value, item, path) for key, item in value.items()}
    return value


def _text(kind: str, value: Any, path: str) -> str | bytes:
    """Step Functions writes JSON into a text that is not text; a streaming body is handled by its caller."""
    if isinstance(value, dict | list):
        value = json.dumps(value, separators=(",", ":"))
    if not isinstance(value, str):
        raise ArgumentError(f"The value for the field '{path}' must be a STRING")
    return value.encode() if kind == "blob" else value


def shown(shape: Shape, value: Any, spelling: Callable[[str], str], time: Callable[[datetime], Any]) -> Any:
    """An answer as botocore parsed it, in the names and values that a state machine sees."""
    if isinstance(value, dict) and (shape is None or shape.type_name == "structure"):
        members = shape.members if shape else {}  # an operation may answer nothing
        known = {name: item for name, item in value.items() if name in members}
        return {spelling(name): shown(members[name], item, spelling, time) for name, item in known.items()}
    if isinstance(value, dict):
        return {key: shown(shape.value, item, spelling, time) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(shape.member, item, spelling, time) for item in value]
    if isinstance(value, datetime):
        return time(value)
    return _blob(value) if isinstance(value, bytes) else value


def _blob(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def iso(moment: datetime) -> str:
    """A time as SDK 2 writes it: no fraction where there is none."""
    moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3].removesuffix(".000") + "Z"


def milliseconds(moment: datetime) -> int:
    """A time as SDK 1 writes it."""
    return round(moment.timestamp() * 1000)
