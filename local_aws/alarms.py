"""CloudWatch's metric alarms over MiniStack's store: by dimensions, period by period, there and back again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch as service

from local_aws.alarm_logic import EXTRA_PERIODS, breaches, judge
from local_aws.metric_math import Mathematics
from local_aws.settings import time_factor

Alarm = dict[str, Any]
# Whole seconds differ by rounding from multiples of a period that the time factor made a fraction.
_TOLERANCE = 1e-4
_COUNTS = ("Sum", "SampleCount")


def seconds_between_evaluations(alarm: Alarm) -> float:
    """Once a minute, or every period of a high-resolution alarm."""
    return min(60, _period(alarm)) / time_factor()


def _period(alarm: Alarm) -> int:
    """The seconds of one datapoint, as the alarm says."""
    periods = [one["MetricStat"]["Period"] for one in alarm.get("Metrics") or [] if one.get("MetricStat")]
    return int(max(periods, default=alarm.get("Period") or 60))


def datapoints(alarm: Alarm, now: float) -> list[float | None]:
    """The alarm's statistic over its last periods that are complete, oldest first; None where there is no data.

    Under a time factor a period is shorter, and what is counted in it is brought back to the whole period: a threshold
    of so many a minute keeps its meaning.
    """
    step = seconds_between_evaluations(alarm)
    end = math.floor(now / step + _TOLERANCE) * step
    count = int(alarm.get("EvaluationPeriods") or 1) + EXTRA_PERIODS
    if not alarm.get("Metrics"):
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        return _values({**alarm, "Period": _period(alarm)}, statistic, end, count)
    series: dict[str, dict[int, float]] = {}
    seconds: dict[str, float] = {}
    for query in [one for one in alarm["Metrics"] if one.get("MetricStat")]:
        stat = query["MetricStat"]
        values = _values({**stat["Metric"], "Period": stat["Period"]}, stat["Stat"], end, count)
        series[query["Id"]] = {slot: value for slot, value in enumerate(values) if value is not None}
        seconds[query["Id"]] = float(stat["Period"])
    (asked,) = (one for one in alarm["Metrics"] if one.get("ReturnData", True) not in (False, "false"))
    found = Mathematics(series, range(count), seconds).evaluate(asked.get("Expression") or asked["Id"])
    return [found.get(slot) for slot in range(count)]


def _values(metric: Alarm, statistic: str, end: float, count: int) -> list[float | None]:
    """A metric's statistic in the `count` periods before `end`."""
    factor = time_factor()
    period = int(metric["Period"]) / factor
    dimensions = service._dims_from_list(metric.get("Dimensions") or [])
    stored = service._metrics.get((metric["Namespace"], metric["MetricName"], service._dims_key(dimensions))) or []
    slots: list[list[Any]] = [[] for _ in range(count)]
    for point in list(stored):
        slot = math.floor((point["Timestamp"] - end) / period + _TOLERANCE)
        if -count <= slot < 0 and metric.get("Unit") in (None, "", point.get("Unit")):
            slots[slot].append(point)
    scale = factor if statistic in _COUNTS else 1.0
    values: list[float | None] = []
    for points in slots:
        found = service._stat_value(service._calc_stats(points), statistic, points) if points else None
        values.append(None if found is None else found * scale)
    return values


def evaluate(alarm: Alarm, now: float | None = None) -> None:
    """Brings the alarm into the state its datapoints call for, with history, actions and composite alarms."""
    if not alarm.get("Metrics") and not alarm.get("MetricName"):
        return
    values = datapoints(alarm, time.time() if now is None else now)
    threshold = float(alarm.get("Threshold") or 0)
    operator = alarm.get("ComparisonOperator") or ""
    evaluated = int(alarm.get("EvaluationPeriods") or 1)
    needed = int(alarm.get("DatapointsToAlarm") or evaluated)
    marks = [None if value is None else breaches(operator, value, threshold) for value in values]
    state = judge(marks, evaluated, needed, alarm.get("TreatMissingData") or "missing")
    before = alarm["StateValue"]
    if state is None or state == before:
        return
    recent = [value for value in values if value is not None][-evaluated:]
    bad = sum(mark for mark in marks if mark is not None)
    reason = (
        f"Threshold Crossed: {bad} out of the last {len(recent)} datapoints {recent} breach {operator} ({threshold}); "
        f"{needed} are needed for an alarm."
        if recent
        else "Insufficient Data: no datapoints were received."
    )
    alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    service._record_history(alarm["AlarmName"], before, state, reason)
    service._dispatch_alarm_actions(alarm, before, state, reason)
    service._evaluate_parent_alarms(alarm)


def metric_alarms() -> list[Alarm]:
    """Every metric alarm there is."""
    return list(service._alarms.values())


def put(request: dict[str, Any]) -> None:
    """PutMetricAlarm from inside the process."""
    status, _, body = service._put_metric_alarm({}, request, False, True)
    if status != 200:
        raise ValueError(body.decode())


def delete(names: list[str]) -> None:
    """DeleteAlarms from inside the process."""
    service._delete_alarms({}, {"AlarmNames": names}, False, True)


def get(name: str) -> Alarm | None:
    """The metric alarm of that name."""
    found: Alarm | None = service._alarms.get(name)
    return found


def provisioner(handlers: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation's handlers of AWS::CloudWatch::Alarm, which refuse metric mathematics, with it."""

    def plain(props: Alarm) -> Alarm:
        """The alarm on a metric that nobody has, until it gets its own."""
        bare = {name: value for name, value in props.items() if name != "Metrics"}
        return {**bare, "Namespace": "local_aws", "MetricName": "mathematics"} if props.get("Metrics") else props

    def keep(name: str, props: Alarm) -> None:
        alarm = service._alarms[name]
        if props.get("Metrics"):
            alarm["Metrics"] = props["Metrics"]
            for unused in ("Namespace", "MetricName", "Statistic", "Period"):
                alarm.pop(unused, None)

    def create(logical_id: str, props: Alarm, stack_name: str) -> Any:
        made = handlers["create"](logical_id, plain(props), stack_name)
        keep(made[0], props)
        return made

    def update(physical_id: str, old_props: Alarm, new_props: Alarm, stack_name: str, logical_id: str) -> Any:
        made = handlers["update"](physical_id, plain(old_props), plain(new_props), stack_name, logical_id)
        keep(made[0], new_props)
        return made

    return {**handlers, "create": create, "update": update}


def evaluate_and(tell: Callable[[], None]) -> Callable[[Alarm], None]:
    """In place of MiniStack's own evaluation, at every change of an alarm; `tell` learns that there are alarms."""

    def changed(alarm: Alarm) -> None:
        evaluate(alarm)
        tell()

    return changed
