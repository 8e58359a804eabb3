"""GetMetricData with metric mathematics, which MiniStack answers with an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from local_aws.errors import Response
from local_aws.metric_math import Mathematics, MathError

Query = dict[str, Any]


def with_mathematics(original: Callable[..., Response], service: Any) -> Callable[..., Response]:
    """MiniStack's GetMetricData (`service` is its module), whose expressions are computed from its own answers."""

    def wrapped(params: Any, request: dict[str, Any], is_cbor: bool, is_json: bool = False) -> Response:
        queries: list[Query] = request.get("MetricDataQueries") or []
        if not any(query.get("Expression") for query in queries):
            return original(params, request, is_cbor, is_json)
        plain = [{**query, "ReturnData": True} for query in queries if not query.get("Expression")]
        status, headers, body = original(params, {**request, "MetricDataQueries": plain}, False, True)
        if status != 200:
            return status, headers, body
        results = {one["Id"]: one for one in json.loads(body)["MetricDataResults"]}
        for query in queries:
            if query.get("Expression"):
                results[query["Id"]] = _computed(query, queries, results)
        wanted = [results[query["Id"]] for query in queries if query.get("ReturnData", True)]
        if is_cbor:
            wanted = [service._cbor_metric_data_result(one) for one in wanted]
        answer: Response = (service._cbor_ok if is_cbor else service._json_ok)({"MetricDataResults": wanted})
        return answer

    return wrapped


def _computed(query: Query, queries: list[Query], results: dict[str, Any]) -> dict[str, Any]:
    """The result of one expression, which may use whatever stands before it."""
    series = {name: dict(zip(one["Timestamps"], one["Values"], strict=True)) for name, one in results.items()}
    times = sorted({time for one in series.values() for time in one})
    seconds = {one["Id"]: float(one["MetricStat"]["Period"]) for one in queries if "MetricStat" in one}
    result = {"Id": query["Id"], "Label": query.get("Label", query["Id"]), "Timestamps": [], "Values": []}
    try:
        found = Mathematics(series, times, seconds).evaluate(query["Expression"])
    except MathError as error:
        return {**result, "StatusCode": "InternalError", "Messages": [{"Code": "Unsupported", "Value": str(error)}]}
    kept = [time for time in times if time in found]
    return {**result, "Timestamps": kept, "Values": [found[time] for time in kept], "StatusCode": "Complete"}
