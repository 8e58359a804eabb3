"""What an endpoint's variants are to become: from a configuration, an update or a resize. Records in, records out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local_aws.errors import validation
from local_aws.sagemaker import deployment
from local_aws.store import Record

Variants = dict[str, Record]


def variants(config: Record) -> Variants:
    """The variants of an endpoint configuration, by name; a serverless one has no instance type."""
    found: Variants = {}
    for one in config["ProductionVariants"]:
        record: Record = {"Model": one["ModelName"], "Weight": one["InitialVariantWeight"]}
        if one.get("ServerlessConfig"):
            record |= {"Desired": 1, "Serverless": one["ServerlessConfig"]}
        else:
            record |= {"Desired": one["InitialInstanceCount"], "InstanceType": one["InstanceType"]}
        found[one["VariantName"]] = record
    return found


def is_serverless(some: Mapping[str, Record]) -> bool:
    """Whether any of the variants is serverless."""
    return any("Serverless" in one for one in some.values())


def retained(wanted: Variants, had: Variants, request: Mapping[str, Any]) -> Variants:
    """`wanted` with the counts and weights that the endpoint has reached, where UpdateEndpoint says to keep them."""
    if not request.get("RetainAllVariantProperties"):
        return wanted
    excluded = {one["VariantPropertyType"] for one in request.get("ExcludeRetainedVariantProperties", [])}
    kept = {"DesiredInstanceCount": "Desired", "DesiredWeight": "Weight"}
    members = [member for name, member in kept.items() if name not in excluded]
    return {
        name: {
            **one,
            **{member: had[name][member] for member in members if name in had and _comparable(one, had[name])},
        }
        for name, one in wanted.items()
    }


def _comparable(one: Record, other: Record) -> bool:
    return ("Serverless" in one) == ("Serverless" in other)


def check_types(endpoint: str, had: Variants, wanted: Variants, is_scaled: Callable[[str, str], bool]) -> None:
    """Raises ValidationException for a change of kind or instance type that AWS refuses."""
    if is_serverless(wanted) and not is_serverless(had):
        raise validation("Cannot update an instance-based endpoint to a serverless endpoint: create another endpoint.")
    for name, one in wanted.items():
        kept = had.get(name)
        if kept and kept.get("InstanceType") != one.get("InstanceType") and is_scaled(endpoint, name):
            raise validation(
                f"The instance type of variant {name} cannot change while it is registered as a scalable target "
                "with Application Auto Scaling: deregister it first."
            )


def check_deployment(
    config: Mapping[str, Any], had: Variants, wanted: Variants, alarm_state: Callable[[str], str | None]
) -> None:
    """Raises ValidationException for a DeploymentConfig that cannot be followed for this update."""
    if config.get("RollingUpdatePolicy") and (is_serverless(had) or is_serverless(wanted)):
        raise validation("A rolling update policy is not supported for serverless endpoints.")
    guarded = config.get("BlueGreenUpdatePolicy") or config.get("RollingUpdatePolicy")
    if guarded and set(had) != set(wanted):
        raise validation(
            "With a deployment configuration the new endpoint configuration must have the variant names of the old "
            f"one: [{', '.join(sorted(had))}], not [{', '.join(sorted(wanted))}]."
        )
    if not is_serverless(wanted):
        deployment.check(config, {name: int(one["Desired"]) for name, one in wanted.items()})
    states = {name: alarm_state(name) for name in deployment.alarm_names(config)}
    unknown = [name for name, state in states.items() if state is None]
    if unknown:
        raise validation(f"Could not find the CloudWatch alarm(s) [{', '.join(unknown)}] of AutoRollbackConfiguration.")
    tripped = [name for name, state in states.items() if state == "ALARM"]
    if tripped:
        raise validation(f"The CloudWatch alarm(s) [{', '.join(tripped)}] of AutoRollbackConfiguration are in ALARM.")


def resized(had: Variants, wishes: Iterable[Mapping[str, Any]]) -> Variants:
    """The variants after UpdateEndpointWeightsAndCapacities. Raises ValidationException."""
    wanted = {one["VariantName"]: one for one in wishes}
    unknown = sorted(set(wanted) - set(had))
    if unknown:
        raise validation(
            f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration.'
        )
    return {name: _resized(name, one, wanted.get(name, {})) for name, one in had.items()}


def _resized(name: str, one: Record, wish: Mapping[str, Any]) -> Record:
    serverless = "Serverless" in one
    wrong = "DesiredInstanceCount" if serverless else "ServerlessUpdateConfig"
    if wish.get(wrong) is not None:
        kind = "serverless" if serverless else "instance-based"
        raise validation(f"{wrong} cannot be set for the {kind} variant {name}.")
    fresh = {**one, "Weight": wish.get("DesiredWeight", one["Weight"])}
    if serverless:
        fresh["Serverless"] = {**one["Serverless"], **wish.get("ServerlessUpdateConfig", {})}
        check_concurrency(fresh["Serverless"])
    else:
        fresh["Desired"] = wish.get("DesiredInstanceCount", one["Desired"])
    return fresh


def check_concurrency(config: Mapping[str, Any]) -> None:
    """Raises ValidationException for a ServerlessConfig whose members do not fit each other."""
    if config["MemorySizeInMB"] % 1024:
        raise validation(
            f"MemorySizeInMB must be one of 1024, 2048, 3072, 4096, 5120 or 6144, not {config['MemorySizeInMB']}."
        )
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise validation(
            f"ProvisionedConcurrency ({config['ProvisionedConcurrency']}) must not be larger than MaxConcurrency "
            f"({config['MaxConcurrency']})."
        )
