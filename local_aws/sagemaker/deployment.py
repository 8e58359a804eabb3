"""Deployment guardrails as arithmetic: what a DeploymentConfig may say, and the steps it asks for. No I/O here.

Sizes are turned into instances as `batch` says; the share of the traffic that the new fleet gets is the share of its
instances that take requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.errors import validation

_WAIT, _FINAL_WAIT = "WaitIntervalInSeconds", "TerminationWaitInSeconds"
# member of the policy -> smallest and largest share of the instances, as documented
_BOUNDS = {"CanarySize": (1, 50), "LinearStepSize": (10, 50), "MaximumBatchSize": (5, 50)}


@dataclass(frozen=True)
class Step:
    """One shift of traffic: how many new instances of each variant take requests then, and how long that is baked."""

    active: Mapping[str, int]
    bake_seconds: float
    bake_name: str
    stage: str


def batch(size: Mapping[str, Any], total: int) -> int:
    """Instances of a CapacitySize out of `total`: percentages are rounded down, and it is one at least."""
    value = int(size["Value"])
    wanted = value if size["Type"] == "INSTANCE_COUNT" else total * value // 100
    return min(total, max(1, wanted))


def _check_size(name: str, size: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    low, high = _BOUNDS[name]
    for variant, total in counts.items():
        value = int(size["Value"])
        percent = value if size["Type"] == "CAPACITY_PERCENT" else 100 * value / total
        if not low <= percent <= high:
            raise validation(
                f"{name} must be between {low}% and {high}% of the variant's total instance count: "
                f"{value} ({size['Type']}) of the {total} instance(s) of variant {variant} is not."
            )


def _check_blue_green(policy: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    routing = policy["TrafficRoutingConfiguration"]
    kind = routing["Type"]
    wanted = {"ALL_AT_ONCE": None, "CANARY": "CanarySize", "LINEAR": "LinearStepSize"}[kind]
    for name in ("CanarySize", "LinearStepSize"):
        if (name in routing) != (name == wanted):
            verb = "must" if name == wanted else "must not"
            raise validation(f"{name} {verb} be specified when the traffic routing type is {kind}.")
    if wanted:
        _check_size(wanted, routing[wanted], counts)


def check(config: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Raises ValidationException for a DeploymentConfig that does not fit variants of `counts` new instances."""
    rolling = config.get("RollingUpdatePolicy")
    blue_green = config.get("BlueGreenUpdatePolicy")
    if rolling and blue_green:
        raise validation("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.")
    if rolling:
        if len(counts) != 1:
            raise validation("A rolling update policy is not supported for endpoints with several variants.")
        _check_size("MaximumBatchSize", rolling["MaximumBatchSize"], counts)
    elif blue_green:
        _check_blue_green(blue_green, counts)
    limit = timeout_seconds(config)
    waits = sum(step.bake_seconds for step in steps(config, counts))
    if limit is not None and limit <= waits:
        raise validation(
            f"MaximumExecutionTimeoutInSeconds ({limit:g}) must be larger than the total waiting time of the "
            f"deployment ({waits:g})."
        )


def timeout_seconds(config: Mapping[str, Any]) -> float | None:
    """How long the whole deployment may take, or None."""
    policy = config.get("RollingUpdatePolicy") or config.get("BlueGreenUpdatePolicy") or {}
    found: float | None = policy.get("MaximumExecutionTimeoutInSeconds")
    return found


def alarm_names(config: Mapping[str, Any]) -> list[str]:
    """The alarms that are watched."""
    return [one["AlarmName"] for one in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def _increments(
    sizes: Mapping[str, int], counts: Mapping[str, int], stage: str, bake_seconds: float, bake_name: str
) -> list[Step]:
    """As many steps as the largest variant needs in batches of `sizes`; the last turns everything on."""
    number = max(math.ceil(counts[name] / sizes[name]) for name in counts)
    return [
        Step({name: min(total, sizes[name] * index) for name, total in counts.items()}, bake_seconds, bake_name, stage)
        for index in range(1, number + 1)
    ]


def steps(config: Mapping[str, Any], counts: Mapping[str, int]) -> list[Step]:
    """The shifts of traffic to variants of `counts` new instances, in order; without a policy it is one, not baked."""
    rolling = config.get("RollingUpdatePolicy")
    if rolling:
        sizes = {name: batch(rolling["MaximumBatchSize"], total) for name, total in counts.items()}
        return _increments(sizes, counts, "batch", rolling[_WAIT], _WAIT)
    policy = config.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    full = Step(dict(counts), policy.get(_FINAL_WAIT, 0), _FINAL_WAIT, "full")
    if routing["Type"] == "CANARY":
        active = {name: batch(routing["CanarySize"], total) for name, total in counts.items()}
        return [Step(active, routing[_WAIT], _WAIT, "canary"), full]
    if routing["Type"] == "LINEAR":
        sizes = {name: batch(routing["LinearStepSize"], total) for name, total in counts.items()}
        return [*_increments(sizes, counts, "linear", routing[_WAIT], _WAIT)[:-1], full]
    return [full]


def old_instances_left(old: int, active: int, total: int) -> int:
    """Old instances that stay in a rolling update while `active` of `total` new ones serve; 0 only at its end."""
    return old - old * active // total


class Divider:
    """Sends a share of requests to the new fleet, evenly: after n requests it is off by less than one."""

    def __init__(self) -> None:
        self.share = 0.0
        self._due = 0.0

    def new(self) -> bool:
        """Whether the next request goes to the new fleet."""
        self._due += self.share
        if self._due < 1 - 1e-9:
            return False
        self._due -= 1
        return True
