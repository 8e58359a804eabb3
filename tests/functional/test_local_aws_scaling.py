"""Scaling and alarms of the embedded AWS, at sixty times the real speed: a minute's period lasts a second."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_aws import supervisor
from local_aws.processes import marked
from local_aws.store import Store

from .conftest import LocalAws, Stage, build_stage, emulator, wait_for

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An emulator of its own, in a hurry."""
    with emulator(tmp_path_factory.mktemp("fast-aws"), LOCAL_AWS_TIME_FACTOR="60") as aws:
        yield build_stage(aws)


class Scaled:
    """An endpoint with a target tracking policy."""

    def __init__(self, stage: Stage, kind: str, target: float, **more: Any) -> None:
        self.stage = stage
        self.name = stage.endpoint()
        self.target = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{self.name}/variant/AllTraffic",
            "ScalableDimension": DIMENSION,
        }
        self.client = stage.aws.client("application-autoscaling")
        self.client.register_scalable_target(**self.target, MinCapacity=1, MaxCapacity=2)
        configuration = {
            "TargetValue": target,
            "PredefinedMetricSpecification": {"PredefinedMetricType": kind},
            **more,
        }
        put = self.client.put_scaling_policy(
            **self.target,
            PolicyName="follow",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )
        self.alarms = [one["AlarmName"] for one in put["Alarms"]]

    def alarm(self, side: int) -> dict[str, Any]:
        """The high (0) or low (1) alarm as CloudWatch describes it."""
        found: dict[str, Any] = self.stage.aws.client("cloudwatch").describe_alarms(AlarmNames=[self.alarms[side]])[
            "MetricAlarms"
        ][0]
        return found

    def count(self) -> int:
        """Instances that serve."""
        variants = self.stage.aws.client("sagemaker").describe_endpoint(EndpointName=self.name)["ProductionVariants"]
        return int(variants[0]["CurrentInstanceCount"])

    def activities(self) -> list[dict[str, Any]]:
        """The endpoint's activities, the latest first."""
        found: list[dict[str, Any]] = self.client.describe_scaling_activities(
            ServiceNamespace="sagemaker", ResourceId=self.target["ResourceId"]
        )["ScalingActivities"]
        return found

    @contextlib.contextmanager
    def load(self, body: bytes = b"x", pause: float = 0.04) -> Iterator[None]:
        """Requests, one after the other, while the block runs. Every one must be answered."""
        client = self.stage.aws.client("sagemaker-runtime")
        done = threading.Event()
        errors: list[Exception] = []

        def ask() -> None:
            while not done.is_set():
                try:
                    client.invoke_endpoint(EndpointName=self.name, Body=body)
                except Exception as error:
                    errors.append(error)
                time.sleep(pause)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            yield
        finally:
            done.set()
            asking.join()
        assert errors == []

    def remove(self) -> None:
        """Deregisters the target and deletes the endpoint."""
        self.client.deregister_scalable_target(**self.target)
        self.stage.aws.client("sagemaker").delete_endpoint(EndpointName=self.name)


def serving(stage: Stage) -> int:
    """Serving processes of the emulator."""
    return sum("serving" in process.cmdline() for process in marked(stage.aws.state))


def test_load_brings_a_second_process_and_silence_takes_it_away(fast: Stage) -> None:
    # Some 20 requests a second are 1,200 a minute: more than 300, and two instances are the most there may be.
    scaled = Scaled(fast, "SageMakerVariantInvocationsPerInstance", 300.0, ScaleOutCooldown=60, ScaleInCooldown=60)
    before = serving(fast)

    with scaled.load():
        wait_for(lambda: scaled.count() == 2, "the second instance", 30)
        assert scaled.alarm(0)["StateValue"] == "ALARM"
    assert serving(fast) == before + 1
    wait_for(lambda: scaled.alarm(0)["StateValue"] == "OK", "the high alarm's end", 15)
    wait_for(lambda: scaled.alarm(1)["StateValue"] == "ALARM", "the low alarm", 40)
    wait_for(lambda: scaled.count() == 1 and len(scaled.activities()) == 2, "the second instance's end", 20)
    wait_for(lambda: scaled.activities()[0]["StatusCode"] == "Successful", "the activity's end")

    assert serving(fast) == before
    smaller, larger = scaled.activities()
    assert larger["Description"] == "Setting desired instance count to 2."
    assert larger["Cause"] == f"monitor alarm {scaled.alarms[0]} in state ALARM triggered policy follow"
    assert smaller["Description"] == "Setting desired instance count to 1."
    assert smaller["StartTime"] >= larger["EndTime"]
    states = fast.aws.client("cloudwatch").describe_alarm_history(
        AlarmName=scaled.alarms[0], HistoryItemType="StateUpdate"
    )
    assert "Alarm updated from ALARM to OK" in [one["HistorySummary"] for one in states["AlarmHistoryItems"]]
    scaled.remove()
    assert fast.aws.client("cloudwatch").describe_alarms(AlarmNames=scaled.alarms)["MetricAlarms"] == []


