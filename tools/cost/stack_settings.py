"""What template.yaml says of a stack that was not deployed yet: its parameters, and what follows from them."""

from __future__ import annotations

import json
import shlex
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.template import ROOT, holds, template


class SettingsError(Exception):
    """There is no such parameter or environment; the message says what there is."""


@dataclass(frozen=True)
class StackSettings:
    """A stack's parameters, as text."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, environment: str, overrides: Mapping[str, str]) -> StackSettings:
        """The template's defaults, changed by an environment of samconfig.toml and by `overrides`."""
        read = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
        if not isinstance(read.get(environment), dict):
            raise SettingsError(f"samconfig.toml has no {environment}")
        given = read[environment].get("deploy", {}).get("parameters", {}).get("parameter_overrides", "")
        values = {name: str(rules["Default"]) for name, rules in template()["Parameters"].items()}
        changes = {**dict(pair.split("=", 1) for pair in shlex.split(given)), **overrides}
        if unknown := changes.keys() - values.keys():
            raise SettingsError(f"the template has no parameter {', '.join(sorted(unknown))}")
        return cls(values | changes)

    def run_defaults(self) -> dict[str, Any]:
        """The parameters as validate_run gets them: a run's defaults."""
        variables = template()["Resources"]["ValidateRunFunction"]["Properties"]["Environment"]["Variables"]
        read: dict[str, Any] = json.loads(string.Template(variables["DEFAULTS"]["Sub"]).substitute(self.values))
        return read

    def number(self, name: str) -> float:
        """A parameter's value."""
        return float(self.values[name])

    def memory_gb(self, function: str) -> float:
        """A function's memory."""
        return float(template()["Resources"][function]["Properties"]["MemorySize"]) / 1024

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """The properties of the resources of a type that the stack has with these parameters."""
        return [
            entry["Properties"]
            for entry in template()["Resources"].values()
            if entry["Type"] == kind and ("Condition" not in entry or self._holds({"Condition": entry["Condition"]}))
        ]

    def zones_of_interface_endpoints(self) -> int:
        """The stack's interface endpoints, each as often as it has subnets: that is how they are billed."""
        return sum(
            len(entry["Properties"]["SubnetIds"])
            for entry in template()["Resources"].values()
            if entry.get("Properties", {}).get("VpcEndpointType") == "Interface"
            and self._holds({"Condition": entry["Condition"]})
        )

    def _holds(self, condition: Any) -> bool:
        def text(term: Any) -> str:
            return self.values[term["Ref"]] if isinstance(term, dict) else str(term)

        return holds(condition, template()["Conditions"], text)
