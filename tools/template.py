"""template.yaml as data, for tools that tell of a stack before it is deployed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent


class _Template(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Equals [a, b]` reads as {"Equals": [a, b]}."""


def _short_form(loader: _Template, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)}  # type: ignore[arg-type]


_Template.add_multi_constructor("!", _short_form)


@cache
def template() -> dict[str, Any]:
    """template.yaml. Reading it takes a second."""
    read: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), _Template)  # noqa: S506 - a SafeLoader
    return read


def holds(condition: Any, conditions: Mapping[str, Any], text: Callable[[Any], str]) -> bool:
    """Whether `condition` holds, in the long form or the short one; it may name others of `conditions`.

    text: of what is compared, a literal or `{"Ref": name}`
    """
    ((form, argument),) = condition.items()
    if form == "Condition":
        return holds(conditions[argument], conditions, text)
    if form.removeprefix("Fn::") == "Equals":
        first, second = map(text, argument)
        return first == second
    parts = [holds(one, conditions, text) for one in argument]
    return {"Not": not parts[0], "And": all(parts), "Or": any(parts)}[form.removeprefix("Fn::")]
