"""CloudWatch's metric mathematics, as far as arithmetic, comparisons, FILL, IF and PERIOD go. Nothing here does I/O.

A series is its values by period; what has no value in a period has none in what is computed from it.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class MathError(ValueError):
    """The expression is not one of those that are computed here; the message says what of it."""


class Mathematics(Generic[Key]):
    """Expressions over `series` by their ids; `periods` are all there are, `seconds` is how long each series' are."""

    def __init__(
        self, series: Mapping[str, Mapping[Key, float]], periods: Collection[Key], seconds: Mapping[str, float]
    ) -> None:
        self.series = series
        self.periods = periods
        self.seconds = seconds

    def evaluate(self, expression: str) -> dict[Key, float]:
        """The expression's series. Raises MathError."""
        try:
            tree = ast.parse(expression.strip(), mode="eval").body
        except SyntaxError as error:
            raise MathError(f"{expression}: {error.msg}") from None
        value = self._value(tree)
        return dict.fromkeys(self.periods, value) if isinstance(value, float) else dict(value)

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self.series:
                return self.series[name]
            case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
                if type(op) in _OPERATORS:
                    return self._apply(_OPERATORS[type(op)], self._value(left), self._value(right))
            case ast.Call(func=ast.Name(id=function), args=arguments):
                return self._call(function, arguments)
        raise MathError(f"{ast.unparse(node)} is not computed here")

    def _call(self, function: str, arguments: list[ast.expr]) -> Any:
        match function, arguments:
            case "PERIOD", [ast.Name(id=name)] if name in self.seconds:
                return float(self.seconds[name])
            case "FILL", [ast.Name(id=name), filling] if name in self.series:
                return {**dict.fromkeys(self.periods, self._value(filling)), **self.series[name]}
            case "IF", [condition, yes, no]:
                return self._if(self._value(condition), self._value(yes), self._value(no))
        raise MathError(f"{function} is not computed here, or not of that")

    def _apply(self, operation: Callable[[float, float], float], left: Any, right: Any) -> Any:
        if isinstance(left, float) and isinstance(right, float):
            return float(operation(left, right))
        computed = {}
        for period in self.periods:
            first, second = self._at(left, period), self._at(right, period)
            if first is None or second is None or (operation is operator.truediv and second == 0):
                continue
            computed[period] = float(operation(first, second))
        return computed

    def _if(self, condition: Any, yes: Any, no: Any) -> dict[Key, float]:
        chosen = {
            period: self._at(yes if asked else no, period)
            for period in self.periods
            if (asked := self._at(condition, period)) is not None
        }
        return {period: value for period, value in chosen.items() if value is not None}

    @staticmethod
    def _at(value: Any, period: Key) -> float | None:
        return value if isinstance(value, float) else value.get(period)
