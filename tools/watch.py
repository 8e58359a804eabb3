"""The stack's dashboard, live in the terminal: `make watch`.

python -m tools.watch                      the stack that `make up` left running, every second
python -m tools.watch --stack kennel-dev   one on AWS (or where AWS_ENDPOINT_URL points), every half minute

It reads the dashboard that the stack deployed and shows the same figures. Ctrl-C ends it. Without a terminal it prints
a line at a time. On AWS every look is paid for: about 40 metrics at $0.01 a thousand.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tools.demo import STACK_FILE
from tools.stack import Stack, StackError, local_environment

BARS = "▁▂▃▄▅▆▇█"
PERIODS = 30  # as many as are asked for
DRAWN = 12
RECENT = 3  # a figure is the latest of so many: metrics of AWS come some minutes late
PANEL_WIDTH = 52
LABEL_WIDTH = 27
# The embedded AWS keeps points by the second when it is quickened; AWS keeps those of its services by the minute.
LOCAL_EVERY, LOCAL_PERIOD = 1.0, 5
AWS_EVERY, AWS_PERIOD = 30.0, 60
STATES = {"OK": "green", "ALARM": "bold red", "INSUFFICIENT_DATA": "yellow"}


@dataclass(frozen=True)
class Series:
    """One line of a graph: the id of its query, and what it is called."""

    id: str
    label: str


@dataclass(frozen=True)
class Graph:
    """One widget of the dashboard: its title, what it shows, and the lines drawn across it (target, limits)."""

    title: str
    series: tuple[Series, ...]
    marks: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Dashboard:
    """A dashboard, as far as it is shown here: graphs, how their data is asked for, and names of alarms."""

    graphs: tuple[Graph, ...]
    queries: tuple[dict[str, Any], ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """What one look at CloudWatch found: values by query (oldest first, None: no data), states by alarm."""

    at: datetime
    values: Mapping[str, Sequence[float | None]]
    states: Mapping[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when it is ended by Ctrl-C or after --times, 1 with a sentence on what to do."""
    given = _parser().parse_args(arguments)
    try:
        local = _point_at(given.stack)
        every = given.every or (LOCAL_EVERY if local else AWS_EVERY)
        period = given.period or (LOCAL_PERIOD if local else AWS_PERIOD)
        client = boto3.client("cloudwatch")
        dashboard = read_dashboard(client, given.stack or Stack.load(STACK_FILE).name, period)
        watch(client, dashboard, period, every, given.times)
    except KeyboardInterrupt:
        return 0
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"error: CloudWatch cannot be asked ({error}); is the stack still up?", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tools.watch", description=__doc__, formatter_class=shown)
    parser.add_argument("--stack", help="a stack on AWS (default: the one that `make up` left running)")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="between looks (1 locally, 30 on AWS)")
    parser.add_argument("--period", type=int, metavar="SECONDS", help="that one figure is of (5 locally, 60 on AWS)")
    parser.add_argument("--times", type=int, default=0, metavar="N", help="end after so many looks")
    return parser


def _point_at(stack: str | None) -> bool:
    """Points AWS's clients at what is asked for; whether that is an embedded AWS. Raises StackError."""
    if stack is None:
        running = Stack.load(STACK_FILE)
        environment = local_environment(running.endpoint_url or "", running.region, os.environ)
        os.environ.clear()
        os.environ.update(environment)
    return "AWS_ENDPOINT_URL" in os.environ


def read_dashboard(client: Any, name: str, period: int) -> Dashboard:
    """The stack's dashboard, each of its figures of `period` seconds. Raises StackError where there is none."""
    try:
        body = client.get_dashboard(DashboardName=name)["DashboardBody"]
    except ClientError as error:
        message = f"stack {name!r} has no dashboard: deploy it with Monitoring=FULL ({error})"
        raise StackError(message) from error
    return parsed(json.loads(body), period)


def parsed(body: Mapping[str, Any], period: int) -> Dashboard:
    """A dashboard's body. Metrics are as template.yaml has them: written out, the way to show them last."""
    graphs: list[Graph] = []
    queries: list[dict[str, Any]] = []
    alarms: list[str] = []
    for number, widget in enumerate(body["widgets"]):
        properties = widget["properties"]
        if widget["type"] == "alarm":
            alarms += [arn.partition(":alarm:")[2] for arn in properties["alarms"]]
            continue
        asked = list(_queries(properties["metrics"], f"w{number}", period))
        queries += asked
        marks = properties.get("annotations", {}).get("horizontal", [])
        graphs.append(
            Graph(
                properties["title"],
                tuple(Series(one["Id"], one["Label"]) for one in asked if one["ReturnData"]),
                tuple((mark["label"], float(mark["value"])) for mark in marks),
            )
        )
    return Dashboard(tuple(graphs), tuple(queries), tuple(alarms))


