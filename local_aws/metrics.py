"""CloudWatch metrics, from inside the process, in little memory.

MiniStack keeps one record per data point for two weeks. A load test makes millions, so equal values of ten seconds
share one record with a count, and a value keeps three significant digits (an error below 0.5 %).
"""

from __future__ import annotations

import threading
import time
from typing import Any

from ministack import app

from local_aws.settings import time_factor

PERIOD_SECONDS = 10 / time_factor()

_lock = threading.Lock()
_open: dict[tuple[Any, ...], dict[str, Any]] = {}
_open_period = 0


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
            _open.clear()
            _open_period = period
        point = _open.get(key)
        if point is not None:
            point["Count"] += 1.0
            return
        point = {
            "Timestamp": float(period * PERIOD_SECONDS),
            "Value": point_value,
            "Count": 1.0,
            "Unit": unit,
            "Dimensions": dict(dimensions),
        }
        _open[key] = point
        service = app._get_module("cloudwatch")
        service._metric_bucket((namespace, name, service._dims_key(dimensions))).append(point)


def put_lambda(function: str, duration_ms: float, error: bool, throttle: bool) -> None:
    """AWS/Lambda's metrics of one invocation; a throttled one counts as no invocation, as on AWS."""
    dimensions = {"FunctionName": function}
    put("AWS/Lambda", "Throttles", float(throttle), "Count", dimensions)
    if throttle:
        return
    put("AWS/Lambda", "Invocations", 1.0, "Count", dimensions)
    put("AWS/Lambda", "Errors", float(error), "Count", dimensions)
    put("AWS/Lambda", "Duration", duration_ms, "Milliseconds", dimensions)
