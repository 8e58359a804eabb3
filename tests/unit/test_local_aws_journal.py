"""What is written as it comes: in order, over a restart, within a bound that holds for memory, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ministack import app

from local_aws import logs, metrics
from local_aws.journal import Journal


def nothing(records: Iterator[Any]) -> None:
    """Nobody holds the records in memory."""


def test_records_come_back_in_their_order_without_the_half_line_of_a_killed_writer(tmp_path: Path) -> None:
    first = Journal(tmp_path, 10_000, nothing)
    for number in range(5):
        first.append({"number": number})
    with max(tmp_path.iterdir()).open("ab") as file:
        file.write(b'{"number": 5')

    second = Journal(tmp_path, 10_000, nothing)
    second.append({"number": 6})

    assert [one["number"] for one in second.replay()] == [0, 1, 2, 3, 4, 6]


def test_the_oldest_records_go_when_there_are_too_many_and_whoever_holds_them_is_told(tmp_path: Path) -> None:
    forgotten: list[int] = []
    journal = Journal(tmp_path, 4000, forgotten.extend)

    for number in range(10_000):
        journal.append(number)

    left = list(journal.replay())
    assert forgotten + left == list(range(10_000))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4000 + 4000 / 8
    assert len(left) > 500


def test_pieces_that_restarts_left_empty_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(20):
        Journal(tmp_path, 1000, nothing).close()
    journal = Journal(tmp_path, 1000, nothing)
    for number in range(100):
        journal.append(number)

    assert len(list(tmp_path.iterdir())) < 12


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for journals that hold little; the tables of both services are empty again at the end."""
    for module in (logs, metrics):
        monkeypatch.setattr(module, "BYTES_MAX", 4000)
        monkeypatch.setattr(module, "_journals", {})
    monkeypatch.setattr(app._get_module("cloudwatch_logs"), "_log_groups", {})
    monkeypatch.setattr(app._get_module("cloudwatch"), "_metrics", {})
    return tmp_path


def test_memory_holds_as_many_points_as_the_disk_and_gets_them_back(small: Path) -> None:
    service = app._get_module("cloudwatch")
    store = metrics.store_datum(service._store_datum, service)
    metrics.restore(small)

    for number in range(300):
        store("dogs", f"barks-{number % 3}", {"Breed": "Beagle"}, 1.0, "Count", number, None, None, None)

    held = {key[1]: [point["Value"] for point in points] for key, points in service._metrics.items()}
    assert held["barks-0"][-1] == 297.0
    assert 5 < len(held["barks-0"]) < 60
    service._metrics.clear()
    metrics.restore(small)
    assert held == {key[1]: [point["Value"] for point in points] for key, points in service._metrics.items()}


def test_memory_holds_as_many_lines_as_the_disk_and_streams_without_a_line_go(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = app._get_module("cloudwatch_logs")
    clock = SimpleNamespace(time=iter(range(10**6)).__next__)  # no two lines at the same time
    for module in (logs, service):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(service, "_put_log_events", logs.put(service._put_log_events))
    monkeypatch.setattr(service, "_append_log_events", logs.capped(service._append_log_events))
    logs.restore(small)

    for number in range(300):
        logs.append("kennel", f"job-{number // 30}", [f"line {number}"])

    def held() -> dict[str, list[str]]:
        streams = service._log_groups["kennel"]["streams"]
        return {name: [event["message"] for event in stream["events"]] for name, stream in streams.items()}

    before = held()
    assert before["job-9"][-5:] == [f"line {number}" for number in range(295, 300)]
    assert "job-0" not in before
    service._log_groups.clear()
    logs.restore(small)
    assert before == held()
