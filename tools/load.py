"""Steady load on the API, with every answer kept: for showing scaling, and that nothing is lost while things change."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tools.ask import content_type
from tools.stack import Stack

Predictions = tuple[tuple[str, float], ...]  # breeds with their probabilities, the most probable first
TOLERANCE = 0.001  # of a probability: the same model on another instance may round otherwise


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one request. Times in seconds: `due` since the load began, `took` from then to the answer's end.

    `status` is 0 where there was no answer at all; `problem` says why, or holds what an answer other than 200 said.
    """

    due: float
    took: float
    picture: str
    status: int
    problem: str = ""
    model: str = ""
    predictions: Predictions = ()


@dataclass
class Tally:
    """How many requests were sent, and what became of each."""

    sent: int = 0
    replies: list[Reply] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        """How often each HTTP status came; 0 is no answer."""
        return Counter(one.status for one in self.replies)

    @property
    def models(self) -> Counter[str]:
        """How many answers each model gave."""
        return Counter(one.model for one in self.replies if one.status == 200)

    @property
    def failures(self) -> list[Reply]:
        """Requests that got no answer, or another one than 200."""
        return [one for one in self.replies if one.status != 200]

    @property
    def failed(self) -> int:
        """How many those are, with the ones of which nothing was heard."""
        return len(self.failures) + self.sent - len(self.replies)

    def wrong(self, reference: Mapping[tuple[str, str], Predictions]) -> list[Reply]:
        """Answers that are not what their model gives for that picture when asked alone: (model, picture) -> answer."""
        nothing = (("", math.inf),)  # a model that nobody asked alone cannot have answered
        return [
            one
            for one in self.replies
            if one.status == 200 and not same(one.predictions, reference.get((one.model, one.picture), nothing))
        ]

    def latency_ms(self, share: float) -> float:
        """The time within which `share` (0 to 1) of all requests were answered, from when each was due."""
        times = sorted(one.took for one in self.replies)
        return times[max(0, math.ceil(share * len(times)) - 1)] * 1000 if times else math.nan


def same(one: Predictions, other: Predictions) -> bool:
    """The same breeds in the same order, with the same probabilities."""
    return len(one) == len(other) and all(
        breed == its and abs(sure - how) <= TOLERANCE for (breed, sure), (its, how) in zip(one, other, strict=True)
    )


def predictions_of(body: Mapping[str, Any]) -> Predictions:
    """The predictions in an answer of the API or of a model."""
    return tuple((str(one["breed"]), float(one["probability"])) for one in body["predictions"])


def name_of(path: Path) -> str:
    """A picture by its folder and name: names alone come back in other folders."""
    return f"{path.parent.name}/{path.name}"


class Load(AbstractContextManager["Load"]):
    """`rate` requests a second, evenly, for as long as the block lasts; late answers do not delay the next request.

    No request is tried again.
    """

    def __init__(self, stack: Stack, pictures: list[Path], rate: float, workers: int = 64) -> None:
        self.tally = Tally()
        self._stack, self._rate = stack, rate
        self._pictures = [(path, path.read_bytes()) for path in pictures]
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="load")
        self._client = httpx.Client(
            headers={"x-api-key": stack.api_key}, timeout=60.0, limits=httpx.Limits(max_connections=workers)
        )
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._clock = threading.Thread(target=self._tick, name="load-clock", daemon=True)

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._clock.join()
        self._pool.shutdown(cancel_futures=error is not None)
        self._client.close()

    def seconds(self) -> float:
        """How long the load has lasted."""
        return time.monotonic() - self._began

    def _tick(self) -> None:
        due = 0.0
        while not self._stop.wait(max(0.0, due - self.seconds())):
            self._pool.submit(self._one, self.tally.sent, due)
            self.tally.sent += 1
            due = self.tally.sent / self._rate

    def _one(self, number: int, due: float) -> None:
        path, body = self._pictures[number % len(self._pictures)]
        facts: dict[str, Any] = {"status": 0}
        try:
            response = self._client.post(
                f"{self._stack.api_url}/predictions", content=body, headers={"content-type": content_type(path)}
            )
            facts["status"] = response.status_code
            if response.status_code == 200:
                answer = response.json()
                facts |= {"model": str(answer["model"]), "predictions": predictions_of(answer)}
            else:
                facts["problem"] = response.text[:500]
        except httpx.HTTPError as error:
            facts["problem"] = f"{type(error).__name__}: {error}"
        except (ValueError, LookupError, TypeError) as error:  # a 200 that is no answer: wrong, whatever was expected
            facts["problem"] = f"the answer cannot be read: {type(error).__name__}: {error}"
        with self._lock:
            self.tally.replies.append(Reply(due, self.seconds() - due, name_of(path), **facts))
