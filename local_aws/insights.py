"""CloudWatch Logs Insights: fields, display, filter, stats, sort and limit over events. Nothing here does I/O.

MiniStack lets every event pass a filter that it does not understand; here what is not understood is refused.
"""

from __future__ import annotations

import json
import math
import operator as operators
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

LIMIT = 10_000
Row = dict[str, Any]
Test = Callable[[Row], bool]
Value = Callable[[Row], Any]

_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*|(?P<regex>(?<=\ )/(?:\\.|[^/\\])+/i?)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<number>-?\d+(?:\.\d+)?[smhd]?(?![\w.]))|(?P<name>[@A-Za-z_][\w.@]*|`[^`]+`)|(?P<sign><=|>=|!=|[=<>(),*|\[\]]))"""
)
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class QueryError(ValueError):
    """The query is not understood here; the message says where."""


def rows(events: Iterable[Row]) -> list[Row]:
    """Events (`@timestamp` in milliseconds, `@message`, ...) with the fields that are found in JSON messages."""
    return [{**_discovered(event["@message"]), **event} for event in events]


def _discovered(message: str) -> Row:
    try:
        read = json.loads(message)
    except ValueError:
        return {}
    return dict(_flat(read, "")) if isinstance(read, dict) else {}


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (dict, list)):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, content in inside:
            yield from _flat(content, f"{name}.{key}" if name else str(key))
    elif value is not None:
        yield name, int(value) if isinstance(value, bool) else value


def run(query: str, found: list[Row]) -> list[Row]:
    """The answer to `query` over `rows`, each row with the fields that are shown. Raises QueryError."""
    shown: list[str] = ["@timestamp", "@message", "@logStream", "@log"]
    limit, ordered = LIMIT, False
    for words in _commands(query):
        command, parser = words[0][1].lower(), _Parser(words[1:])
        if command in ("fields", "display"):
            shown = parser.names()
        elif command == "filter":
            passes = parser.either()
            found = [row for row in found if passes(row)]
        elif command == "stats":
            found, shown = _stats(parser, found)
            ordered = True
        elif command == "sort":
            found, ordered = _sorted(parser, found), True
        elif command == "limit":
            limit = int(parser.take("number"))
        else:
            raise QueryError(f"the command {command} is not there")
        parser.ended()
    if not ordered:
        found = sorted(found, key=lambda row: -row["@timestamp"])
    return [{name: row[name] for name in shown if name in row} for row in found[:limit]]


def text(value: Any) -> str:
    """A value as an answer holds it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def moment(milliseconds: float) -> str:
    """A time stamp as an answer holds it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _commands(query: str) -> list[list[tuple[str, str]]]:
    """The query's words as (kind, word), by command."""
    commands: list[list[tuple[str, str]]] = [[]]
    at = 0
    query = query.strip()
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None:
            raise QueryError(f"not understood: {query[at : at + 30]!r}")
        at = match.end()
        kind = match.lastgroup
        if kind is None:
            continue
        word = match[kind]
        if (kind, word) == ("sign", "|"):
            commands.append([])
        else:
            commands[-1].append((kind, word))
    if not all(commands):
        raise QueryError("a command is empty")
    return commands


def _sorted(parser: _Parser, found: list[Row]) -> list[Row]:
    keys = []
    while True:
        name = parser.take("name").strip("`")
        keys.append((name, (parser.word("asc", "desc") or "asc") == "desc"))
        if not parser.sign(","):
            break
    for name, falling in reversed(keys):
        found = sorted(found, key=lambda row: _order(row.get(name)), reverse=falling)
    return found


def _order(value: Any) -> tuple[int, float, str]:
    """Nothing, then texts, then numbers, also those that are written as texts."""
    if value is None:
        return 0, 0.0, ""
    number = _number(value)
    return (1, 0.0, str(value)) if number is None else (2, number, "")


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _stats(parser: _Parser, found: list[Row]) -> tuple[list[Row], list[str]]:
    wanted = [parser.statistic()]
    while parser.sign(","):
        wanted.append(parser.statistic())
    by: list[tuple[str, Value]] = []
    if parser.word("by"):
        by = [parser.group()]
        while parser.sign(","):
            by.append(parser.group())
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in found:
        groups.setdefault(tuple(value(row) for _, value in by), []).append(row)
    names = [name for name, _ in by]
    answers = [
        {name: value for name, value in zip(names, key, strict=True) if value is not None}
        | {name: count(group) for name, count in wanted}
        for key, group in groups.items()
    ]
    return answers, [*names, *(name for name, _ in wanted)]


