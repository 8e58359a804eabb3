"""The SAM template as plain data: `!Ref X` reads as {"Ref": "X"}, `!Sub` and the others as {"Fn::Sub": ...}."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


@cache
def load() -> dict[str, Any]:
    """template.yaml, parsed."""
    template: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), _Loader)
    return template


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Logical id -> properties of the resources of one type."""
    return {name: entry.get("Properties", {}) for name, entry in load()["Resources"].items() if entry["Type"] == kind}


def statements() -> list[tuple[str, dict[str, Any]]]:
    """(role and Sid, statement) of every policy statement that allows something."""
    return [
        (f"{role}.{statement.get('Sid')}", statement)
        for role, properties in resources("AWS::IAM::Role").items()
        for policy in properties.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def actions(statement: dict[str, Any]) -> list[str]:
    """The actions of a policy statement."""
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)
