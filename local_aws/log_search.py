"""FilterLogEvents with what MiniStack's leaves out (the prefix of the streams' names, pages), and Insights."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack import app

from local_aws import insights
from local_aws.errors import ApiError, Response, error_response

PAGE_MAX = 10_000
Request = dict[str, Any]


def paged(original: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """MiniStack's FilterLogEvents, by `logStreamNamePrefix` too, `limit` events at a time with a `nextToken`."""

    def wrapped(request: Request) -> Response:
        try:
            since, told = _place(request)
            asked = {**request, **_names(request), "startTime": since, "limit": PAGE_MAX}
        except ApiError as error:
            return error_response(error)
        status, headers, body = original(asked)
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        events = answer["events"]
        until = told + min(request.get("limit") or PAGE_MAX, PAGE_MAX)
        answer["events"] = page = events[told:until]
        if page and (len(events) > until or len(events) == PAGE_MAX):
            last = page[-1]["timestamp"]
            answer["nextToken"] = f"{last}/{sum(event['timestamp'] == last for event in events[:until])}"
        return status, headers, json.dumps(answer, ensure_ascii=False).encode()

    return wrapped


def _place(request: Request) -> tuple[int, int]:
    """Where to go on: from a time in ms, after so many events of it. That is what a token says, as `<time>/<n>`."""
    start = request.get("startTime") or 0
    if not request.get("nextToken"):
        return start, 0
    try:
        since, told = (int(part) for part in request["nextToken"].split("/"))
    except ValueError:
        raise ApiError("InvalidParameterException", "The specified nextToken is invalid.") from None
    return max(start, since), told


def _names(request: Request) -> Request:
    """`logStreamNames` for a `logStreamNamePrefix`; nothing when there is none."""
    prefix = request.get("logStreamNamePrefix")
    if prefix is None:
        return {}
    if request.get("logStreamNames"):
        message = "logStreamNamePrefix and logStreamNames cannot be specified together."
        raise ApiError("InvalidParameterException", message)
    service = app._get_module("cloudwatch_logs")
    group = service._log_groups.get(service._resolve_log_group_name(request), {"streams": {}})
    # MiniStack takes an empty list for every stream: a name that no stream has finds none.
    return {"logStreamNames": [name for name in group["streams"] if name.startswith(prefix)] or [f"{prefix}*"]}


def started(original: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """StartQuery, answered by `insights`; MiniStack keeps the query and hands its answer out."""

    def wrapped(request: Request) -> Response:
        service = app._get_module("cloudwatch_logs")
        try:
            insights.run(request.get("queryString", ""), [])
        except insights.QueryError as error:
            return error_response(ApiError("MalformedQueryException", f"{error} (see local_aws/insights.py)"))
        status, headers, body = original(request)
        if status == 200:
            query = service._queries[json.loads(body)["queryId"]]
            records = service._collect_query_records(
                service._resolve_query_log_groups(request), query["startTime"], query["endTime"]
            )
            query["results"] = _answer(query["queryString"], records, request.get("limit") or insights.LIMIT)
            query["statistics"]["recordsMatched"] = float(len(query["results"]))
        return status, headers, body

    return wrapped


def _answer(query: str, records: list[Request], limit: int) -> list[list[dict[str, str]]]:
    events = [
        {**{name: value for name, value in record.items() if name[:1] == "@"}, "@timestamp": record["_timestamp_ms"]}
        for record in records
    ]
    return [
        [
            {"field": name, "value": insights.moment(value) if name == "@timestamp" else insights.text(value)}
            for name, value in row.items()
        ]
        for row in insights.run(query, insights.rows(events))[:limit]
    ]
