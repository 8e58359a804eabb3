"""A request checked against botocore's service model, with the messages AWS gives.

botocore's own ParamValidator checks what a client may send; a service checks more (enumerations, patterns, lengths,
ranges), and says it in other words. Both come from the same model, so one walk does all of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.model import OperationModel, Shape

from local_aws.errors import validation

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
    "blob": (str, bytes),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}


@functools.lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str] | None:
    """The model's (Java) pattern as Python reads it, or None where Python has no such construct."""
    python = text.replace("\\p{ASCII}", "\\x00-\\x7f").replace("\\p{Alnum}", "a-zA-Z0-9").replace("\\z", "\\Z")
    try:
        return re.compile(python)
    except re.error:
        return None


def _constraint(path: str, value: Any, text: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {text}"


def _step(path: str, name: str) -> str:
    lowered = name[:1].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered


def _check_bounds(shape: Shape, value: Any, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if isinstance(value, (int, float)):
        kind, size = "value", value
    else:
        kind, size = "length", len(value)
    if low is not None and size < low:
        yield _constraint(path, value, f"Member must have {kind} greater than or equal to {low}")
    if high is not None and size > high:
        yield _constraint(path, value, f"Member must have {kind} less than or equal to {high}")


def _check_string(shape: Shape, value: str, path: str) -> Iterator[str]:
    yield from _check_bounds(shape, value, path)
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield _constraint(path, value, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    pattern = shape.metadata.get("pattern")
    compiled = _pattern(pattern) if pattern else None
    if compiled is not None and not compiled.fullmatch(value):
        yield _constraint(path, value, f"Member must satisfy regular expression pattern: {pattern}")


def _check_structure(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.metadata.get("required", []):
        if value.get(name) is None:
            yield _constraint(_step(path, name), None, "Member must not be null")
    for name, item in value.items():
        if name not in shape.members:
            known = ", ".join(sorted(shape.members))
            yield f"Unknown parameter '{_step(path, name)}': must be one of: {known}"
        elif item is not None:
            yield from _check(shape.members[name], item, _step(path, name))


def _check_list(shape: Any, value: list[Any], path: str) -> Iterator[str]:
    yield from _check_bounds(shape, value, path)
    for number, item in enumerate(value, start=1):
        yield from _check(shape.member, item, f"{path}.{number}.member")


def _check_map(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    yield from _check_bounds(shape, value, path)
    for key, item in value.items():
        yield from _check(shape.key, key, f"{path}.key")
        yield from _check(shape.value, item, f"{path}.{key}.member")


_CHECKS: dict[str, Callable[[Any, Any, str], Iterator[str]]] = {
    "string": _check_string,
    "structure": _check_structure,
    "list": _check_list,
    "map": _check_map,
    "integer": _check_bounds,
    "long": _check_bounds,
    "float": _check_bounds,
    "double": _check_bounds,
}


def _check(shape: Shape, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    wrong_type = not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    if wrong_type:
        yield f"Value at '{path}' has type {type(value).__name__}, expected {kind}"
    elif kind in _CHECKS:
        yield from _CHECKS[kind](shape, value, path)


def problems(shape: Shape | None, value: dict[str, Any]) -> list[str]:
    """Everything wrong with `value` as an input of `shape`, in AWS's words; empty when it is right."""
    return list(_check_structure(shape, value, "")) if shape is not None else []


def check(operation: OperationModel, value: dict[str, Any]) -> None:
    """Raises ValidationException naming every wrong member of `value`."""
    found = problems(operation.input_shape, value)
    if found:
        plural = "s" if len(found) > 1 else ""
        raise validation(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")
