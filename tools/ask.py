"""Ask the API about pictures whose truth is known: the answers, the accuracy and the latency a client sees."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tools.stack import Stack

CONTENT_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True)
class Answer:
    """One picture's answer. ``truth`` is the name of its folder as a person writes it; ``seconds`` is wall time."""

    path: Path
    truth: str
    status: int
    body: Any
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the most probable breed is the true one."""
        return self.status == 200 and self.body["predictions"][0]["breed"] == self.truth


def breed_of(path: Path) -> str:
    """``…/057.Dalmatian/x.jpg`` -> ``Dalmatian``: the name the model gives to the class of that folder."""
    folder = path.parent.name
    number, dot, name = folder.partition(".")
    return (name if dot and number.isdigit() else folder).replace("_", " ")


def content_type(path: Path) -> str:
    """The media type a client would state for this file, from its name."""
    return CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream")


def ask(stack: Stack, paths: list[Path], top_k: int = 5) -> list[Answer]:
    """POST each picture to /predictions, one at a time over one connection, as a single client would."""
    with httpx.Client(headers={"x-api-key": stack.api_key}, timeout=60.0) as client:
        return [_ask_one(client, f"{stack.api_url}/predictions", path, top_k) for path in paths]


def _ask_one(client: httpx.Client, url: str, path: Path, top_k: int) -> Answer:
    began = time.perf_counter()
    response = client.post(
        url, content=path.read_bytes(), params={"top_k": top_k}, headers={"content-type": content_type(path)}
    )
    seconds = time.perf_counter() - began
    return Answer(path, breed_of(path), response.status_code, response.json(), seconds)


def accuracy(answers: list[Answer]) -> float:
    """Share of answers whose first breed is the truth; a refused picture counts as wrong."""
    return sum(answer.right for answer in answers) / len(answers)


def latency_ms(answers: list[Answer]) -> tuple[float, float]:
    """Median and 99th percentile of the wall time per request, in milliseconds."""
    times = sorted(answer.seconds * 1000 for answer in answers)
    if len(times) < 2:
        return times[0], times[0]
    return statistics.median(times), statistics.quantiles(times, n=100, method="inclusive")[98]
