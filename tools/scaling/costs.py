"""What serving costs, from the project's one price table (training/prices.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.scaling.profiles import Profile
from tools.template import ROOT

TABLE = ROOT / "training" / "prices.json"


@dataclass(frozen=True)
class Used:
    """What was used. `called`: requests that the API let through; `invoked`: those of them that the function took."""

    seconds: float
    instance_seconds: float
    called: float
    invoked: float
    function_seconds: float  # of all copies together
    on_provisioned: float  # the share of that on copies that were kept ready


@dataclass(frozen=True)
class Cost:
    """US dollars, by what they are for."""

    instances: float
    provisioned: float
    function: float
    api: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.instances + self.provisioned + self.function + self.api


def prices(path: Path = TABLE) -> dict[str, Any]:
    """The table."""
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def cost(profile: Profile, used: Used) -> Cost | None:
    """What `used` costs; None where the table has no price for the endpoint's instance type."""
    table = prices()
    hour = (table["instance_hour"] | table["instance_hour_derived"]).get(profile.instance_type)
    if hour is None:
        return None
    function, memory = table["function"], profile.memory_gb
    per_second = (
        used.on_provisioned * function["gb_second_on_provisioned"] + (1 - used.on_provisioned) * function["gb_second"]
    )
    return Cost(
        instances=used.instance_seconds / 3600 * hour,
        provisioned=profile.provisioned * memory * used.seconds * function["provisioned_gb_second"],
        function=used.invoked / 1e6 * function["million_requests"] + used.function_seconds * memory * per_second,
        api=used.called / 1e6 * table["api"]["million_requests"],
    )
