"""Mixed requests to the API, each answer checked against its own picture and the model that says that it gave it.

What a model answers is computed here, from the model's own archive, by the serving code in this process.
"""

from __future__ import annotations

import base64
import io
import json
import random
import tarfile
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx

from benchmarks.soaking.world import World, patient
from serving.manifest import read_manifest
from serving.model import Model
from tools.ask import content_type
from tools.demo import DATA_PREFIX
from tools.load import Predictions, name_of, predictions_of, same

CALLERS = 3
PAUSE_SECONDS = 0.7  # of a caller after an answer, on average
SEVERAL = 3
FORMS = {"bytes": 8, "base64": 3, "s3": 2, "several": 2, "files": 2, "explain": 1, "garbage": 1, "nothing": 1}
BAD = {"garbage", "nothing"}
REFUSALS = {429, 500, 502, 503, 504}  # while something is down, with a body that says so
SHOWN = 20


@dataclass(frozen=True)
class Reply:
    """A 200 that waits for its model to be known: (picture, what was said of it) for each of its pictures."""

    model: str
    said: list[tuple[str, Predictions]]


@dataclass
class References:
    """What each model gives for each picture, computed from its archive in the artifact bucket."""

    world: World
    known: dict[str, dict[str, Predictions]] = field(default_factory=dict)

    def learn(self, model: str) -> bool:
        """Computes a run's answers; False when no archive of its model is there."""
        if model in self.known:
            return True
        s3, bucket = boto3.client("s3"), self.world.stack.artifact_bucket
        listed = patient(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=f"runs/{model}/")).get("Contents", [])
        for key in (one["Key"] for one in listed if one["Key"].endswith("model.tar.gz")):
            read = partial(s3.get_object, Bucket=bucket, Key=key)
            if answers := self._answers(model, patient(read)["Body"].read()):
                self.known[model] = answers
                return True
        return False

    def _answers(self, model: str, archive: bytes) -> dict[str, Predictions]:
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(folder, filter="data")
            if not (Path(folder) / "model.json").is_file():
                return {}
            manifest = read_manifest(folder)
            if manifest.version != model:
                return {}
            served = Model(manifest, threads=1)
            return {
                name_of(path): predictions_of(served.answer(served.run(path.read_bytes()), 5))
                for path in self.world.pictures
            }


