"""Profiles: the settings that decide how a stack serves, read from template.yaml and samconfig.toml."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from tools.scaling.target_tracking import Policy
from tools.template import ROOT, template


class ProfileError(Exception):
    """There is no such profile, or it cannot be read; the message says what there is."""


@dataclass(frozen=True)
class Profile:
    """What a deployed stack has. Concurrencies are copies of `classify`; reserved 0: as many as the account allows."""

    name: str
    policy: Policy
    instance_type: str
    provisioned: int
    reserved: int
    throttle_rate: float
    throttle_burst: float
    memory_gb: float


def profile(name: str, overrides: Mapping[str, str]) -> Profile:
    """The template's defaults with `overrides` (parameter -> value). Raises ProfileError, ValueError."""
    read = template()
    if unknown := overrides.keys() - read["Parameters"].keys():
        raise ProfileError(f"{name}: the template has no parameter {', '.join(sorted(unknown))}")
    values = {**{key: str(rules["Default"]) for key, rules in read["Parameters"].items()}, **overrides}
    metric = values["ScalingMetric"]
    policy = Policy(
        metric=cast(Literal["invocations", "concurrency"], metric),
        target=float(values["ScalingTarget" if metric == "invocations" else "ScalingConcurrentRequests"]),
        in_cooldown=float(values["ScaleInCooldownSeconds"]),
        out_cooldown=float(values["ScaleOutCooldownSeconds"]),
        minimum=int(values["ScalingMinimum"]),
        maximum=int(values["ScalingMaximum"]),
    )
    return Profile(
        name=name,
        policy=policy,
        instance_type=values["EndpointInstanceType"],
        provisioned=int(values["ProvisionedConcurrency"]),
        reserved=int(values["ReservedConcurrency"]),
        throttle_rate=float(values["ApiThrottleRate"]),
        throttle_burst=float(values["ApiThrottleBurst"]),
        memory_gb=read["Resources"]["ClassifyFunction"]["Properties"]["MemorySize"] / 1024,
    )


def profiles(names: list[str] | None = None) -> list[Profile]:
    """The environments of samconfig.toml of these names; without any the baselines and `recommended`.

    NAME:Parameter=value,Parameter=value is an environment with other values, LABEL=NAME is one called otherwise, and
    both go together. Raises ProfileError.
    """
    read = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    environments = {key: value for key, value in read.items() if isinstance(value, dict)}
    wanted = names or [name for name in environments if name.startswith("baseline-") or name == "recommended"]
    return [_changed(name, environments) for name in wanted]


def _changed(name: str, environments: Mapping[str, Any]) -> Profile:
    called, _, changes = name.partition(":")
    label, _, base = called.rpartition("=")
    if base not in environments:
        raise ProfileError(f"samconfig.toml has no {base}; it has {', '.join(environments)}")
    try:
        other = dict(pair.split("=", 1) for pair in changes.split(",") if pair)
        return profile(label or name, _overrides(environments[base]) | other)
    except ValueError:
        raise ProfileError(f"{changes!r}: it is Parameter=value,Parameter=value, with values that fit") from None


def _overrides(environment: Mapping[str, Any]) -> dict[str, str]:
    given = environment["deploy"]["parameters"].get("parameter_overrides", "")
    return dict(pair.split("=", 1) for pair in shlex.split(given))
