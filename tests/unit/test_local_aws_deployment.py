"""Deployment guardrails' arithmetic, and a rollout over fleets that are not there: no processes, no waiting."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from local_aws.errors import ApiError
from local_aws.sagemaker import deployment, endpoint_changes
from local_aws.sagemaker.deployment import Divider
from local_aws.sagemaker.rollout import RollbackError, Rollout
from local_aws.store import Record


def percent(value: int) -> dict[str, Any]:
    """A share of the capacity."""
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def count(value: int) -> dict[str, Any]:
    """A number of instances."""
    return {"Type": "INSTANCE_COUNT", "Value": value}


def blue_green(kind: str, wait: int = 60, **routing: Any) -> dict[str, Any]:
    """A blue/green deployment that is baked for 300 s at its end."""
    traffic = {"Type": kind, "WaitIntervalInSeconds": wait, **routing}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": 300}}


def rolling(size: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A rolling deployment."""
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 60, **more}}


@pytest.mark.parametrize(
    ("config", "instances", "active", "baked"),
    [
        ({}, 3, [3], [0]),
        (blue_green("ALL_AT_ONCE"), 3, [3], [300]),
        (blue_green("CANARY", CanarySize=percent(30)), 4, [1, 4], [60, 300]),
        (blue_green("CANARY", CanarySize=count(2)), 4, [2, 4], [60, 300]),
        (blue_green("CANARY", CanarySize=percent(10)), 1, [1, 1], [60, 300]),
        (blue_green("LINEAR", LinearStepSize=percent(33)), 3, [1, 2, 3], [60, 60, 300]),
        (blue_green("LINEAR", LinearStepSize=percent(40)), 5, [2, 4, 5], [60, 60, 300]),
        (rolling(percent(50)), 5, [2, 4, 5], [60, 60, 60]),
    ],
)
def test_a_policy_asks_for_these_steps(
    config: dict[str, Any], instances: int, active: list[int], baked: list[int]
) -> None:
    steps = deployment.steps(config, {"v": instances})

    assert [step.active["v"] for step in steps] == active
    assert [step.bake_seconds for step in steps] == baked


def test_variants_of_different_size_come_to_their_ends_together() -> None:
    steps = deployment.steps(blue_green("LINEAR", LinearStepSize=percent(50)), {"a": 1, "b": 4})

    assert [dict(step.active) for step in steps] == [{"a": 1, "b": 2}, {"a": 1, "b": 4}]