def _queries(metrics: Sequence[Any], prefix: str, period: int) -> Iterator[dict[str, Any]]:
    """GetMetricData's queries of one widget, with ids that no other widget has."""
    own = {metric[-1].get("id"): f"{prefix}_{metric[-1].get('id')}" for metric in metrics if metric[-1].get("id")}
    for number, (*where, shown) in enumerate(metrics):
        query: dict[str, Any] = {
            "Id": own.get(shown.get("id"), f"{prefix}_{number}"),
            "Label": shown.get("label", ""),
            "ReturnData": shown.get("visible", True),
        }
        if "expression" in shown:
            query["Expression"] = re.sub(r"[a-z]\w*", lambda word: own.get(word[0], word[0]), shown["expression"])
        else:
            namespace, name, *pairs = where
            dimensions = [{"Name": key, "Value": value} for key, value in zip(pairs[::2], pairs[1::2], strict=True)]
            metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
            query["MetricStat"] = {"Metric": metric, "Period": period, "Stat": shown["stat"]}
        yield query


def look(client: Any, dashboard: Dashboard, period: int) -> Look:
    """Asks CloudWatch for all figures of the last PERIODS whole periods."""
    now = time.time()
    end = now // period * period  # the period that runs has not all its data yet
    values: dict[str, list[float | None]] = {}
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=list(dashboard.queries),
        StartTime=datetime.fromtimestamp(end - PERIODS * period, UTC),
        EndTime=datetime.fromtimestamp(end, UTC),
        ScanBy="TimestampAscending",
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            spread = values.setdefault(result["Id"], [None] * PERIODS)
            for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                spread[round((at.timestamp() - end) / period)] = value
    found = client.describe_alarms(AlarmNames=list(dashboard.alarms))["MetricAlarms"] if dashboard.alarms else []
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}
    return Look(datetime.fromtimestamp(now).astimezone(), values, states)


def watch(client: Any, dashboard: Dashboard, period: int, every: float, times: int) -> None:
    """Shows look after look, `times` of them (0: until Ctrl-C)."""
    console = Console()
    looks = _looks(client, dashboard, period, every, times)
    if not console.is_terminal:
        for one in looks:
            console.print(line(dashboard, one), soft_wrap=True, highlight=False, markup=False)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for one in looks:
            live.update(screen(dashboard, one, period, console.width), refresh=True)


def _looks(client: Any, dashboard: Dashboard, period: int, every: float, times: int) -> Iterator[Look]:
    done = 0
    while not times or done < times:
        began = time.monotonic()
        yield look(client, dashboard, period)
        done += 1
        if done != times:
            time.sleep(max(0.0, every - (time.monotonic() - began)))


def line(dashboard: Dashboard, found: Look) -> str:
    """One look as one line: every figure that has a value, and the alarms that are on."""
    parts = [found.at.strftime("%H:%M:%S")]
    for graph in dashboard.graphs:
        figures = [f"{one.label} {number(value)}" for one in graph.series if (value := _latest(found, one)) is not None]
        if figures:
            parts.append(f"{graph.title}: {', '.join(figures)}")
    return " | ".join([*parts, f"alarms: {_ringing(found)}"])


def _ringing(found: Look) -> str:
    return ", ".join(name for name, state in found.states.items() if state == "ALARM") or "none"


def screen(dashboard: Dashboard, found: Look, period: int, width: int) -> RenderableType:
    """One look as a screen of panels."""
    head = Text(
        f"{found.at:%H:%M:%S}  alarms: {_ringing(found)}  (figures are of {period} s, bars of {period * DRAWN} s; "
        "Ctrl-C ends)"
    )
    panels = [_panel(graph, found) for graph in dashboard.graphs]
    if dashboard.alarms:
        panels.append(Panel(_alarms(dashboard, found), title="Alarms", width=PANEL_WIDTH))
    return Group(head, Columns(panels, width=min(PANEL_WIDTH, width)))


def _panel(graph: Graph, found: Look) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH, no_wrap=True, overflow="ellipsis")
    table.add_column(width=7, justify="right")
    table.add_column(no_wrap=True, style="cyan")
    for series in graph.series:
        value = _latest(found, series)
        table.add_row(
            series.label,
            Text("-", style="dim") if value is None else Text(number(value), style="bold"),
            sparkline(found.values.get(series.id, ())[-DRAWN:]),
        )
    for label, value in graph.marks:
        table.add_row(Text(label, style="dim"), Text(number(value), style="dim"), "")
    return Panel(table, title=graph.title, title_align="left", width=PANEL_WIDTH)


def _alarms(dashboard: Dashboard, found: Look) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for name in dashboard.alarms:
        state = found.states.get(name, "not there")
        table.add_row(name, Text(state.lower().replace("_", " "), style=STATES.get(state, "dim")))
    return table


def _latest(found: Look, series: Series) -> float | None:
    values = [value for value in found.values.get(series.id, ())[-RECENT:] if value is not None]
    return values[-1] if values else None


def sparkline(values: Sequence[float | None]) -> str:
    """The values as bars from zero to the largest; a space where there is none."""
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    steps = len(BARS) - 1
    return "".join(" " if value is None else BARS[round(max(0.0, value) / top * steps)] for value in values)


def number(value: float) -> str:
    """A figure in at most seven characters."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