def _statistic(function: str, values: list[float], part: float) -> float | None:
    if not values:
        return None
    if function == "pct":
        return sorted(values)[min(len(values) - 1, math.ceil(part / 100 * len(values)) - 1)]
    return {"sum": sum(values), "avg": sum(values) / len(values), "min": min(values), "max": max(values)}[function]


class _Parser:
    """One command's words, read from left to right."""

    def __init__(self, words: Sequence[tuple[str, str]]) -> None:
        self.words = list(words)

    def take(self, kind: str) -> str:
        if not self.words or self.words[0][0] != kind:
            raise QueryError(f"a {kind} is wanted, not {self.words[0][1] if self.words else 'the end'!r}")
        return self.words.pop(0)[1]

    def sign(self, *signs: str) -> str:
        return self.words.pop(0)[1] if self.words and self.words[0] in [("sign", one) for one in signs] else ""

    def word(self, *names: str) -> str:
        found = self.words and self.words[0][0] == "name" and self.words[0][1].lower()
        return self.words.pop(0)[1].lower() if found in names else ""

    def ended(self) -> None:
        if self.words:
            raise QueryError(f"not understood: {' '.join(word for _, word in self.words)}")

    def names(self) -> list[str]:
        found = [self.take("name").strip("`")]
        while self.sign(","):
            found.append(self.take("name").strip("`"))
        return found

    def either(self) -> Test:
        tests = [self.both()]
        while self.word("or"):
            tests.append(self.both())
        return lambda row: any(test(row) for test in tests)

    def both(self) -> Test:
        tests = [self.one()]
        while self.word("and"):
            tests.append(self.one())
        return lambda row: all(test(row) for test in tests)

    def one(self) -> Test:
        if self.word("not"):
            test = self.one()
            return lambda row: not test(row)
        if self.sign("("):
            test = self.either()
            self.sign(")") or self.take("closing bracket")
            return test
        if self.word("ispresent"):
            self.sign("(")
            name = self.take("name")
            self.sign(")") or self.take("closing bracket")
            return lambda row: name in row
        return self.comparison()

    def comparison(self) -> Test:
        left = self.value()
        denied = bool(self.word("not"))
        if self.word("like"):
            kind, word = self.words.pop(0) if self.words else ("", "")
            if kind not in ("regex", "text"):
                raise QueryError("like wants a text or an expression between slashes")
            body, _, flags = word[1:].rpartition(word[0])
            like = re.compile(body if kind == "regex" else re.escape(body), re.I if flags else 0)
            return lambda row: left(row) is not None and (like.search(str(left(row))) is None) == denied
        operator = self.sign("=", "!=", "<", "<=", ">", ">=")
        if denied or not operator:
            raise QueryError("a comparison is wanted")
        right = self.value()
        return lambda row: _compared(operator, left(row), right(row))

    def value(self) -> Value:
        kind, word = self.words.pop(0) if self.words else ("", "")
        if kind == "number":
            return lambda _: float(word)
        if kind == "text":
            return lambda _: re.sub(r"\\(.)", r"\1", word[1:-1])
        if kind != "name":
            raise QueryError(f"a field or a value is wanted, not {word!r}")
        name = word.strip("`")
        if name == "toMillis" and self.sign("("):
            name = self.take("name")
            self.sign(")") or self.take("closing bracket")
        return lambda row: row.get(name)

    def statistic(self) -> tuple[str, Callable[[list[Row]], Any]]:
        function = self.take("name").lower()
        if function not in ("count", "sum", "avg", "min", "max", "pct") or not self.sign("("):
            raise QueryError(f"the statistic {function} is not there")
        name = self.sign("*") or self.take("name").strip("`")
        part = float(self.take("number")) if self.sign(",") else 0.0
        self.sign(")") or self.take("closing bracket")
        shown = self.take("name") if self.word("as") else f"{function}({name})"
        if function == "count":
            return shown, lambda group: sum(name == "*" or name in row for row in group)
        return shown, lambda group: _statistic(
            function, [number for row in group if (number := _number(row.get(name))) is not None], part
        )

    def group(self) -> tuple[str, Value]:
        name = self.take("name").strip("`")
        if name != "bin" or not self.sign("("):
            return name, lambda row: row.get(name)
        word = self.take("number")
        self.sign(")") or self.take("closing bracket")
        width = int(word[:-1]) * _SECONDS[word[-1]] * 1000
        return f"bin({word})", lambda row: row["@timestamp"] // width * width


def _compared(operator: str, left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    first, second = _number(left), _number(right)
    if first is None or second is None:
        return bool(_COMPARISONS[operator](str(left), str(right)))
    return bool(_COMPARISONS[operator](first, second))