class Requests:
    """CALLERS callers, each of which asks, looks at the answer and waits a little."""

    def __init__(self, world: World, references: References) -> None:
        self.world, self.references = world, references
        self.score: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.failed: list[str] = []  # without an answer, or refused, while nothing was down
        self.times: list[float] = []
        self._waiting: list[Reply] = []
        self._lock = threading.Lock()
        self._client = httpx.Client(headers={"x-api-key": world.stack.api_key}, timeout=60.0)
        self._url = f"{world.stack.api_url}/predictions"

    def run(self, number: int) -> None:
        """One caller, until the soak is over."""
        chance = random.Random(f"{self.world.seed}-caller-{number}")
        while not self.world.over.wait(chance.expovariate(1 / PAUSE_SECONDS)):
            form = chance.choices(list(FORMS), list(FORMS.values()))[0]
            chosen = [chance.choice(self.world.pictures) for _ in range(SEVERAL if form in {"several", "files"} else 1)]
            since = self.world.seconds()
            verdict, why = self._judged(form, chosen)
            until = self.world.seconds()
            with self._lock:
                if verdict in {"refused cleanly", "no answer"}:
                    verdict += " while something was down" if self.world.disturbed(since, until) else ""
                    if not self.world.disturbed(since, until):
                        self.failed.append(f"{since:.1f} s, {form}: {why}")
                        self.world.say(f"FAILED: {form}: {why}"[:300])
                elif verdict == "WRONG":
                    self.wrong.append(f"{since:.1f} s, {form}: {why}")
                    self.world.say(f"WRONG: {form}: {why}"[:300])
                else:
                    self.times.append(until - since)
                self.score[f"{form}: {verdict}"] += 1

    def asked_now(self) -> bool:
        """Whether the API answers one picture rightly, or by a model that is still to be known; for after a kill."""
        return self._judged("bytes", [self.world.pictures[0]])[0] == "right"

    def close(self) -> None:
        """No caller asks any more: judges the answers whose models were not known when they came."""
        self._client.close()
        for reply in self._waiting:
            if not self.references.learn(reply.model):
                self.wrong.append(f"an answer by {reply.model}, of which there is no archive")
            elif not self._right(reply):
                self.wrong.append(f"{reply.model}: {reply.said}"[:300])

    def _judged(self, form: str, chosen: list[Path]) -> tuple[str, str]:
        """Asks, and says what the answer is, and why."""
        try:
            response = self._send(form, chosen)
            body = response.json()
        except httpx.HTTPError as error:
            return "no answer", f"{type(error).__name__}: {error}"
        except json.JSONDecodeError:
            return "WRONG", f"status {response.status_code}, not JSON: {response.text[:200]}"
        why = f"status {response.status_code}: {response.text[:200]}"
        if response.status_code in REFUSALS and isinstance(body, dict) and body:
            return "refused cleanly", why
        if form in BAD:
            return ("right", "") if 400 <= response.status_code < 500 and "detail" in body else ("WRONG", why)
        return self._compared(form, chosen, body) if response.status_code == 200 else ("WRONG", why)

    def _compared(self, form: str, chosen: list[Path], body: dict[str, Any]) -> tuple[str, str]:
        try:
            reply = self._reply(form, chosen, body)
        except (KeyError, ValueError, TypeError) as error:
            # One of several may have failed by itself while its endpoint went.
            problems = {one["problem"]["status"] for one in body.get("results", []) if "problem" in one}
            if problems and problems <= REFUSALS:
                return "refused cleanly", f"a picture of several: {problems}"
            return "WRONG", f"{type(error).__name__}: {error}: {str(body)[:200]}"
        if reply.model not in self.references.known:
            with self._lock:
                self._waiting.append(reply)
            return "right", ""
        return ("right", "") if self._right(reply) else ("WRONG", f"{reply.model}: {reply.said}")

    def _right(self, reply: Reply) -> bool:
        known = self.references.known[reply.model]
        return all(same(said, known[picture]) for picture, said in reply.said)

    @staticmethod
    def _reply(form: str, chosen: list[Path], body: dict[str, Any]) -> Reply:
        """The answer as it can be compared. Raises where it is not one to this form."""
        if form == "explain":
            base64.b64decode(body["explanation"]["heat_map"])
        results = body["results"] if form in {"several", "files"} else [body]
        said = [(name_of(path), predictions_of(one)) for path, one in zip(chosen, results, strict=True)]
        return Reply(str(body["model"]), said)

    def _send(self, form: str, chosen: list[Path]) -> httpx.Response:
        kind, data = {"content-type": content_type(chosen[0])}, chosen[0].read_bytes()
        if form in {"bytes", "explain"}:
            asked = {"explain": "true"} if form == "explain" else {}
            return self._client.post(self._url, content=data, headers=kind, params=asked)
        if form == "garbage":
            return self._client.post(self._url, content=b"not a picture", headers=kind)
        if form == "files":
            return self._client.post(self._url, files=[("any", (path.name, path.read_bytes())) for path in chosen])
        place = f"s3://{self.world.stack.data_bucket}/{DATA_PREFIX}{'/'.join(chosen[0].parts[-3:])}"
        encoded = [{"image": base64.b64encode(path.read_bytes()).decode()} for path in chosen]
        bodies: dict[str, dict[str, Any]] = {
            "base64": encoded[0],
            "s3": {"s3": place},
            "several": {"pictures": encoded},
            "nothing": {},
        }
        return self._client.post(self._url, json=bodies[form])


def recovery(requests: Requests, limit: float) -> float | None:
    """Seconds until three answers in a row were right; None after `limit` seconds without them."""
    began, in_a_row = time.monotonic(), 0
    while time.monotonic() - began < limit:
        in_a_row = in_a_row + 1 if requests.asked_now() else 0
        if in_a_row == 3:
            return time.monotonic() - began
        time.sleep(0.05)
    return None
