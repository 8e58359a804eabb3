"""JSON documents against the TypedDicts that describe them."""

import json
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

T = TypeVar("T")
_PLAIN = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def read_document(path: Path, wanted: type[T]) -> T:
    """The JSON document in a file, of the shape `wanted`. Raises ValueError, in one line, when it is not."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    return cast(T, conforming(document, wanted, path.name))


def conforming(value: object, wanted: Any, where: str) -> Any:
    """`value`, once it is sure to have the shape `wanted`; members that a TypedDict does not name are let be.

    Raises ValueError naming the first place that differs.
    """
    _check(value, wanted, where)
    return value


def _check(value: object, wanted: Any, where: str) -> None:
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if typing.is_typeddict(wanted):
        _check_members(value, wanted, where)
    elif origin is Literal:
        if value not in parts:
            raise ValueError(f"{where} is none of {', '.join(map(str, parts))}")
    elif type(None) in parts:
        if value is not None:
            _check(value, next(part for part in parts if part is not type(None)), where)
    elif wanted in _PLAIN:
        if not _is_plain(value, wanted):
            raise ValueError(f"{where} is not {_PLAIN[wanted]}")
    elif origin in (Sequence, tuple):
        _check_list(value, len(parts) if origin is tuple else None, parts[0], where)
    elif origin is Mapping:
        for name, one in _members(value, where).items():
            _check(one, parts[1], f"{where}.{name}")
    elif wanted is not Any:
        raise TypeError(f"{where}: {wanted} is no shape of JSON")


def _check_list(value: object, length: int | None, wanted: Any, where: str) -> None:
    if not isinstance(value, list | tuple) or length not in (None, len(value)):
        raise ValueError(f"{where} is not a list" + (f" of {length}" if length else ""))
    for position, one in enumerate(value):
        _check(one, wanted, f"{where}[{position}]")


def _check_members(value: object, wanted: Any, where: str) -> None:
    members = _members(value, where)
    for name, hint in typing.get_type_hints(wanted).items():
        if name not in members:
            raise ValueError(f"{where} has no {name}")
        _check(members[name], hint, f"{where}.{name}")


def _members(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is not a JSON object")  # noqa: TRY004 - the document is wrong, not the program
    return value


def _is_plain(value: object, wanted: type) -> bool:
    if isinstance(value, bool) or wanted is bool:
        return isinstance(value, bool) and wanted is bool
    if wanted is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, wanted)
