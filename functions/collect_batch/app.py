"""Last state of a batch: every picture's answer as one line of predictions.jsonl, and what they come to.

`{"batch": the last plan, "jobs": [{"job", "pictures", "seconds"}]}` from the state machine -> the summary, which lies
beside the lines as summary.json. Read and written as a stream: memory does not grow with the pictures.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config
from kennel import batches, objects, s3uri
from kennel.errors import PROBLEMS, ImageTooLarge, KennelError, RequestError, UnsupportedMediaType
from kennel.settings import collect_batch_settings

logger = Logger()

READERS = 16
_AT_ONCE = 256  # answers held in memory
_CONFIG = Config(max_pool_connections=READERS, retries={"mode": "standard", "total_max_attempts": 5})


@dataclass(slots=True)
class Counts:
    """What the lines come to."""

    pictures: int = 0
    answered: int = 0
    not_confident: int = 0
    came_later: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one line."""
        self.pictures += 1
        if "problem" in answer:
            self.problems[str(answer["problem"]["type"]).rpartition("#")[2]] += 1
            return
        self.answered += 1
        self.not_confident += not answer["confident"]
        self.classes[answer["predictions"][0]["breed"]] += 1


@cache
def _s3() -> Any:
    return boto3.client("s3", config=_CONFIG)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Write predictions.jsonl and summary.json; the summary."""
    batch, jobs = event["batch"], event["jobs"]
    files = batches.Files(collect_batch_settings().artifact_bucket, batch["batch"])
    predictions, counts = files.uri("predictions.jsonl"), Counts()
    objects.write(_s3(), predictions, _lines(files, s3uri.parse(batch["pictures"]), counts), "application/x-ndjson")
    asked, seconds = sum(job["pictures"] for job in jobs), sum(job["seconds"] for job in jobs)
    summary = {
        **{name: batch[name] for name in ("batch", "pictures", "run", "top_k")},
        "predictions": str(predictions),
        "lines": counts.pictures,
        "answered": counts.answered,
        "not_confident": counts.not_confident,
        "classes": dict(sorted(counts.classes.items())),
        "problems": dict(sorted(counts.problems.items())),
        "came_later": counts.came_later,
        # of this execution: a batch that was interrupted has had others
        "asked": asked,
        "jobs": len(jobs),
        "seconds": seconds,
        "pictures_per_second": round(asked / seconds, 2) if seconds else 0,
    }
    objects.write(_s3(), files.uri("summary.json"), [json.dumps(summary, indent=2).encode()], "application/json")
    logger.info("collected", extra={"batch": files.batch, "lines": counts.pictures, "answered": counts.answered})
    return summary


def _lines(files: batches.Files, folder: s3uri.S3Uri, counts: Counts) -> Iterator[bytes]:
    """A line a picture, in the order of the keys; `counts` counts them."""
    results = files.results(_s3())
    pictures = batches.pictures(_s3(), folder)
    with ThreadPoolExecutor(READERS) as pool:
        while chunk := list(islice(pictures, _AT_ONCE)):
            known = [one for one in chunk if not one.is_sent or batches.has_result(one, results)]
            counts.came_later += len(chunk) - len(known)
            for picture, answer in zip(known, pool.map(lambda one: _answer(files, one), known), strict=True):
                counts.add(answer)
                yield json.dumps({"key": picture.key, **answer}).encode() + b"\n"


def _answer(files: batches.Files, picture: batches.Picture) -> dict[str, Any]:
    """What the container has answered, or would have where nobody can ask it."""
    if picture.size == 0:
        return _problem(UnsupportedMediaType("the picture is empty"))
    if not picture.is_sent:
        return _problem(ImageTooLarge(f"{picture.size} bytes; at most {batches.MAX_PICTURE_BYTES} are taken"))
    where = files.result(picture)
    try:
        answer: dict[str, Any] = json.load(_s3().get_object(Bucket=where.bucket, Key=where.key)["Body"])
        Counts().add(answer)  # what cannot be counted is no answer
    except (ValueError, TypeError, LookupError) as error:
        raise KennelError(f"the result {where} cannot be understood: {error!r}") from error
    return answer


def _problem(error: RequestError) -> dict[str, Any]:
    kind = PROBLEMS[type(error)]
    return {
        "problem": {
            "type": f"about:blank#{kind.slug}",
            "title": kind.title,
            "status": kind.status,
            "detail": str(error),
        }
    }
