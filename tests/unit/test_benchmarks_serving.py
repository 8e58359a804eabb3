"""What the race of servers makes of what it measured: percentiles, windows, medians and claims."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.parts.load import request
from benchmarks.parts.servers import NoAnswerError, percentile, window
from benchmarks.serving import OURS, claims, contestants, likeliest, median, together


@pytest.mark.parametrize(("share", "found"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_measured_value_that_so_many_do_not_exceed(share: float, found: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], share) == found


def test_a_window_counts_answers_by_the_share_of_their_time_that_lies_in_it() -> None:
    # given two seconds: one answer half before them, two within, one half after, and one asked for later
    spans = [(-0.2, 0.2), (0.2, 1.2), (0.0, 0.1), (1.7, 2.3), (2.1, 2.2)]
    loaded = {"seconds": 2.0, "own_cpu_seconds": 0.03, "spans": spans, "failed": {"status 503": 2, "no answer": 1}}

    found = window(loaded, cpu_seconds=0.6)

    assert found.requests_per_second == pytest.approx((0.5 + 1 + 1 + 0.5) / 2)
    assert [found.p50_ms, found.p99_ms] == pytest.approx([400, 1000])
    assert [found.cpu_ms_per_request, found.load_cpu_ms_per_request] == pytest.approx([200, 10])
    assert found.failed == 3


def test_a_window_without_an_answer_is_no_result() -> None:
    nothing = {"seconds": 2.0, "own_cpu_seconds": 0.0, "spans": [(1.0, 3.0)], "failed": {"status 503": 2}}

    with pytest.raises(NoAnswerError, match="503"):
        window(nothing, cpu_seconds=0.0)


def test_rounds_become_the_median_of_each_figure() -> None:
    assert median([{"a": {"b": 1}}, {"a": {"b": 5}}, {"a": {"b": 2}}]) == {"a": {"b": 2}}


def test_a_request_is_whole() -> None:
    head, _, body = request("/invocations", b"jpeg").partition(b"\r\n\r\n")

    assert head.startswith(b"POST /invocations HTTP/1.1\r\n")
    assert b"content-length: 4" in head
    assert body == b"jpeg"


def test_the_likeliest_class_is_read_from_either_form() -> None:
    assert likeliest({"predictions": [{"index": 7, "probability": 0.9}, {"index": 1, "probability": 0.1}]}) == 7
    assert likeliest([[0.1, 3.0, -1.0]]) == 1


def test_every_peer_runs_with_torch_and_with_every_precision() -> None:
    engines: dict[str, list[str]] = {}
    for one in contestants(["int8", "f32"]):
        engines.setdefault(one.name, []).append(one.engine)

    assert engines.pop("baseline handler") == ["torch"]
    assert engines.pop(OURS) == ["int8", "f32"]
    assert engines.pop("FastAPI, one process") == ["int8", "f32"]
    assert all(found == ["torch", "int8", "f32"] for found in engines.values())


def figures(rate: float, p99: float = 10.0) -> dict[str, Any]:
    point = {"requests_per_second": rate, "p99_ms": p99}
    return {"at_a_time": {"1": point, "32": point}}


def test_ours_is_compared_with_the_best_peer_of_the_same_precision_and_with_its_parts() -> None:
    race = {
        OURS: {"int8": figures(160.0, p99=8.0), "f32": figures(100.0)},
        "FastAPI": {"torch": figures(8.0), "f32": figures(80.0), "int8": figures(90.0)},
        "LitServe": {"torch": figures(10.0), "int8": figures(100.0, p99=16.0)},
        "baseline handler": {"torch": figures(5.0)},
    }
    http = {"at_a_time": {"32": {"requests_per_second": 1000.0}}}
    alone = {"decode": 1000.0, "model": {"int8": {"a": 200.0, "b": 250.0}, "f32": {"a": 125.0}}, "http": http}

    found = {one.name: (one.measured, one.met) for one in claims(race, alone)}

    assert together(alone, "int8") == pytest.approx(1000 / 6)
    assert found == {
        "requests/s at 32, ours over the best peer, int8": (1.6, True),
        "p99 at 1, ours of the best peer's, int8": (0.8, True),
        "requests/s at 32, ours of its parts together, int8": (0.96, True),
        "requests/s at 32, ours over the best peer, f32": (1.25, False),
        "p99 at 1, ours of the best peer's, f32": (1.0, False),
        "requests/s at 32, ours of its parts together, f32": (1.0, True),
        "requests/s at 32, ours int8 over the best eager torch peer": (16.0, True),
        "requests/s at 32, ours int8 over the baseline handler": (32.0, True),
    }
