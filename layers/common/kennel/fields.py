"""One input field as data: what it may hold, what it is without being given, and the sentence that explains it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
_COUNTED: dict[type, str] = {str: "characters", list: "entries"}


@dataclass(frozen=True, slots=True)
class Field:
    """`path` is dotted (`train.epochs`); `minimum` and `maximum` are inclusive, for a text or a list of its length."""

    path: str
    kind: type[int] | type[float] | type[str] | type[bool] | type[dict[str, object]] | type[list[object]]
    doc: str
    default: object = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | tuple[int, ...] = ()
    pattern: str = ""

    def check(self, value: object) -> tuple[object, str]:
        """(value as `kind`, "") when it is allowed, else (None, "path: what is wrong")."""
        value = self._as_kind(value)
        if value is None:
            return None, f"{self.path}: is not {_KINDS[self.kind]}"
        if self.choices and value not in self.choices:
            return None, f"{self.path}: is not one of {', '.join(map(str, self.choices))}"
        size, unit = (len(value), f" {_COUNTED[self.kind]}") if isinstance(value, (str, list)) else (value, "")
        if isinstance(size, (int, float)):
            number = f"{size:g}" if isinstance(size, float) else str(size)
            if self.minimum is not None and size < self.minimum:
                return None, f"{self.path}: {number}{unit} is below {self.minimum:g}"
            if self.maximum is not None and size > self.maximum:
                return None, f"{self.path}: {number}{unit} is above {self.maximum:.10g}"
        if self.pattern and not re.fullmatch(self.pattern, str(value)):
            return None, f"{self.path}: is not of the form {self.pattern}"
        return value, ""

    def _as_kind(self, value: object) -> object:
        """`value` as `kind`, or None. JSON writers turn 5 into 5.0 and back; true is not 1."""
        if self.kind in (str, bool, dict, list):
            return value if isinstance(value, self.kind) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
            return None
        if self.kind is float:
            return float(value)
        return int(value) if value == int(value) else None

    def allowed(self) -> str:
        """The allowed values in words, for documentation."""
        if self.choices:
            return ", ".join(f"`{choice}`" for choice in self.choices)
        low = [] if self.minimum is None else [f"from {self.minimum:g}"]
        high = [] if self.maximum is None else [f"to {self.maximum:.10g}"]
        unit = [_COUNTED[self.kind]] if (low or high) and self.kind in _COUNTED else []
        form = f", `{self.pattern}`" if self.pattern else ""
        return " ".join([_KINDS[self.kind], *low, *high, *unit]) + form


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False


def markdown(fields: Iterable[Field]) -> str:
    """The fields as a Markdown table, for documentation."""
    rows = ["| field | allowed | default | what it is |", "| --- | --- | --- | --- |"]
    for field in fields:
        default = (
            "" if field.default is None else f"`{str(field.default).lower() if field.kind is bool else field.default}`"
        )
        rows.append(f"| `{field.path}` | {field.allowed()} | {default} | {field.doc} |")
    return "\n".join(rows)


def shown(name: object) -> str:
    """A stranger's field name, fit for an error message."""
    return ascii(str(name)[:40])[1:-1]
