"""CloudWatch Logs, from inside the process, and on disk: a line that was taken is there after a SIGKILL."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ministack import app

from local_aws.errors import Response
from local_aws.journal import Journal
from local_aws.settings import ACCOUNT_ID, REGION

STREAM_EVENTS_MAX = 10_000
BYTES_MAX = 24_000_000  # of all lines together, as they lie on disk
# What MiniStack saves of the service beside groups and their lines.
_SAVED = (
    "destinations", "resource_policies", "log_group_policies", "metric_filters", "queries",
    "delivery_sources", "delivery_destinations", "deliveries",
)  # fmt: skip

_journal: Journal | None = None
_taken = threading.local()  # `events`: as the last PutLogEvents of this thread stored them


def append(group: str, stream: str, lines: Sequence[str]) -> None:
    """Puts `lines` into `stream` of `group`, making both if need be. Any thread."""
    service = app._get_module("cloudwatch_logs")
    _make(service, group, stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in lines]
    service._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})


def _make(service: Any, group: str, stream: str) -> None:
    if group not in service._log_groups:
        service._create_log_group({"logGroupName": group})
    if stream not in service._log_groups[group]["streams"]:
        service._create_log_stream({"logGroupName": group, "logStreamName": stream})


def capped(original: Callable[[dict[str, Any], list[dict[str, Any]]], None]) -> Callable[..., None]:
    """MiniStack's append, forgetting the older half of a stream that has grown past STREAM_EVENTS_MAX lines.

    MiniStack keeps every line in memory, twice, and heeds no retention: a load test would fill the machine. The second
    copy, which Insights looks lines up by, is made again when a query wants it.
    """

    def wrapped(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        original(stream, events)
        _taken.events = events
        service = app._get_module("cloudwatch_logs")
        for event in events:
            service._log_records.pop(event.get("eventId"), None)
        if len(stream["events"]) <= STREAM_EVENTS_MAX:
            return
        with service._log_events_lock:
            stream["events"] = stream["events"][-STREAM_EVENTS_MAX // 2 :]
            stream["firstEventTimestamp"] = stream["events"][0]["timestamp"]

    return wrapped


# On disk


def restore(folder: Path) -> None:
    """After MiniStack has loaded its groups: puts the lines back that were taken before, and keeps those to come."""
    global _journal  # noqa: PLW0603 - one emulator in a process
    service = app._get_module("cloudwatch_logs")
    known = set(service._log_groups)
    journal = Journal(folder, BYTES_MAX, _forget)
    for record in journal.replay():
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
    _journal = journal


def put(original: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    """PutLogEvents, whose lines are on disk before the answer."""

    def wrapped(data: dict[str, Any]) -> Response:
        answer = original(data)
        if _journal is not None and answer[0] == 200:
            _journal.append({"group": data["logGroupName"], "stream": data["logStreamName"], "events": _taken.events})
        return answer

    return wrapped


def deleted(original: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    """DeleteLogGroup and DeleteLogStream, after which no line comes back."""

    def wrapped(data: dict[str, Any]) -> Response:
        answer = original(data)
        if _journal is not None and answer[0] == 200:
            _journal.append({"group": data["logGroupName"], "stream": data.get("logStreamName")})
        return answer

    return wrapped


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


def stream_arn(group: str, stream: str) -> str:
    """The ARN of a log stream, as ModelError gives it."""
    return f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{group}:log-stream:{stream}"
