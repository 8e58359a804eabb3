"""Profiles of samconfig.toml are deployed as they stand, by `sam deploy --config-env NAME`, on one embedded AWS.

Two of them by themselves, since a deployment takes half a minute; all with PROFILES=all.
"""

from __future__ import annotations

import json
import os
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

from tools import local_stack
from tools.stack import describe_stack

ENVIRONMENTS = tomllib.loads((local_stack.ROOT / "samconfig.toml").read_text())
ALL = sorted(name for name in ENVIRONMENTS if name == "recommended" or name.startswith("baseline-"))
# One with a copy kept ready and no reservation to speak of, one with none ready and ten at most.
PROFILES = ALL if os.environ.get("PROFILES") == "all" else ["recommended", "baseline-target-20"]

DEFAULTS = {  # a parameter, and what it is called in the defaults of a run
    "ScalingMinimum": "minimum",
    "ScalingMaximum": "maximum",
    "ScalingMetric": "target_metric",
    "ScalingTarget": "target_invocations_per_minute",
    "ScalingConcurrentRequests": "target_concurrent_requests",
    "ScaleInCooldownSeconds": "scale_in_cooldown_seconds",
    "ScaleOutCooldownSeconds": "scale_out_cooldown_seconds",
    "EndpointInstanceType": "instance_type",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An embedded AWS, and the stack built once for all profiles."""
    scratch = tmp_path_factory.mktemp("profiles")
    kept = dict(os.environ)
    try:
        local_stack.start(scratch / "aws")
        local_stack.build(scratch)
        yield scratch
    finally:
        local_stack.stop(scratch / "aws")
        os.environ.clear()
        os.environ.update(kept)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_deploys_as_it_is_and_is_what_runs_and_callers_meet(built: Path, profile: str) -> None:
    given = ENVIRONMENTS[profile]["deploy"]["parameters"]
    asked = dict(pair.split("=", 1) for pair in shlex.split(given["parameter_overrides"]))

    local_stack.deploy(built, "--config-env", profile, "--no-confirm-changeset")

    functions, name = boto3.client("lambda"), given["stack_name"]
    variables = functions.get_function_configuration(FunctionName=function("ValidateRunFunction", name))["Environment"]
    endpoint = json.loads(variables["Variables"]["DEFAULTS"])["endpoint"]
    assert {parameter: str(endpoint[field]) for parameter, field in DEFAULTS.items() if parameter in asked} == {
        parameter: asked[parameter] for parameter in DEFAULTS if parameter in asked
    }
    assert ready(function("ClassifyFunction", name)) == int(asked["ProvisionedConcurrency"])
    assert httpx.get(f"{describe_stack(name).api_url}/health", timeout=60.0).status_code == 200


def function(resource: str, stack: str) -> str:
    """The name that a function was given."""
    found = boto3.client("cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId=resource)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def ready(function_name: str) -> int:
    """How many copies of what callers meet are kept ready."""
    functions = boto3.client("lambda")
    try:
        found = functions.get_provisioned_concurrency_config(FunctionName=function_name, Qualifier="live")
    except functions.exceptions.ProvisionedConcurrencyConfigNotFoundException:
        return 0
    return int(found["RequestedProvisionedConcurrentExecutions"])
