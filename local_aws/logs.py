"""CloudWatch Logs, from inside the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ministack import app

from local_aws.settings import ACCOUNT_ID, REGION

STREAM_EVENTS_MAX = 10_000


def append(group: str, stream: str, lines: Sequence[str]) -> None:
    """Puts `lines` into `stream` of `group`, making both if need be. Any thread."""
    service = app._get_module("cloudwatch_logs")
    if group not in service._log_groups:
        service._create_log_group({"logGroupName": group})
    if stream not in service._log_groups[group]["streams"]:
        service._create_log_stream({"logGroupName": group, "logStreamName": stream})
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in lines]
    service._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})


def capped(original: Callable[[dict[str, Any], list[dict[str, Any]]], None]) -> Callable[..., None]:
    """MiniStack's append, forgetting the older half of a stream that has grown past STREAM_EVENTS_MAX lines.

    MiniStack keeps every line in memory and heeds no retention: a load test would fill the machine.
    """

    def wrapped(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        original(stream, events)
        if len(stream["events"]) <= STREAM_EVENTS_MAX:
            return
        service = app._get_module("cloudwatch_logs")
        with service._log_events_lock:
            forgotten = stream["events"][: -STREAM_EVENTS_MAX // 2]
            stream["events"] = stream["events"][-STREAM_EVENTS_MAX // 2 :]
            stream["firstEventTimestamp"] = stream["events"][0]["timestamp"]
        for event in forgotten:
            service._log_records.pop(event.get("eventId"), None)

    return wrapped


def stream_arn(group: str, stream: str) -> str:
    """The ARN of a log stream, as ModelError gives it."""
    return f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{group}:log-stream:{stream}"
