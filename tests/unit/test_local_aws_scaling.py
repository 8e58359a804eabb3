"""Alarms' states and target tracking's arithmetic, without a clock."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from local_aws import alarms
from local_aws.alarm_logic import judge
from local_aws.autoscaling import AutoScaling
from local_aws.scaling_alarms import request
from local_aws.scaling_logic import Change, Limits, Past, Reading, decide

CALM = Reading("p", 70.0, high=None, low=None, scales_in=True, out_cooldown=300.0, in_cooldown=300.0, settling=120.0)
BUSY = dataclasses.replace(CALM, high=175.0)
IDLE = dataclasses.replace(CALM, low=0.0)
LIMITS = Limits(1, 4)


def marks(picture: str) -> list[bool | None]:
    """Datapoints, oldest first: X breaches, 0 does not, - is missing."""
    return [{"X": True, "0": False, "-": None}[one] for one in picture]


@pytest.mark.parametrize(
    ("picture", "needed", "missing", "state"),
    [
        ("00XXX", 3, "missing", "ALARM"),
        ("XXXX0", 3, "missing", "OK"),
        ("0-X-X", 3, "missing", "OK"),
        ("0XX-X", 3, "missing", "ALARM"),
        ("-----", 3, "missing", "INSUFFICIENT_DATA"),
        ("-----", 3, "ignore", None),
        ("-----", 3, "breaching", "ALARM"),
        ("-----", 3, "notBreaching", "OK"),
        ("0----", 3, "missing", "OK"),
        ("0----", 3, "ignore", None),
        ("--X--", 3, "missing", "ALARM"),
        ("---XX", 3, "missing", None),
        ("--X--", 3, "breaching", "ALARM"),
        ("--X--", 3, "notBreaching", "OK"),
        ("0-X--", 2, "ignore", "OK"),
        ("---X-", 2, "missing", "ALARM"),
        ("00X0X", 2, "missing", "ALARM"),
    ],
)
def test_datapoints_missing_ones_too_decide_an_alarms_state(
    picture: str, needed: int, missing: str, state: str | None
) -> None:
    assert judge(marks(picture), 3, needed, missing) == state


def test_too_much_load_asks_for_the_capacity_that_brings_it_to_its_target() -> None:
    assert decide([BUSY], 1, LIMITS, Past(), 1000.0) == Change(3, "p", out=True)


def test_no_capacity_is_asked_for_beyond_the_limits() -> None:
    assert decide([BUSY], 2, LIMITS, Past(), 1000.0) == Change(4, "p", out=True)
    assert decide([BUSY], 4, LIMITS, Past(), 1000.0) is None
    assert decide([IDLE], 3, Limits(2, 4), Past(), 1000.0) == Change(2, "p", out=False)
    assert decide([IDLE], 2, Limits(2, 4), Past(), 1000.0) is None


def test_what_was_added_within_the_cooldown_counts_as_part_of_what_is_asked_for() -> None:
    cooling = Past(out_ended=900.0, out_from=1)

    assert decide([BUSY], 3, LIMITS, cooling, 1000.0) is None
    assert decide([dataclasses.replace(BUSY, high=250.0)], 3, LIMITS, cooling, 1000.0) == Change(4, "p", out=True)
    assert decide([BUSY], 3, Limits(1, 9), cooling, 1201.0) == Change(8, "p", out=True)


def test_a_period_that_a_change_fell_into_is_not_believed_even_without_a_cooldown() -> None:
    hasty = dataclasses.replace(BUSY, out_cooldown=0.0)

    assert decide([hasty], 3, LIMITS, Past(out_ended=900.0, out_from=1), 1000.0) is None


def test_scaling_in_waits_for_its_cooldown_and_scaling_out_does_not() -> None:
    cooling = Past(in_ended=900.0)

    assert decide([IDLE], 3, LIMITS, cooling, 1199.0) is None
    assert decide([IDLE], 3, LIMITS, cooling, 1200.0) == Change(1, "p", out=False)
    assert decide([BUSY], 1, LIMITS, cooling, 901.0) == Change(3, "p", out=True)


def test_what_is_suspended_does_not_happen() -> None:
    assert decide([BUSY], 1, Limits(1, 4, out_suspended=True), Past(), 0.0) is None
    assert decide([IDLE], 3, Limits(1, 4, in_suspended=True), Past(), 0.0) is None


def test_a_policy_with_scale_in_disabled_only_scales_out() -> None:
    only_out = dataclasses.replace(IDLE, scales_in=False)

    assert decide([only_out], 3, LIMITS, Past(), 0.0) is None
    assert decide([dataclasses.replace(BUSY, scales_in=False)], 1, LIMITS, Past(), 0.0) == Change(3, "p", out=True)


def test_several_policies_scale_out_when_any_asks_and_in_when_all_do() -> None:
    other = dataclasses.replace(CALM, policy="q")
    slightly_idle = dataclasses.replace(other, low=40.0)

    assert decide([BUSY, dataclasses.replace(other, high=90.0)], 1, LIMITS, Past(), 0.0) == Change(3, "p", out=True)
    assert decide([BUSY, slightly_idle], 1, LIMITS, Past(), 0.0) == Change(3, "p", out=True)
    assert decide([IDLE, other], 3, LIMITS, Past(), 0.0) is None
    assert decide([IDLE, slightly_idle], 3, LIMITS, Past(), 0.0) == Change(2, "q", out=False)


def test_under_a_time_factor_a_period_is_shorter_and_a_rate_stays_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = {"Namespace": "N", "MetricName": "M", "Dimensions": [{"Name": "D", "Value": "1"}], "Statistic": "Sum"}
    points = [{"Timestamp": 1000.0 + second / 2, "Value": 1.0, "Unit": "None"} for second in range(6)]
    stored = {("N", "M", "D=1"): points, ("N", "M", "D=2"): points * 9}
    monkeypatch.setattr("ministack.services.cloudwatch._metrics", stored)
    monkeypatch.setenv("LOCAL_AWS_TIME_FACTOR", "60")

    assert alarms.datapoints({**alarm, "Period": 60, "EvaluationPeriods": 2}, 1003.2) == [None, 120.0, 120.0, 120.0]
    assert alarms.datapoints({**alarm, "Period": 180, "EvaluationPeriods": 1}, 1003.2) == [None, None, 360.0]
    assert alarms.datapoints({**alarm, "Period": 60, "Statistic": "Average"}, 1003.2) == [1.0, 1.0, 1.0]


TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


def tracking(**more: Any) -> dict[str, Any]:
    """A PutScalingPolicy request."""
    kind = more.pop("kind", "SageMakerVariantInvocationsPerInstance")
    configuration = {
        "TargetValue": 100.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": kind},
        **more,
    }
    return {
        **TARGET,
        "PolicyName": "p",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": configuration,
    }


@pytest.fixture
def scaling(tmp_path: Path) -> AutoScaling:
    """A store with one scalable target."""
    found = AutoScaling(tmp_path / "autoscaling.db", {"e": {"Variants": {"AllTraffic": {}}}})
    found.register({**TARGET, "MinCapacity": 1, "MaxCapacity": 2})
    return found


def test_the_alarms_of_a_policy_are_the_ones_aws_makes(scaling: AutoScaling) -> None:
    made: list[dict[str, Any]] = []
    scaling.follow = lambda policy: made.extend(request(policy, one["AlarmName"]) for one in policy["Alarms"])

    scaling.put_policy(tracking())

    picked = ("MetricName", "Statistic", "Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold")
    assert [[one[name] for name in picked] for one in made] == [
        ["InvocationsPerInstance", "Sum", 60, 3, 3, 100.0],
        ["InvocationsPerInstance", "Sum", 60, 15, 15, 90.0],
    ]
    assert made[0]["Dimensions"] == [
        {"Name": "EndpointName", "Value": "e"},
        {"Name": "VariantName", "Value": "AllTraffic"},
    ]


def test_a_changed_policy_keeps_its_alarms_names_and_gives_up_what_it_no_longer_needs(scaling: AutoScaling) -> None:
    dropped: list[str] = []
    scaling.unfollow = dropped.extend
    high, low = (one["AlarmName"] for one in scaling.put_policy(tracking())["Alarms"])

    changed = scaling.put_policy(tracking(TargetValue=50.0, DisableScaleIn=True))["Alarms"]

    assert [one["AlarmName"] for one in changed] == [high]
    assert dropped == [low]
    scaling.deregister(TARGET)
    assert dropped == [low, high]
