"""What the embedded AWS reads out of log lines as metrics, and what it computes from metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_aws import emf
from local_aws.metric_math import Mathematics, MathError


def line(**changes: Any) -> str:
    directive = {
        "Namespace": "Kennel",
        "Dimensions": [["stack", "service"]],
        "Metrics": [{"Name": "Time", "Unit": "Milliseconds"}],
    }
    whole = {"_aws": {"Timestamp": 1, "CloudWatchMetrics": [directive]}, "stack": "s", "service": "classify"}
    return json.dumps({**whole, "Time": [2.5, 7.0], "request_id": "r-1", **changes})


def test_every_value_of_a_line_is_one_of_its_metric_with_the_lines_dimensions() -> None:
    assert [(one.name, one.value, one.unit) for one in emf.read(line())] == [
        ("Time", 2.5, "Milliseconds"),
        ("Time", 7.0, "Milliseconds"),
    ]
    (single,) = emf.read(line(Time=3))
    assert single == ("Kennel", "Time", 3.0, "Milliseconds", {"stack": "s", "service": "classify"})


@pytest.mark.parametrize(
    "message",
    [
        'say "_aws" and no JSON',
        '{"_aws": 1}',
        '{"_aws": {}}',
        line(Time="fast"),
        line().replace('"service": ', '"s": '),
    ],
)
def test_a_line_that_is_not_of_the_format_is_a_line_and_no_metric(message: str) -> None:
    assert list(emf.read(message)) == []


SERIES = {"asked": {1: 10.0, 2: 4.0, 3: 6.0}, "answered": {1: 5.0, 3: 0.0}, "never": {}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("asked / PERIOD(asked)", {1: 1.0, 2: 0.4, 3: 0.6}),
        ("answered / asked", {1: 0.5, 3: 0.0}),
        ("asked / answered", {1: 2.0}),  # by zero is nothing
        ("2 * (asked - 1) - answered", {1: 13.0, 3: 10.0}),
        ("IF(FILL(answered, 0) > 0, 0, asked)", {1: 0.0, 2: 4.0, 3: 6.0}),
        ("IF(FILL(never, 0) > 0, 0, asked)", {1: 10.0, 2: 4.0, 3: 6.0}),
        ("1000 * 0.5", {1: 500.0, 2: 500.0, 3: 500.0}),
        ("never * 2", {}),
    ],
)
def test_mathematics_goes_period_by_period_and_what_is_missing_stays_missing(
    expression: str, value: dict[int, float]
) -> None:
    mathematics = Mathematics(SERIES, [1, 2, 3], dict.fromkeys(SERIES, 10.0))
    assert mathematics.evaluate(expression) == pytest.approx(value)


@pytest.mark.parametrize("expression", ["ANOMALY_DETECTION_BAND(asked)", "unknown + 1", "asked +", "__import__('os')"])
def test_what_is_not_computed_here_is_refused_by_name(expression: str) -> None:
    with pytest.raises(MathError, match=r"ANOMALY|unknown|asked|__import__"):
        Mathematics(SERIES, [1, 2, 3], {}).evaluate(expression)
