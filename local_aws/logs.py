"""CloudWatch Logs, from inside the process, and on disk: a line that was taken is there after a SIGKILL."""

from __future__ import annotations

import copy
import heapq
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ministack import app

from local_aws import emf
from local_aws.errors import Response
from local_aws.journal import Journal
from local_aws.settings import ACCOUNT_ID, REGION

STREAM_EVENTS_MAX = 10_000
_STARTED = time.time() * 1000
# As they lie on disk: of all lines that services of the local AWS write, and of all that came with PutLogEvents.
BYTES_MAX = 24_000_000
# What MiniStack saves of the service beside groups and their lines.
_SAVED = (
    "destinations", "resource_policies", "log_group_policies", "metric_filters", "queries",
    "delivery_sources", "delivery_destinations", "deliveries",
)  # fmt: skip

_journals: dict[str, Journal] = {}  # "own" and "put", once there is a disk to write to
# `events`: as the last PutLogEvents of this thread stored them; `own`: that they are the local AWS's own.
_taken = threading.local()


def append(group: str, stream: str, lines: Sequence[str]) -> None:
    """Puts `lines` into `stream` of `group`, making both if need be. Any thread."""
    service = app._get_module("cloudwatch_logs")
    _make(service, group, stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in lines]
    _taken.own = True
    try:
        service._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})
    finally:
        _taken.own = False


def _make(service: Any, group: str, stream: str) -> None:
    if group not in service._log_groups:
        service._create_log_group({"logGroupName": group})
    if stream not in service._log_groups[group]["streams"]:
        service._create_log_stream({"logGroupName": group, "logStreamName": stream})


def capped(original: Callable[[dict[str, Any], list[dict[str, Any]]], None]) -> Callable[..., None]:
    """MiniStack's append, forgetting the older half of a stream that has grown past STREAM_EVENTS_MAX lines.

    MiniStack keeps every line in memory, twice, and heeds no retention: a load test would fill the machine. The second
    copy, which Insights looks lines up by, is made again when a query wants it. Lines in embedded metric format
    are metrics, too.
    """

    def wrapped(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        original(stream, events)
        _taken.events = events
        service = app._get_module("cloudwatch_logs")
        for event in events:
            service._log_records.pop(event.get("eventId"), None)
        # Lines from before this process were counted then.
        emf.extract(event["message"] for event in events if event.get("ingestionTime", _STARTED) >= _STARTED)
        if len(stream["events"]) <= STREAM_EVENTS_MAX:
            return
        with service._log_events_lock:
            stream["events"] = stream["events"][-STREAM_EVENTS_MAX // 2 :]
            stream["firstEventTimestamp"] = stream["events"][0]["timestamp"]

    return wrapped


# On disk


def restore(folder: Path) -> None:
    """After MiniStack has loaded its groups: puts the lines back that were taken before, and keeps those to come."""
    service = app._get_module("cloudwatch_logs")
    known = set(service._log_groups)
    journals = {name: Journal(folder / name, BYTES_MAX, _forget) for name in ("own", "put")}
    for record in heapq.merge(*(one.replay() for one in journals.values()), key=lambda one: float(one["at"])):
        group, stream = record["group"], record.get("stream")
        if "events" in record:
            _make(service, group, stream)
            service._append_log_events(service._log_groups[group]["streams"][stream], record["events"])
        elif group in service._log_groups:
            streams = service._log_groups[group]["streams"]
            for name in [stream] if stream else list(streams):
                streams.pop(name, None)
            if not stream and group not in known:
                del service._log_groups[group]
    _journals.update(journals)


def put(original: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    """PutLogEvents, whose lines are on disk before the answer."""

    def wrapped(data: dict[str, Any]) -> Response:
        answer = original(data)
        if answer[0] == 200:
            whose = "own" if getattr(_taken, "own", False) else "put"
            _write(whose, data["logGroupName"], data["logStreamName"], events=_taken.events)
        return answer

    return wrapped


def deleted(original: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    """DeleteLogGroup and DeleteLogStream, after which no line comes back."""

    def wrapped(data: dict[str, Any]) -> Response:
        answer = original(data)
        if answer[0] == 200:
            _write("put", data["logGroupName"], data.get("logStreamName"))
        return answer

    return wrapped


def _write(whose: str, group: str, stream: str | None, **members: Any) -> None:
    if whose in _journals:
        _journals[whose].append({"at": time.time(), "group": group, "stream": stream, **members})


def state(service: Any) -> dict[str, Any]:
    """What MiniStack saves of the service, without the lines."""
    groups = type(service._log_groups)()
    for key, group in list(service._log_groups._data.items()):
        streams = {name: {**stream, "events": []} for name, stream in list(group["streams"].items())}
        groups._data[key] = copy.deepcopy({**group, "streams": streams})
    return {"log_groups": groups, **{name: copy.deepcopy(getattr(service, f"_{name}")) for name in _SAVED}}


def _forget(records: Iterator[dict[str, Any]]) -> None:
    """Takes the lines of a piece that goes out of memory, too, and streams that have no line left."""
    service = app._get_module("cloudwatch_logs")
    last: dict[tuple[str, str], int] = {}
    for record in records:
        if record.get("events"):
            last[record["group"], record["stream"]] = record["events"][-1]["ingestionTime"]
    service._log_records.clear()
    with service._log_events_lock:
        for (group, name), until in last.items():
            stream = service._log_groups.get(group, {"streams": {}})["streams"].get(name)
            if stream is not None:
                stream["events"] = [event for event in stream["events"] if event.get("ingestionTime", 0) > until]
                if not stream["events"]:
                    del service._log_groups[group]["streams"][name]


def stream_arn(group: str, stream: str) -> str:
    """The ARN of a log stream, as ModelError gives it."""
    return f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{group}:log-stream:{stream}"
