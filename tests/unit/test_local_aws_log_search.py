"""FilterLogEvents finds by prefix, and page by page, every event once."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from ministack import app

from local_aws import log_search
from local_aws.errors import Response

EVENTS = [("job-1/algo-1", 1), ("job-1/algo-1", 5), ("job-2/algo-1", 5), ("job-1/algo-2", 5), ("job-1/algo-1", 9)]


class FakeLogs:
    """Events of one group, found as MiniStack finds them."""

    _log_groups: ClassVar[dict[str, Any]] = {"group": {"streams": dict.fromkeys(name for name, _ in EVENTS)}}

    @staticmethod
    def _resolve_log_group_name(request: dict[str, Any]) -> Any:
        return request.get("logGroupName")

    @staticmethod
    def filter_log_events(request: dict[str, Any]) -> Response:
        names = request.get("logStreamNames") or [name for name, _ in EVENTS]
        found = [
            {"logStreamName": name, "timestamp": time, "message": f"{number}"}
            for number, (name, time) in enumerate(EVENTS)
            if name in names and time >= request["startTime"]
        ]
        return 200, {}, json.dumps({"events": found[: request["limit"]], "searchedLogStreams": []}).encode()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_get_module", lambda name: FakeLogs)


def ask(**request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        log_search.paged(FakeLogs.filter_log_events)({"logGroupName": "group", **request})[2]
    )
    return answer


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_pages_hold_every_event_once_though_several_share_a_time(limit: int) -> None:
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = ask(limit=limit, **token)
        found += [event["message"] for event in answer["events"]]
        if "nextToken" not in answer:
            break
        token = {"nextToken": answer["nextToken"]}

    assert found == ["0", "1", "2", "3", "4"]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(("prefix", "messages"), [("job-1/", ["0", "1", "3", "4"]), ("job-2/", ["2"]), ("job-3/", [])])
def test_a_prefix_finds_its_streams_only(prefix: str, messages: list[str]) -> None:
    assert [event["message"] for event in ask(logStreamNamePrefix=prefix)["events"]] == messages


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"nextToken": "nowhere"}, "nextToken is invalid"),
        ({"logStreamNamePrefix": "a", "logStreamNames": ["b"]}, "cannot be specified together"),
    ],
)
def test_what_aws_refuses_is_refused(request_: dict[str, Any], message: str) -> None:
    answer = ask(**request_)

    assert answer["__type"] == "InvalidParameterException"
    assert message in answer["message"]
