"""Every environment of samconfig.toml can be deployed as it is: parameters fit the template, and a run takes them."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from typing import Any

import pytest
from kennel.runs import parse_run

from tests.contract import template

ENVIRONMENTS = tomllib.loads((template.ROOT / "samconfig.toml").read_text())
NAMES = sorted(name for name, commands in ENVIRONMENTS.items() if isinstance(commands, dict))
PARAMETERS = template.load()["Parameters"]
BASELINES = {
    # as in SET; None: the write-up does not say
    "baseline-target-100": (100, 10, 10, 1, None, 2, None),
    "baseline-target-10": (10, 30, 30, 1, None, 2, None),
    "baseline-target-25": (25, 30, 5, 1, 4, 2, None),
    "baseline-target-20": (20, 30, 30, 1, 3, None, 10),
    "baseline-one-to-four": (None, None, None, 1, 4, 50, 100),
}
SET = (
    "ScalingTarget", "ScaleInCooldownSeconds", "ScaleOutCooldownSeconds", "ScalingMinimum", "ScalingMaximum",
    "ProvisionedConcurrency", "ReservedConcurrency",
)  # fmt: skip


def overrides(environment: str) -> dict[str, str]:
    given = ENVIRONMENTS[environment]["deploy"]["parameters"].get("parameter_overrides", "")
    return dict(pair.split("=", 1) for pair in shlex.split(given))


def refusal(name: str, value: str) -> str:
    """Why CloudFormation would refuse the value, or nothing."""
    if name not in PARAMETERS:
        return "the template has no such parameter"
    rules = PARAMETERS[name]
    if "AllowedValues" in rules and value not in map(str, rules["AllowedValues"]):
        return f"{value} is not allowed"
    if "AllowedPattern" in rules and not re.fullmatch(rules["AllowedPattern"], value):
        return f"{value} does not fit the pattern"
    if rules["Type"] == "Number" and "MinValue" in rules and not rules["MinValue"] <= float(value) <= rules["MaxValue"]:
        return f"{value} is out of range"
    return ""


@pytest.mark.parametrize("environment", NAMES)
def test_an_environment_can_be_deployed_as_it_is(environment: str) -> None:
    given = overrides(environment)
    assert {name: why for name, value in given.items() if (why := refusal(name, value))} == {}
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,21}", ENVIRONMENTS[environment]["deploy"]["parameters"]["stack_name"])
    values = {name: str(rules["Default"]) for name, rules in PARAMETERS.items()} | given
    provisioned, reserved = int(values["ProvisionedConcurrency"]), int(values["ReservedConcurrency"])
    assert reserved == 0 or provisioned <= reserved

    text = template.resources("AWS::Serverless::Function")["ValidateRunFunction"]["Environment"]["Variables"]
    defaults: dict[str, Any] = json.loads(re.sub(r"\$\{(\w+)\}", lambda m: values[m[1]], text["DEFAULTS"]["Fn::Sub"]))
    run = parse_run({}, defaults)
    assert run["endpoint"]["maximum"] == int(values["ScalingMaximum"])
    assert run["train"]["instances"] == (int(values["TrainingInstances"]) if run["train"]["mode"] == "multi" else 1)
    assert (
        parse_run({"train": {"mode": "ec2"}}, defaults)["train"]["instance_type"] == (values["TrainingEc2InstanceType"])
    )


@pytest.mark.parametrize("environment", BASELINES)
def test_a_baseline_is_what_was_set_by_hand(environment: str) -> None:
    given = overrides(environment)
    for name, value in zip(SET, BASELINES[environment], strict=True):
        assert value is None or given[name] == str(value), name
    assert given["EndpointInstanceType"] == "ml.m5.large"


def test_the_baselines_train_in_every_way_that_the_write_ups_did() -> None:
    given = [overrides(environment) for environment in BASELINES]

    assert {one["TrainingInstances"] for one in given if one["TrainingMode"] == "multi"} == {"2", "4", "5"}
    assert {one["TrainingInstanceType"] for one in given} == {"ml.g4dn.xlarge", "ml.m5.xlarge"}
    assert {one["TrainingEc2InstanceType"] for one in given} == {"t2.small", "t2.xlarge", "g5.xlarge"}


@pytest.mark.parametrize("environment", [name for name in NAMES if name != "local"])
def test_nothing_is_made_on_aws_unasked(environment: str) -> None:
    assert ENVIRONMENTS[environment]["deploy"]["parameters"]["confirm_changeset"]


def test_the_check_would_notice() -> None:
    assert refusal("ScalingTargets", "1") and refusal("ReservedConcurrency", "7") and refusal("ScalingMaximum", "101")
    assert refusal("EndpointInstanceType", "c7i.large") and not refusal("ScalingConcurrentRequests", "1.4")
