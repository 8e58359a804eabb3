"""The alarm of drift on the deployed stack: the real function on the endpoint's log, its metric, the alarm's state."""

from __future__ import annotations

import pytest

from tests.functional.conftest import wait_for

from . import sampled
from .quick import Quick

pytestmark = pytest.mark.slow


def test_the_alarm_is_silent_on_an_unshifted_stream_and_fires_on_a_shifted_one(quick: Quick) -> None:
    # given a model in service, and samples of pictures like those it was validated on
    quick.serve()

    def state() -> str:
        found = quick.client("cloudwatch").describe_alarms(AlarmNames=[f"{quick.stack.name}-drift"])
        return str(found["MetricAlarms"][0]["StateValue"])

    sampled.put(quick, 60)
    # when the hour is watched
    unshifted = sampled.watch(quick)
    # then the alarm hears of it and stays silent
    assert unshifted["event"] == "compared" and unshifted["drift"] < 1, unshifted
    wait_for(lambda: state() == "OK", "an alarm that knows its metric")

    # and when darker ones come, it fires, and the function says why
    sampled.put(quick, 120, brightness=0.3)
    shifted = sampled.watch(quick)
    assert shifted["drift"] > 1
    assert shifted["shifted"]["features"].startswith("brightness: mean -1.3")
    wait_for(lambda: state() == "ALARM", "the alarm")


def test_the_rule_asks_the_function_every_hour(quick: Quick) -> None:
    client = quick.client("events")
    (rule,) = (one for one in client.list_rules()["Rules"] if "watcher of drift" in one.get("Description", ""))
    (target,) = client.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert rule["ScheduleExpression"] == "rate(1 hour)"
    assert "watch" in target["Arn"].lower()
