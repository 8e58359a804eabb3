"""CloudWatch metrics, from inside the process, in little memory, and on disk.

MiniStack keeps one record per data point for two weeks. A load test makes millions, so equal values of ten seconds
share one record with a count, a value keeps three significant digits (an error below 0.5 %), and all points together
have a bound. What PutMetricData was answered for is on disk before the answer; the local AWS's own, with their period.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ministack import app

from local_aws.journal import Journal
from local_aws.settings import time_factor

PERIOD_SECONDS = 10 / time_factor()
# As they lie on disk, about 100,000: of all points that the local AWS counts, and of all that came with PutMetricData.
BYTES_MAX = 16_000_000
# What MiniStack saves of the service beside the points.
_SAVED = ("alarms", "composite_alarms", "composite_triggers", "alarm_history", "dashboards", "resource_tags")

_lock = threading.Lock()
_open: dict[tuple[Any, ...], dict[str, Any]] = {}
_open_period = 0
_journals: dict[str, Journal] = {}  # "own" and "put", once there is a disk to write to
_at_work: Counter[str] = Counter()


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def put(namespace: str, name: str, value: float, unit: str, dimensions: dict[str, str]) -> None:
    """Records one value of a metric now. Any thread."""
    global _open_period  # noqa: PLW0603 - the points of the running period, shared by every caller
    period = int(time.time() / PERIOD_SECONDS)
    point_value = _rounded(value)
    key = (namespace, name, tuple(sorted(dimensions.items())), point_value)
    with _lock:
        if period != _open_period:
            _close()
            _open_period = period
        point = _open.get(key)
        if point is not None:
            point["Count"] += 1.0
            return
        point = {"Timestamp": float(period * PERIOD_SECONDS), "Value": point_value, "Count": 1.0, "Unit": unit}
        _open[key] = _add(namespace, name, dimensions, point)


def put_api(dimensions: dict[str, str], method: dict[str, str] | None, status: int, spent_ms: float) -> None:
    """AWS/ApiGateway's metrics of one request, by API and stage, and by `method`, too, where the stage has it so."""
    counts = {"Count": 1.0, "4XXError": float(400 <= status < 500), "5XXError": float(status >= 500)}
    for where in (dimensions, {**dimensions, **method}) if method else (dimensions,):
        for name, value in counts.items():
            put("AWS/ApiGateway", name, value, "Count", where)
        put("AWS/ApiGateway", "Latency", spent_ms, "Milliseconds", where)


def put_execution(state_machine_arn: str, event: str) -> None:
    """AWS/States' metric of an execution that starts or ends, by the event's name in its history."""
    name = event.replace("Execution", "Executions", 1)
    put("AWS/States", name, 1.0, "Count", {"StateMachineArn": state_machine_arn})


@contextlib.contextmanager
def at_work(function: str) -> Iterator[None]:
    """AWS/Lambda's count of calls at once, around one of them."""
    with _lock:
        _at_work[function] += 1
        now = _at_work[function]
    put("AWS/Lambda", "ConcurrentExecutions", float(now), "Count", {"FunctionName": function})
    try:
        yield
    finally:
        with _lock:
            _at_work[function] -= 1


def put_lambda(function: str, duration_ms: float, error: bool, throttle: bool) -> None:
    """AWS/Lambda's metrics of one invocation; a throttled one counts as no invocation, as on AWS."""
    dimensions = {"FunctionName": function}
    put("AWS/Lambda", "Throttles", float(throttle), "Count", dimensions)
    if throttle:
        return
    put("AWS/Lambda", "Invocations", 1.0, "Count", dimensions)
    put("AWS/Lambda", "Errors", float(error), "Count", dimensions)
    put("AWS/Lambda", "Duration", duration_ms, "Milliseconds", dimensions)


def _add(namespace: str, name: str, dimensions: dict[str, str], point: dict[str, Any]) -> dict[str, Any]:
    """Stores a point; those of one metric share their dimensions."""
    service = app._get_module("cloudwatch")
    points = service._metric_bucket((namespace, name, service._dims_key(dimensions)))
    point["Dimensions"] = points[0]["Dimensions"] if points else dict(dimensions)
    points.append(point)
    return point


def _close() -> None:
    """The running period is over: what it was to become is known, and goes to disk."""
    for (namespace, name, dimensions, _), point in _open.items():
        _write("own", namespace, name, dict(dimensions), point)
    _open.clear()


# On disk


def restore(folder: Path) -> None:
    """After MiniStack has loaded its alarms: puts the points back that were taken before, and keeps those to come."""
    for whose in ("own", "put"):
        journal = Journal(folder / whose, BYTES_MAX, _forget)
        for namespace, name, dimensions, point in journal.replay():
            _add(namespace, name, dimensions, point)
        _journals[whose] = journal


def save() -> None:
    """An orderly end: the running period's points go to disk as well."""
    with _lock:
        _close()


def store_datum(original: Callable[..., None], service: Any) -> Callable[..., None]:
    """One datum of PutMetricData, which is on disk before the answer."""

    def wrapped(namespace: str, name: str, dims: dict[str, str], *rest: Any) -> None:
        points = service._metric_bucket((namespace, name, service._dims_key(dims)))
        before = len(points)
        original(namespace, name, dims, *rest)
        for point in points[before:]:
            _write("put", namespace, name, dims, point)

    return wrapped


def state(service: Any) -> dict[str, Any]:
    """What MiniStack saves of the service, without the points."""
    return {name: copy.deepcopy(getattr(service, f"_{name}")) for name in _SAVED}


def _write(whose: str, namespace: str, name: str, dimensions: dict[str, str], point: dict[str, Any]) -> None:
    if whose in _journals:
        told = {member: value for member, value in point.items() if member != "Dimensions"}
        _journals[whose].append([namespace, name, dimensions, told])


def _forget(records: Iterator[Any]) -> None:
    """Takes the points of a piece that goes out of memory, too: they are the oldest of their metrics."""
    service = app._get_module("cloudwatch")
    gone = Counter((namespace, name, service._dims_key(dimensions)) for namespace, name, dimensions, _ in records)
    for key, count in gone.items():
        points = service._metrics.get(key)
        if points is not None:
            del points[:count]
            if not points:
                service._metrics.pop(key, None)