def test_concurrent_requests_scale_by_their_short_periods_and_a_suspension_and_a_cooldown_are_heeded(
    fast: Stage,
) -> None:
    # A cooldown of an hour lasts a minute here: longer than the test looks on.
    kind = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    scaled = Scaled(fast, kind, 0.3, ScaleInCooldown=3600, ScaleOutCooldown=0)
    suspended = {"DynamicScalingOutSuspended": True}
    scaled.client.register_scalable_target(**scaled.target, MaxCapacity=3, SuspendedState=suspended)

    with scaled.load(b"sleep:0.3", pause=0.0):
        wait_for(lambda: scaled.alarm(0)["StateValue"] == "ALARM", "the high alarm", 20)
        time.sleep(1)
        assert scaled.activities() == []
        scaled.client.register_scalable_target(
            **scaled.target, MinCapacity=2, SuspendedState={"DynamicScalingOutSuspended": False}
        )
        wait_for(lambda: scaled.count() == 3, "two more instances", 20)
    wait_for(lambda: scaled.count() == 2, "the end of one of them", 20)
    scaled.client.register_scalable_target(**scaled.target, MinCapacity=1)
    wait_for(lambda: scaled.alarm(1)["StateValue"] == "ALARM", "the low alarm", 20)
    time.sleep(1)

    assert scaled.count() == 2
    assert [one["StatusCode"] for one in scaled.activities()] == ["Successful", "Successful"]
    scaled.remove()


def test_an_alarm_heeds_its_dimensions_and_returns_to_ok(fast: Stage) -> None:
    client = fast.aws.client("cloudwatch")
    for color in ("red", "blue"):
        client.put_metric_alarm(
            AlarmName=color, Namespace="Test", MetricName="Heat", Statistic="Average", Period=60, EvaluationPeriods=1,
            Threshold=5.0, ComparisonOperator="GreaterThanThreshold",
            Dimensions=[{"Name": "Color", "Value": color}],
        )  # fmt: skip

    def put(color: str, value: float) -> None:
        dimensions = [{"Name": "Color", "Value": color}]
        client.put_metric_data(
            Namespace="Test", MetricData=[{"MetricName": "Heat", "Value": value, "Dimensions": dimensions}]
        )

    def state(color: str) -> str:
        found: str = client.describe_alarms(AlarmNames=[color])["MetricAlarms"][0]["StateValue"]
        return found

    put("red", 9.0)
    put("blue", 1.0)
    wait_for(lambda: state("red") == "ALARM", "the alarm")
    wait_for(lambda: state("blue") == "OK", "the other one")
    put("red", 1.0)
    wait_for(lambda: state("red") == "OK", "the alarm's end")
    wait_for(lambda: state("red") == "INSUFFICIENT_DATA", "silence")
    client.delete_alarms(AlarmNames=["red", "blue"])


def test_what_scaling_reached_and_remembers_outlives_an_emulator_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_AWS_TIME_FACTOR", "60")
    monkeypatch.setenv("LOCAL_AWS_AUTOSAVE", "0.2")
    state = tmp_path / "aws"
    aws = LocalAws(state.resolve(), supervisor.up(state, 0))
    try:
        kind = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
        scaled = Scaled(build_stage(aws), kind, 0.3, DisableScaleIn=True)
        with scaled.load(b"sleep:0.3", pause=0.0):
            wait_for(lambda: any("EndTime" in one for one in scaled.activities()), "the scale-out's end", 20)
        activities, alarm = scaled.activities(), scaled.alarm(0)
        cooldowns = Store(state / "autoscaling.db").table("cooldowns")

        emulator = psutil.Process(aws.info["pid"])
        emulator.kill()
        emulator.wait()
        aws.info = supervisor.up(state, 0)

        assert scaled.activities() == activities
        again = scaled.alarm(0)
        assert [again[name] for name in ("Dimensions", "Threshold")] == [alarm["Dimensions"], alarm["Threshold"]]
        assert [one["out_from"] for one in cooldowns.values()] == [1]
        assert Store(state / "autoscaling.db").table("cooldowns") == cooldowns
        waiter = aws.client("sagemaker").get_waiter("endpoint_in_service")
        waiter.wait(EndpointName=scaled.name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        assert scaled.count() == 2
    finally:
        supervisor.down(state)
    assert list(marked(state.resolve())) == []
