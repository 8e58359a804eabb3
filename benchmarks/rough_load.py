"""1,000 mixed requests, 16 at a time, while the endpoint's process is killed twice: is any answer wrong or unclean?

Every picture's right answer is asked for beforehand, alone; under load each answer is compared with its own picture's.
"""

from __future__ import annotations

import base64
import json
import random
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.claims import claim, record
from benchmarks.embedded_aws import running_stack
from tools import ask
from tools.demo import DATA_PREFIX
from tools.stack import Stack

REQUESTS = 1000
AT_A_TIME = 16
KILL_AFTER = (300, 600)
CLEAN_FAILURES = {429, 500, 502, 503, 504}
FORMS = ("bytes", "base64", "s3", "garbage", "empty form")


class Load:
    """Sends the requests and keeps the score."""

    def __init__(self, stack: Stack, pictures: list[Path]) -> None:
        self.stack = stack
        self.pictures = pictures
        self.client = httpx.Client(headers={"x-api-key": stack.api_key}, timeout=60.0)
        self.expected = {one.path: one.body["predictions"] for one in ask.ask(stack, pictures)}
        self.score: Counter[str] = Counter()
        self.kills = 0
        self._done = 0
        self._lock = threading.Lock()

    def one(self, number: int) -> None:
        """Send one request of a random form, judge its answer, and kill the endpoint's process when it is time."""
        random_number = random.Random(number)  # the same mixture in every run
        form, picture = random_number.choice(FORMS), random_number.choice(self.pictures)
        verdict = self._judge(form, picture, self._send(form, picture))
        with self._lock:
            self.score[f"{form}: {verdict}"] += 1
            self._done += 1
            if self._done in KILL_AFTER:
                self.kills += kill_one_serving_process()

    def _send(self, form: str, picture: Path) -> httpx.Response:
        url = f"{self.stack.api_url}/predictions"
        if form == "bytes":
            return self.client.post(
                url, content=picture.read_bytes(), headers={"content-type": ask.content_type(picture)}
            )
        if form == "garbage":
            return self.client.post(url, content=b"not a picture", headers={"content-type": "image/jpeg"})
        bodies: dict[str, dict[str, Any]] = {
            "base64": {"image": base64.b64encode(picture.read_bytes()).decode()},
            "s3": {"s3": f"s3://{self.stack.data_bucket}/{DATA_PREFIX}{'/'.join(picture.parts[-3:])}"},
            "empty form": {},
        }
        return self.client.post(url, json=bodies[form])

    def _judge(self, form: str, picture: Path, response: httpx.Response) -> str:
        try:
            body = response.json()
        except json.JSONDecodeError:
            return f"unclean {response.status_code}"
        if response.status_code in CLEAN_FAILURES and {"title", "status", "detail"} <= body.keys():
            return f"clean {response.status_code}"
        if form in {"garbage", "empty form"}:
            return "refused" if 400 <= response.status_code < 500 else "WRONG"
        return "right" if response.status_code == 200 and same(body["predictions"], self.expected[picture]) else "WRONG"


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Same breeds in the same order, probabilities equal to 0.001."""
    return [p["breed"] for p in one] == [p["breed"] for p in other] and all(
        abs(a["probability"] - b["probability"]) < 0.001 for a, b in zip(one, other, strict=True)
    )


def kill_one_serving_process() -> int:
    """SIGKILL one endpoint instance of ours; returns how many were killed (0 or 1)."""
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1:3] == ["-m", "serving"]:
            process.kill()
            return 1
    return 0


def main() -> int:
    """Measure and record."""
    before = {process.pid for process in psutil.process_iter()}
    with running_stack() as (stack, pictures, _):
        load = Load(stack, pictures[:40])
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(load.one, range(REQUESTS)))
        recovered = all(answer.status == 200 for answer in ask.ask(stack, pictures[:10]))
    left = [
        process.name() for process in psutil.process_iter() if process.pid not in before and "python" in process.name()
    ]
    wrong = sum(count for verdict, count in load.score.items() if "WRONG" in verdict or "unclean" in verdict)
    claims = [
        claim("requests answered wrongly or uncleanly", "<=", 0, wrong, "of 1000"),
        claim("endpoint processes killed on the way", ">=", 2, load.kills, "processes"),
        claim("processes left afterwards", "<=", 0, len(left), "processes"),
        claim("answers again after the kills", ">=", 1, int(recovered), "yes = 1"),
    ]
    return record("rough_load", claims, {"answers": dict(sorted(load.score.items()))})


if __name__ == "__main__":
    sys.exit(main())