@pytest.mark.parametrize(
    ("config", "instances", "message"),
    [
        (blue_green("CANARY"), 4, "CanarySize must be specified when the traffic routing type is CANARY"),
        (blue_green("ALL_AT_ONCE", CanarySize=percent(5)), 4, "CanarySize must not be specified"),
        (blue_green("CANARY", CanarySize=percent(51)), 4, "between 1% and 50%"),
        (blue_green("CANARY", CanarySize=count(2)), 3, "between 1% and 50%"),
        (blue_green("LINEAR", LinearStepSize=percent(9)), 4, "between 10% and 50%"),
        (rolling(percent(4)), 4, "between 5% and 50%"),
        (rolling(count(1)), 1, "between 5% and 50%"),
        (blue_green("ALL_AT_ONCE") | rolling(percent(50)), 4, "Only one of"),
        (rolling(percent(5), MaximumExecutionTimeoutInSeconds=600), 20, "larger than the total waiting time"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(config: dict[str, Any], instances: int, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        deployment.check(config, {"v": instances})

    assert caught.value.code == "ValidationException"


def test_a_rolling_update_is_for_one_variant() -> None:
    with pytest.raises(ApiError, match="several variants"):
        deployment.check(rolling(percent(50)), {"a": 2, "b": 2})


def test_traffic_is_divided_evenly_and_not_by_chance() -> None:
    divider = Divider()
    divider.share = 1 / 3
    first = [divider.new() for _ in range(9)]
    divider.share = 1.0
    second = [divider.new() for _ in range(5)]
    divider.share = 0.0
    third = [divider.new() for _ in range(5)]

    assert sum(first) == 3
    assert first.index(True) == 2
    assert (all(second), any(third)) == (True, False)


def test_a_rolling_update_keeps_old_instances_until_the_last_batch() -> None:
    assert [deployment.old_instances_left(3, active, 4) for active in (0, 2, 4)] == [3, 2, 0]
    assert [deployment.old_instances_left(1, active, 4) for active in (2, 3, 4)] == [1, 1, 0]


class PaperFleet:
    """A fleet without processes."""

    def __init__(self, size: int = 0, start_seconds: float = 0.0) -> None:
        self.size = size
        self.most = size
        self.active: int | None = None
        self.start_seconds = start_seconds

    async def grow(self, count: int) -> None:
        """Takes its time."""
        await asyncio.sleep(self.start_seconds)
        self.size += count
        self.most = max(self.most, self.size)

    async def shrink(self, count: int, grace: float = 30.0) -> None:
        """At once."""
        self.size -= count

    async def close(self, grace: float = 30.0) -> None:
        """At once."""
        self.size = 0


def paper_rollout(config: dict[str, Any], old: PaperFleet, new: PaperFleet, total: int, alarm: str = "OK") -> Rollout:
    """A rollout of one variant."""
    record: dict[str, Record] = {"v": {"Desired": total, "Weight": 1.0}}
    fleets: list[Any] = [{"v": old}, {"v": new}]
    return Rollout("config", config, fleets[0], fleets[1], record, record, lambda name: alarm)


def serves(rollout: Rollout) -> object:
    """Where the next request goes."""
    return rollout.fleet("v")


def test_a_rolling_update_has_a_batch_more_than_it_needs_and_no_more() -> None:
    old, new = PaperFleet(4), PaperFleet()
    sizes: list[int] = []
    original = old.shrink

    async def shrink(count: int, grace: float = 30.0) -> None:
        sizes.append(old.size + new.size)
        await original(count, grace)

    old.shrink = shrink  # type: ignore[method-assign]
    config = {"RollingUpdatePolicy": {"MaximumBatchSize": count(1), "WaitIntervalInSeconds": 0}}

    asyncio.run(paper_rollout(config, old, new, 4).run())

    assert sizes == [5, 5, 5, 5]
    assert (old.size, new.size) == (0, 4)


def test_a_rolled_back_rolling_update_has_its_old_instances_again() -> None:
    old, new = PaperFleet(4), PaperFleet()
    policy = {"MaximumBatchSize": count(2), "WaitIntervalInSeconds": 0, "RollbackMaximumBatchSize": count(1)}
    config: dict[str, Any] = {"RollingUpdatePolicy": policy}
    watched = config | {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}
    states = iter(["OK", "ALARM"])
    rollout = paper_rollout(watched, old, new, 4)
    rollout.alarm_state = lambda name: next(states)

    async def go() -> tuple[int, int]:
        with pytest.raises(RollbackError, match=r"alarm\(s\) \[a\]"):
            await rollout.run()
        halfway = old.size, new.size
        await rollout.roll_back()
        return halfway

    assert asyncio.run(go()) == (2, 4)
    assert (old.size, new.size) == (4, 0)
    assert serves(rollout) is old


def test_what_serves_after_a_failed_roll_back_serves_on_when_the_next_update_fails_too() -> None:
    old, mixed, new = PaperFleet(1), PaperFleet(1), PaperFleet()
    before = paper_rollout({}, old, mixed, 1)
    asyncio.run(before.run())
    watched = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}
    rollout = dataclasses.replace(paper_rollout(watched, old, new, 1, alarm="ALARM"), before=before)

    async def go() -> None:
        with pytest.raises(RollbackError):
            await rollout.run()
        await rollout.roll_back()

    asyncio.run(go())
    assert serves(rollout) is mixed
    assert (mixed.size, new.size) == (1, 0)


def test_instances_that_take_too_long_to_start_end_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Waits are a tenth of a second less than the limit: that is what is left for starting instances.
    monkeypatch.setattr(deployment, "timeout_seconds", lambda config: 0.1)
    rollout = paper_rollout({}, PaperFleet(1), PaperFleet(start_seconds=5), 1)

    with pytest.raises(RollbackError, match="MaximumExecutionTimeoutInSeconds"):
        asyncio.run(rollout.run())


def variant(instances: int, weight: float = 1.0, **more: Any) -> Record:
    """A variant's record."""
    return {"Model": "m", "Weight": weight, "Desired": instances, "InstanceType": "ml.m5.large", **more}


@pytest.mark.parametrize(
    ("request_members", "expected"),
    [
        ({}, (1, 1.0)),
        ({"RetainAllVariantProperties": True}, (3, 0.5)),
        ({"ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]}, (1, 1.0)),
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredInstanceCount"}],
            },
            (1, 0.5),
        ),
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
            },
            (3, 1.0),
        ),
    ],
)
def test_an_update_retains_what_it_says(request_members: dict[str, Any], expected: tuple[int, float]) -> None:
    found = endpoint_changes.retained({"v": variant(1), "w": variant(2)}, {"v": variant(3, 0.5)}, request_members)

    assert (found["v"]["Desired"], found["v"]["Weight"]) == expected
    assert found["w"] == variant(2)
