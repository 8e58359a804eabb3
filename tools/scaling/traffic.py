"""Traffic: requests per second, in steps of ten seconds; made up, from a CSV file, or from CloudWatch."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP_SECONDS = 10.0
FORMS = """steady:RATE[:HOURS]            the same all the time (2 hours)
daily:LOW:HIGH                 a day, lowest at four in the morning, highest at four in the afternoon
burst:LOW:HIGH[:MINUTES]       HIGH for so long (20 minutes) after half an hour, then an hour of LOW
csv:FILE                       columns time (seconds, or ISO 8601) and requests (until the next row's time)
cloudwatch:ENDPOINT[:HOURS]    what a SageMaker endpoint was asked in the last 24 hours, or so many"""


class TrafficError(Exception):
    """A trace cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Trace:
    """`rates`: requests per second, one for each STEP_SECONDS."""

    name: str
    rates: NDArray[np.float64]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.rates) * STEP_SECONDS


def trace(form: str) -> Trace:
    """A trace from one of FORMS. Raises TrafficError."""
    kind, _, rest = form.partition(":")
    if kind == "csv":
        return _from_csv(Path(rest))
    if kind == "cloudwatch":
        return _from_cloudwatch(*_endpoint(rest))
    made: dict[str, Callable[..., NDArray[np.float64]]] = {"steady": steady, "daily": daily, "burst": burst}
    try:
        values = [float(value) for value in rest.split(":")]
        rates = made[kind](*values)
    except (KeyError, ValueError, TypeError):
        raise TrafficError(f"{form!r} is no traffic. It is one of:\n{FORMS}") from None
    if not len(rates) or not np.isfinite(rates).all() or rates.min() < 0:
        raise TrafficError(f"{form!r}: rates are numbers from 0 on, and a trace lasts")
    said = " to ".join(f"{value:g}" for value in values[: 1 if kind == "steady" else 2])
    return Trace(f"{kind} {said} a second", rates)


def steady(rate: float, hours: float = 2.0) -> NDArray[np.float64]:
    """`rate` all the time."""
    return np.full(int(hours * 3600 / STEP_SECONDS), rate)


def daily(low: float, high: float) -> NDArray[np.float64]:
    """A day from midnight to midnight."""
    hours = np.arange(0, 24, STEP_SECONDS / 3600)
    height = (1 - np.cos((hours - 4) * math.tau / 24)) / 2
    rates: NDArray[np.float64] = low + (high - low) * height**2
    return rates


def burst(low: float, high: float, minutes: float = 20.0) -> NDArray[np.float64]:
    """`low`, suddenly `high`, suddenly `low` again."""
    parts = ((low, 1800.0), (high, minutes * 60), (low, 3600.0))
    return np.concatenate([np.full(int(seconds / STEP_SECONDS), rate) for rate, seconds in parts])


def _from_csv(path: Path) -> Trace:
    try:
        with path.open(newline="") as file:
            rows = [(_seconds(row["time"]), float(row["requests"])) for row in csv.DictReader(file)]
    except OSError as error:
        raise TrafficError(f"{path}: {error.strerror}") from None
    except (KeyError, ValueError, TypeError):
        raise TrafficError(f"{path}: it needs the columns time (seconds, or ISO 8601) and requests (numbers)") from None
    return Trace(path.stem, _resampled(rows, str(path)))


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def _resampled(rows: list[tuple[float, float]], what: str) -> NDArray[np.float64]:
    """Counts from row to row as rates in steps; the last row lasts as long as the one before it."""
    if len(rows) < 2 or any(later <= earlier for (earlier, _), (later, _) in pairwise(rows)):
        raise TrafficError(f"{what}: it needs two rows or more, in the order of time")
    times = np.array([time for time, _ in rows])
    times = np.append(times, 2 * times[-1] - times[-2]) - times[0]
    so_far = np.concatenate([[0.0], np.cumsum([count for _, count in rows])])
    if (np.diff(so_far) < 0).any():
        raise TrafficError(f"{what}: requests are numbers from 0 on")
    edges = np.arange(0.0, times[-1] + 1e-9, STEP_SECONDS)
    if len(edges) < 2:
        raise TrafficError(f"{what}: it lasts less than {STEP_SECONDS:g} seconds")
    rates: NDArray[np.float64] = np.diff(np.interp(edges, times, so_far)) / STEP_SECONDS
    return rates


def _endpoint(text: str) -> tuple[str, float]:
    name, _, hours = text.partition(":")
    try:
        return name, float(hours or 24)
    except ValueError:
        raise TrafficError(f"cloudwatch:{text}: {hours!r} is no number of hours") from None


def _from_cloudwatch(endpoint: str, hours: float, client: Any = None) -> Trace:
    """The endpoint's Invocations, minute by minute. `client`: CloudWatch's; without it the account's own."""
    if client is None:
        import boto3  # noqa: PLC0415 - not needed for any other traffic

        client = boto3.client("cloudwatch")
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    start = end - timedelta(hours=hours)
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "primary"}]
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions}
    query = {"Id": "asked", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    found: dict[float, float] = {}
    pages = client.get_paginator("get_metric_data").paginate(MetricDataQueries=[query], StartTime=start, EndTime=end)
    for result in (one for page in pages for one in page["MetricDataResults"]):
        found |= dict(zip([time.timestamp() for time in result["Timestamps"]], result["Values"], strict=True))
    if not found:
        raise TrafficError(f"CloudWatch has no invocations of the endpoint {endpoint!r} in the last {hours:g} hours")
    minutes = [start.timestamp() + 60 * number for number in range(int(hours * 60))]
    return Trace(f"{endpoint}, {hours:g} hours", _resampled([(one, found.get(one, 0.0)) for one in minutes], endpoint))
