"""JSON documents against their TypedDicts: what fits is taken as it is, what does not is told by its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest

from training.shapes import conforming, read_document


class Inner(TypedDict):
    count: int
    share: float | None


class Outer(TypedDict):
    kind: Literal["a", "b"]
    good: bool
    inners: Sequence[Inner]
    by_name: Mapping[str, str]
    pair: tuple[float, float]
    anything: Any


FITTING: dict[str, Any] = {
    "kind": "a",
    "good": True,
    "inners": [{"count": 1, "share": None}, {"count": 2, "share": 1}],
    "by_name": {"x": "y"},
    "pair": [0, 1.5],
    "anything": [None],
    "more": "is let be",
}


def test_a_document_that_fits_is_taken_as_it_is() -> None:
    assert conforming(FITTING, Outer, "document") == FITTING


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "c"}, "document.kind is none of a, b"),
        ({"kind": ["a"]}, "document.kind is none of a, b"),
        ({"good": 1}, "document.good is not true or false"),
        ({"inners": {}}, "document.inners is not a list"),
        ({"inners": [{"count": 1}]}, r"document.inners\[0\] has no share"),
        ({"inners": [{"count": True, "share": 0.5}]}, r"document.inners\[0\].count is not a whole number"),
        ({"inners": [{"count": 1, "share": float("nan")}]}, r"document.inners\[0\].share is not a number"),
        ({"by_name": {"x": 1}}, "document.by_name.x is not a text"),
        ({"pair": [1]}, "document.pair is not a list of 2"),
        ({"by_name": None}, "document.by_name is not a JSON object"),
    ],
)
def test_the_first_place_that_differs_is_named(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        conforming(FITTING | change, Outer, "document")


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[" * 100_000, b"{"], ids=lambda one: str(one)[:8])
def test_a_file_that_is_no_json_is_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "trials.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ValueError, match=r"^trials\.json") as caught:
        read_document(path, Outer)

    assert "\n" not in str(caught.value)
