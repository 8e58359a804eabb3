"""The JSONata in a state machine: does it parse, and does everything it reads exist where it reads it?

An expression is a whole string `{% ... %}`. It sees `$states` and the workflow's variables, and nothing else: a bare
name reads the document, of which Step Functions gives it none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from jsonata import Jsonata  # type: ignore[import-untyped,unused-ignore]
from jsonata.jexception import JException  # type: ignore[import-untyped,unused-ignore]

Node = Any  # a symbol of the parser's tree: type, value, and children in attributes of their own

# JSONata 2.0.6 without $eval, and what Step Functions adds.
_FUNCTIONS = """
abs append assert average base64decode base64encode boolean ceil clone contains count decodeUrl decodeUrlComponent
distinct each encodeUrl encodeUrlComponent error exists filter floor formatBase formatInteger formatNumber fromMillis
join keys length lookup lowercase map match max merge millis min not now number pad parseInteger parseNumber power
reduce replace reverse round shuffle sift single sort split spread sqrt string substring substringAfter substringBefore
sum toMillis trim type uppercase zip partition range hash random uuid parse"""
FUNCTIONS = frozenset(_FUNCTIONS.split())


# The context object. Task is there only where a token is waited for, Map only inside a Map state.
CONTEXT = {
    "Execution": frozenset({"Id", "Input", "Name", "RedriveCount", "RedriveTime", "RoleArn", "StartTime"}),
    "Map": frozenset({"Item"}),
    "State": frozenset({"EnteredTime", "Name", "RetryCount"}),
    "StateMachine": frozenset({"Id", "Name"}),
    "Task": frozenset({"Token"}),
}
WAITS = "waits"  # in the set of what is readable: the state waits for a task token


def is_expression(text: str) -> bool:
    """Whether Step Functions evaluates `text`."""
    return text.startswith("{%") and text.endswith("%}")


def parse(text: str) -> Node | str:
    """The tree of the expression in `{% ... %}`, or what is wrong with it."""
    try:
        return Jsonata.jsonata(text[2:-2].strip()).ast
    except JException as error:
        return f"JSONata does not parse: {error} ({error.error})"


def expressions(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string in `value` that is an expression or looks like a failed one, with its path."""
    if isinstance(value, str):
        if "{%" in value or "%}" in value:
            yield path, value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from expressions(member, f"{path}.{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from expressions(member, f"{path}[{index}]")


def check(value: Any, path: str, variables: frozenset[str] | set[str], readable: set[str]) -> Iterator[str]:
    """What is wrong with the expressions in `value`; `variables` are assigned, `readable` are members of $states."""
    for where, text in expressions(value, path):
        if not is_expression(text):
            yield f"{where}: an expression must be the whole string, from {{% to %}}"
            continue
        tree = parse(text)
        if isinstance(tree, str):
            yield f"{where}: {tree}"
            continue
        for problem in _Reader(variables, readable).problems(tree):
            yield f"{where}: {problem}"


def objects(node: Node) -> Iterator[dict[str, Node]]:
    """The objects that a tree builds by literal keys, values being trees: each arm of a condition, a block's last
    expression, and what `$merge` puts together, as far as it is literal."""
    if node.type == "condition":
        for arm in (node.then, node._else):
            if arm is not None:
                yield from objects(arm)
    elif node.type == "block":
        yield from objects(node.expressions[-1])
    elif _calls(node, "merge") and _is_list(node.arguments[0]):
        parts = [found for part in node.arguments[0].expressions if (found := list(objects(part)))]
        for chosen in itertools.product(*parts):
            yield {name: value for part in chosen for name, value in part.items()}
    elif node.type == "unary" and node.value == "{" and all(key.type == "string" for key, _ in node.lhs_object):
        yield {key.value: value for key, value in node.lhs_object}


def items(node: Node) -> Iterator[Node]:
    """The entries of a list that a tree builds, as far as they are literal; so through `$append`."""
    if _calls(node, "append"):
        for part in node.arguments:
            yield from items(part)
    elif _is_list(node):
        yield from node.expressions


def literal(node: Node) -> Any:
    """The text, number or truth value that a tree is, else None."""
    return node.value if node.type in ("string", "number", "value") else None


def _is_list(node: Node) -> bool:
    return bool(node.type == "unary" and node.value == "[")


def _calls(node: Node, function: str) -> bool:
    return bool(node.type == "function" and node.procedure.value == function)


class _Reader:
    """Walks one tree. Names of an expression's own blocks and functions are taken for its whole: they are short."""

    def __init__(self, variables: frozenset[str] | set[str], readable: set[str]) -> None:
        self.variables = variables
        self.readable = readable
        self.own: set[str] = set()

    def problems(self, tree: Node) -> Iterator[str]:
        self.own = set(_bound(tree))
        yield from self._visit(tree, has_document=False)

    def _visit(self, node: Node, has_document: bool) -> Iterator[str]:
        """`has_document`: names read something here, as in a filter, behind a step of a path, in a function's body."""
        first = node.steps[0] if node.type == "path" else None
        passed = []  # children that have been judged here
        if node.type == "variable":
            yield from self._variable(node.value)
        elif node.type == "name" and not has_document:
            yield f"the bare name {node.value} reads nothing: begin with $states.input or a variable"
        elif node.type == "function" and node.procedure.type == "variable":
            passed = [node.procedure]
            if node.procedure.value not in FUNCTIONS and node.procedure.value not in self.own:
                yield f"there is no function ${node.procedure.value}"
        elif first is not None and first.type == "variable" and first.value == "states":
            passed = [first]
            yield from self._states(node.steps)
        filters = [child for name in ("stages", "predicate") for child in _symbols(getattr(node, name, None))]
        for child in _children(node):
            if child not in passed:
                inner = (
                    has_document
                    or node.type == "lambda"
                    or child in filters
                    or (first is not None and child is not first)
                )
                yield from self._visit(child, inner)

    def _states(self, steps: list[Node]) -> Iterator[str]:
        member = steps[1].value if len(steps) > 1 and steps[1].type == "name" else ""
        if member not in self.readable:
            there = ", ".join(sorted(self.readable - {WAITS}))
            yield f"$states.{member} is not there at this place; there are {there}"
        elif member == "context":
            yield from self._context([step.value for step in steps[2:4] if step.type == "name"])

    def _context(self, path: list[str]) -> Iterator[str]:
        """The names read of the context object, as far as they are literal."""
        if path and path[0] not in CONTEXT:
            yield f"$states.context.{path[0]} is not there; there are {', '.join(CONTEXT)}"
        elif len(path) > 1 and path[1] not in CONTEXT[path[0]]:
            there = ", ".join(sorted(CONTEXT[path[0]]))
            yield f"$states.context.{'.'.join(path)} is not there; there are {there}"
        elif path and path[0] == "Task" and WAITS not in self.readable:
            yield "$states.context.Task is there only in a state whose Resource ends with .waitForTaskToken"

    def _variable(self, name: str) -> Iterator[str]:
        if name == "states":
            yield "$states has to be read by member, such as $states.input"
        elif name and name != "$" and name not in self.own and name not in self.variables and name not in FUNCTIONS:
            yield f"${name} is read before every way here has assigned it"


def _bound(node: Node) -> Iterator[str]:
    if node.type == "bind":
        yield node.lhs.value
    if node.type == "lambda":
        yield from (argument.value for argument in node.arguments)
    for child in _children(node):
        yield from _bound(child)


def _children(node: Node) -> Iterator[Node]:
    for name, member in vars(node).items():
        if not name.startswith("_outer") and name not in ("slot", "ancestor"):
            yield from _symbols(member)


def _symbols(member: Any) -> Iterator[Node]:
    if isinstance(member, list | tuple):
        for item in member:
            yield from _symbols(item)
    elif hasattr(member, "type") and hasattr(member, "value"):
        yield member
