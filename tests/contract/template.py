"""The SAM template as plain data: `!Ref X` reads as {"Ref": "X"}, `!Sub` and the others as {"Fn::Sub": ...}."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools.template import holds

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
    """(role and Sid, statement) of every policy statement that allows something, also of those an option adds."""
    return [
        (f"{role}.{statement.get('Sid')}", statement)
        for role, properties in resources("AWS::IAM::Role").items()
        for policy in properties.get("Policies", [])
        for one in policy["PolicyDocument"]["Statement"]
        for statement in [one["Fn::If"][1] if "Fn::If" in one else one]
    ]


def optional_statements() -> set[str]:
    """Role and Sid of the statements that are there with an option only."""
    return {
        f"{role}.{one['Fn::If'][1]['Sid']}"
        for role, properties in resources("AWS::IAM::Role").items()
        for policy in properties.get("Policies", [])
        for one in policy["PolicyDocument"]["Statement"]
        if "Fn::If" in one
    }


_GONE = object()  # AWS::NoValue: the property, or the entry of a list, is not there


def resolved(parameters: Mapping[str, object]) -> dict[str, Any]:
    """The template as it is deployed with `parameters`: its conditions and every Fn::If decided, nothing else."""
    template = load()
    values = {name: str(rules["Default"]) for name, rules in template["Parameters"].items()}
    values |= {name: str(value) for name, value in parameters.items()}

    def there_is(condition: str) -> bool:
        return holds(template["Conditions"][condition], template["Conditions"], text)

    def text(term: Any) -> str:
        return values[term["Ref"]] if isinstance(term, dict) else str(term)

    def decided(value: Any) -> Any:
        if isinstance(value, dict):
            if "Fn::If" in value:
                name, yes, no = value["Fn::If"]
                return decided(yes if there_is(name) else no)
            if value == {"Ref": "AWS::NoValue"}:
                return _GONE
            return {name: one for name, member in value.items() if (one := decided(member)) is not _GONE}
        if isinstance(value, list):
            return [one for member in value if (one := decided(member)) is not _GONE]
        return value

    there = {
        part: {
            name: decided({key: value for key, value in entry.items() if key != "Condition"})
            for name, entry in template[part].items()
            if "Condition" not in entry or there_is(entry["Condition"])
        }
        for part in ("Resources", "Outputs")
    }
    for entry in there["Resources"].values():
        if "DependsOn" in entry:
            needed = [entry["DependsOn"]] if isinstance(entry["DependsOn"], str) else entry["DependsOn"]
            entry["DependsOn"] = [name for name in needed if name in there["Resources"]]
    return {**template, "Globals": decided(template["Globals"]), **there}


def actions(statement: dict[str, Any]) -> list[str]:
    """The actions of a policy statement."""
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)
