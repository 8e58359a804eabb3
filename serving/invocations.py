"""POST /invocations: one picture or several to one answer.

The event loop reads and writes; decoding and the model are for `workers`. What waits for them is bounded: beyond
`capacity` pictures, requests are turned away at once, with Retry-After, rather than kept too long.
"""

import asyncio
import base64
import hashlib
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from serving.errors import Problem
from serving.model import Model, Outcome
from serving.preprocess import BadImage
from serving.remembered import Remembered
from serving.request import (
    ATTRIBUTES_HEADER,
    Attributes,
    check_headers,
    inference_id,
    parse_attributes,
    read_body,
    several,
)
from serving.settings import Settings
from serving.workers import Workers

LOG = logging.getLogger("serving")
BODY_SECONDS = 30.0  # SageMaker gives a request 60 seconds in all

Facts = dict[str, Any]


class Invocations:
    """What a loaded model answers. `inside` counts the pictures that have no answer yet."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self.inside = 0
        self._model = model
        self._settings = settings
        self._workers = Workers(model, settings.threads)
        self._remembered = Remembered(settings.remembered)

    def stop(self) -> None:
        """Ends the threads, after what is inside."""
        self._workers.stop()

    async def answer(self, headers: Mapping[str, str], receive: Callable[[], Awaitable[Any]], facts: Facts) -> bytes:
        """The JSON answer; `facts` for the log gather on the way. Raises `Problem`, `BadImage`, ConnectionError."""
        check_headers(headers)
        asked = headers.get(ATTRIBUTES_HEADER, "")
        wanted, trace = parse_attributes(asked, self._settings.top_k, len(self._model.manifest.classes))
        ids = {"request_id": inference_id(headers), "trace": trace}
        facts |= {name: value for name, value in ids.items() if value}
        with self._room(1):
            body = await read_body(receive, BODY_SECONDS)
            facts["bytes"] = len(body)
            pictures = several(headers, body)
            with self._room(len(pictures or [body]) - 1):
                kind = headers.get("content-type", "")  # a form that is called a picture is none
                if pictures is None:
                    return await self._once(body, kind, wanted, lambda: self._of_one(body, wanted, facts), facts)
                if wanted.explain:
                    raise Problem("bad-attributes", "explain=1 is for one picture at a time")
                return await self._once(body, kind, wanted, lambda: self._of_several(pictures, wanted, facts), facts)

    @contextmanager
    def _room(self, pictures: int) -> Iterator[None]:
        if self.inside + pictures > self._settings.capacity:
            raise Problem("overloaded", f"{self.inside} pictures are waiting", {"retry-after": "1"})
        self.inside += pictures
        try:
            yield
        finally:
            self.inside -= pictures

    async def _once(
        self, body: bytes, kind: str, wanted: Attributes, compute: Callable[[], Awaitable[bytes]], facts: Facts
    ) -> bytes:
        """The answer, computed unless this request has come before. Whoever asks for times wants new ones."""
        if not self._settings.remembered or wanted.timing:
            return await compute()
        facts["sha256"] = hashlib.sha256(body).hexdigest()
        key = (facts["sha256"], kind, wanted)
        facts["remembered"] = key in self._remembered
        return await self._remembered.answer(key, compute)

    async def _of_one(self, data: bytes, wanted: Attributes, facts: Facts) -> bytes:
        try:
            outcome = await self._predict(data, explain=wanted.explain)
        except BadImage as error:
            if not self._settings.transform:
                raise
            # A transform job would end with the first bad picture.
            facts["problem"] = error.slug
            return to_json({"problem": Problem.of(error).document(), "model": self._model.manifest.version})
        facts |= {f"{stage}_ms": round(spent, 2) for stage, spent in outcome.timing_ms.items()}
        return to_json(self._told(outcome, wanted, facts) | {"model": self._model.manifest.version})

    async def _of_several(self, pictures: list[bytes], wanted: Attributes, facts: Facts) -> bytes:
        futures = [self._predict(data) for data in pictures]
        found = await asyncio.gather(*futures, return_exceptions=True)
        outcomes: list[Outcome | BadImage] = []
        for one in found:
            if not isinstance(one, Outcome | BadImage):
                raise one
            outcomes.append(one)
        good = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
        facts |= {"pictures": len(pictures), "bad": len(pictures) - len(good)}
        for stage in ("queue", "decode", "model"):
            facts[f"{stage}_ms"] = round(sum(one.timing_ms[stage] for one in good), 2)
        results = [
            self._told(outcome, wanted, facts)
            if isinstance(outcome, Outcome)
            else {"problem": Problem.of(outcome).document()}
            for outcome in outcomes
        ]
        return to_json({"results": results, "model": self._model.manifest.version})

    def _predict(self, data: bytes, *, explain: bool = False) -> "asyncio.Future[Outcome]":
        sample = random.random() < self._settings.sample  # noqa: S311 - nobody gains by guessing it
        return self._workers.predict(data, explain=explain, sample=sample)

    def _told(self, outcome: Outcome, wanted: Attributes, facts: Facts) -> dict[str, Any]:
        """What is said of one picture; of a sampled one the log keeps what drift is told by."""
        if outcome.looks is not None:
            whose = {name: facts[name] for name in ("request_id", "trace") if name in facts}
            LOG.info("sampled", extra={"facts": whose | self._model.sample(outcome.logits, outcome.looks)})
        told = self._model.answer(outcome, wanted.top_k, with_logits=wanted.logits)
        if wanted.explain:
            best = told["predictions"][0]
            heat_map = base64.b64encode(outcome.heat_map).decode()
            told["explanation"] = {"index": best["index"], "breed": best["breed"], "heat_map": heat_map}
        if wanted.timing:
            told["timing_ms"] = {stage: round(spent, 2) for stage, spent in outcome.timing_ms.items()}
        return told


def to_json(document: Mapping[str, Any]) -> bytes:
    """`document` as it is sent."""
    return json.dumps(document).encode()
