"""The stack's parameters as Markdown, as docs/reference.md holds them: `python -m tools.parameters`."""

from __future__ import annotations

from typing import Any

from tools.template import template


def parameters() -> str:
    """A table of every group of parameters, from template.yaml; a test holds the page to it."""
    read = template()
    groups = read["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    return "\n".join(f"### {group['Label']['default']}\n\n{_table(read, group['Parameters'])}\n" for group in groups)


def _table(read: dict[str, Any], names: list[str]) -> str:
    rows = ["| parameter | allowed | default | what it is |", "| --- | --- | --- | --- |"]
    for name in names:
        one = read["Parameters"][name]
        default = f"`{one['Default']}`" if str(one["Default"]) else ""
        rows.append(f"| `{name}` | {_allowed(one)} | {default} | {one['Description']} |")
    return "\n".join(rows)


def _allowed(parameter: dict[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return ", ".join(f"`{value}`" for value in parameter["AllowedValues"])
    return str(parameter["ConstraintDescription"])


if __name__ == "__main__":
    print(parameters(), end="")
