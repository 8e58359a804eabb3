"""A log stream's memory has an end, and what its lines measure is counted once."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws import emf, logs


def test_a_stream_that_grows_too_long_forgets_its_older_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "STREAM_EVENTS_MAX", 10)
    stream: dict[str, Any] = {"events": [], "firstEventTimestamp": 0}
    append = logs.capped(lambda stream, events: stream["events"].extend(events))

    for number in range(11):
        append(stream, [{"timestamp": number, "message": str(number)}])

    assert [event["message"] for event in stream["events"]] == ["6", "7", "8", "9", "10"]
    assert stream["firstEventTimestamp"] == 6


def test_lines_that_come_back_after_a_restart_are_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    monkeypatch.setattr(emf, "extract", counted.extend)
    append = logs.capped(lambda stream, events: None)

    append({"events": []}, [{"message": "of before", "ingestionTime": logs._STARTED - 1}])
    append({"events": []}, [{"message": "of now", "ingestionTime": logs._STARTED + 1}])

    assert counted == ["of now"]
