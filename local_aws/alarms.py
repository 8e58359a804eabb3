"""CloudWatch's metric alarms over MiniStack's store: by dimensions, period by period, there and back again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ministack.services import cloudwatch as service

from local_aws.alarm_logic import EXTRA_PERIODS, breaches, judge
from local_aws.settings import time_factor

Alarm = dict[str, Any]
# Whole seconds differ by rounding from multiples of a period that the time factor made a fraction.
_TOLERANCE = 1e-4
_COUNTS = ("Sum", "SampleCount")


def seconds_between_evaluations(alarm: Alarm) -> float:
    """Once a minute, or every period of a high-resolution alarm."""
    return min(60, int(alarm.get("Period") or 60)) / time_factor()


def datapoints(alarm: Alarm, now: float) -> list[float | None]:
    """The alarm's statistic over its last periods that are complete, oldest first; None where there is no data.

    Under a time factor a period is shorter, and what is counted in it is brought back to the whole period: a threshold
    of so many a minute keeps its meaning.
    """
    factor = time_factor()
    period = int(alarm.get("Period") or 60) / factor
    step = seconds_between_evaluations(alarm)
    end = math.floor(now / step + _TOLERANCE) * step
    count = int(alarm.get("EvaluationPeriods") or 1) + EXTRA_PERIODS
    dimensions = service._dims_from_list(alarm.get("Dimensions") or [])
    stored = service._metrics.get((alarm["Namespace"], alarm["MetricName"], service._dims_key(dimensions))) or []
    slots: list[list[Any]] = [[] for _ in range(count)]
    for point in list(stored):
        slot = math.floor((point["Timestamp"] - end) / period + _TOLERANCE)
        if -count <= slot < 0 and alarm.get("Unit") in (None, "", point.get("Unit")):
            slots[slot].append(point)
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    scale = factor if statistic in _COUNTS else 1.0
    values: list[float | None] = []
    for points in slots:
        found = service._stat_value(service._calc_stats(points), statistic, points) if points else None
        values.append(None if found is None else found * scale)
    return values


def evaluate(alarm: Alarm, now: float | None = None) -> None:
    """Brings the alarm into the state its datapoints call for, with history, actions and composite alarms."""
    if not alarm.get("MetricName") or not alarm.get("Namespace"):
        return  # metric mathematics: MiniStack keeps such an alarm and does not judge it
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


def evaluate_and(tell: Callable[[], None]) -> Callable[[Alarm], None]:
    """In place of MiniStack's own evaluation, at every change of an alarm; `tell` learns that there are alarms."""

    def changed(alarm: Alarm) -> None:
        evaluate(alarm)
        tell()

    return changed
