"""The queries of CloudWatch Logs Insights that the embedded AWS answers, and those that it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_aws import insights


def event(time: int, message: object) -> dict[str, Any]:
    return {"@timestamp": time, "@message": message if isinstance(message, str) else json.dumps(message), "@log": "g"}


LINES = insights.rows(
    [
        event(1, {"ms": "9", "status": "200", "path": "/a", "who": {"names": ["x", "y"]}}),
        event(2, {"ms": "10", "status": "502", "path": "/b", "problem": "endpoint-failed"}),
        event(3, {"ms": "-", "status": "502", "path": "/b", "problem": "endpoint-failed"}),
        event(4, "START no JSON"),
        event(61_000, {"ms": 250.5, "status": 404, "path": "/c", "problem": "not-found"}),
    ]
)


def answer(query: str) -> list[list[Any]]:
    return [list(row.values()) for row in insights.run(query, LINES)]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        # numbers that are written as texts are numbers, and come after what is none
        ("fields ms | filter ispresent(ms) | sort ms desc | limit 3", [[250.5], ["10"], ["9"]]),
        ("fields ms | filter ispresent(ms) | sort ms asc | limit 2", [["-"], ["9"]]),
        ("filter status >= 500 and not (path = '/a') | display @timestamp", [[3], [2]]),
        ("filter status != 200 or path like /^.a$/ | stats count(*) as n", [[4]]),
        ('fields who.names.1 | filter who.names.0 = "x"', [["y"]]),
        ("filter @message like 'START' # a remark\n| display @message", [["START no JSON"]]),
        ("filter path not like /b/ | stats count(path)", [[2]]),
        (
            "filter ispresent(problem) | stats count(*) as times, max(ms) as slowest by problem | sort times desc",
            [["endpoint-failed", 2, 10.0], ["not-found", 1, 250.5]],
        ),
        (
            "stats avg(ms) as mean, pct(ms, 50) as half, sum(ms) as all by bin(1m)",
            [[0, 9.5, 9.0, 19.0], [60_000, 250.5, 250.5, 250.5]],
        ),
        ("filter toMillis(@timestamp) > 60000 | display path", [["/c"]]),
        ("stats count(*) as n by status, path | filter n > 1 | display path, n", [["/b", 2]]),
    ],
)
def test_a_query_is_answered(query: str, rows: list[list[Any]]) -> None:
    assert answer(query) == rows


def test_without_an_order_the_latest_come_first_with_what_every_event_has() -> None:
    first, *_, last = insights.run("filter ispresent(@message)", LINES)
    assert (first["@timestamp"], last["@timestamp"], first["@log"]) == (61_000, 1, "g")


@pytest.mark.parametrize(
    "query",
    [
        "parse @message '*' as x",
        "filter status ~ 5",
        "filter path",
        "stats stddev(ms)",
        "fields a, | limit 3",
        "sort",
        "limit many",
        "filter (a = 1",
        "fields a | | limit 3",
        "fields strlen(a)",
    ],
)
def test_what_is_not_understood_is_refused_and_not_passed_over(query: str) -> None:
    with pytest.raises(insights.QueryError):
        answer(query)
