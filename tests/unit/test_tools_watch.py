"""tools.watch: the deployed dashboard in a terminal, without one, and without a stack."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tools import watch
from tools.stack import Stack

WHERE = ["ApiName", "kennel-api", "Stage", "v1"]
BODY = {
    "widgets": [
        {
            "type": "metric",
            "properties": {
                "title": "Requests a second",
                "annotations": {"horizontal": [{"label": "target", "value": 50}]},
                "metrics": [
                    ["AWS/ApiGateway", "Count", *WHERE, {"stat": "SampleCount", "id": "asked", "visible": False}],
                    [{"expression": "asked / PERIOD(asked)", "id": "rate", "label": "requests"}],
                    ["AWS/ApiGateway", "Latency", *WHERE, {"stat": "p99", "label": "slowest"}],
                ],
            },
        },
        {"type": "alarm", "properties": {"alarms": ["arn:aws:cloudwatch:us-east-1:000000000000:alarm:kennel-errors"]}},
    ]
}


class CloudWatch:
    """Answers each query with what `values` has for its label, in the last period and the one before."""

    def __init__(self, values: dict[str, list[float]], state: str = "OK") -> None:
        self.values, self.state = values, state
        self.asked: list[dict[str, Any]] = []

    def get_dashboard(self, **_: str) -> dict[str, str]:
        return {"DashboardBody": json.dumps(BODY)}

    def get_paginator(self, operation: str) -> CloudWatch:
        assert operation == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        self.asked.append(request)
        end = request["EndTime"].timestamp()
        results = [
            {
                "Id": query["Id"],
                "Timestamps": [datetime.fromtimestamp(end - 10 * (n + 1), UTC) for n in range(len(found))][::-1],
                "Values": found,
            }
            for query in request["MetricDataQueries"]
            if query["ReturnData"] and (found := self.values.get(query["Label"], [])) is not None
        ]
        return [{"MetricDataResults": results}]

    def describe_alarms(self, **request: list[str]) -> dict[str, Any]:
        return {"MetricAlarms": [{"AlarmName": name, "StateValue": self.state} for name in request["AlarmNames"]]}


def test_the_dashboards_metrics_are_asked_for_under_ids_that_no_other_widget_has() -> None:
    asked, rate, latency = watch.parsed(BODY, 10).queries
    assert asked["MetricStat"] == {
        "Metric": {
            "Namespace": "AWS/ApiGateway",
            "MetricName": "Count",
            "Dimensions": [{"Name": "ApiName", "Value": "kennel-api"}, {"Name": "Stage", "Value": "v1"}],
        },
        "Period": 10,
        "Stat": "SampleCount",
    }
    assert (asked["ReturnData"], rate["Expression"]) == (False, "w0_asked / PERIOD(w0_asked)")
    assert (latency["Id"], latency["Label"]) == ("w0_2", "slowest")


def test_a_look_is_one_line_without_a_terminal_and_says_only_what_there_is() -> None:
    client = CloudWatch({"requests": [2.0, 12.25]}, "ALARM")
    dashboard = watch.read_dashboard(client, "kennel", 10)
    line = watch.line(dashboard, watch.look(client, dashboard, 10))
    assert line.partition(" | ")[2] == "Requests a second: requests 12.2 | alarms: kennel-errors"


def test_the_screen_shows_figures_bars_marks_and_alarms() -> None:
    client = CloudWatch({"requests": [0.0, 4.0, 8.0], "slowest": []})
    dashboard = watch.read_dashboard(client, "kennel", 10)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(watch.screen(dashboard, watch.look(client, dashboard, 10), 10, 120))
    shown = console.export_text()
    for text in ("Requests a second", "▁▅█", "target", "50", "kennel-errors", "ok"):
        assert text in shown, text
    assert any("slowest" in row and " - " in row for row in shown.splitlines())


def test_what_was_seen_some_periods_ago_is_no_figure_of_now() -> None:
    client = CloudWatch({"requests": [5.0]})
    dashboard = watch.read_dashboard(client, "kennel", 10)
    found = watch.look(client, dashboard, 10)
    assert "requests 5" in watch.line(dashboard, found)
    (rate,) = [one for one in dashboard.graphs[0].series if one.label == "requests"]
    later = watch.Look(found.at, {rate.id: [*found.values[rate.id], None, None, None]}, found.states)
    assert "requests" not in watch.line(dashboard, later)


def test_ctrl_c_ends_it_cleanly_and_times_ends_it_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(watch, "STACK_FILE", tmp_path / "stack.json")
    Stack("kennel", "us-east-1", "http://127.0.0.1:1", "", "", "", "", "kennel", {}).save(tmp_path / "stack.json")
    monkeypatch.setattr("tools.watch.boto3.client", lambda service: CloudWatch({"requests": [1.0]}))
    monkeypatch.setattr("tools.watch.os.environ", {})

    assert watch.main(["--times", "2", "--every", "0.01"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.watch.time.sleep", interrupted)
    assert watch.main([]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_without_a_stack_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(watch, "STACK_FILE", tmp_path / "stack.json")
    assert watch.main([]) == 1
    assert "make up" in capsys.readouterr().err
