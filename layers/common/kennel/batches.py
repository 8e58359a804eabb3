"""What a batch is: its input (one table of fields that parses, refuses and documents), its limits, and its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kennel import objects
from kennel.errors import InvalidBatch
from kennel.fields import Field, shown
from kennel.naming import MAX_BATCH, MAX_RUN
from kennel.s3uri import S3Uri

# Every result is an object of its own, which `collect_batch` reads within the quarter of an hour that Lambda gives it.
MAX_PICTURES = 100_000
MAX_PICTURE_BYTES = 6 * 1024 * 1024  # what the serving container takes, and a transform job sends at most
TOP_K = 5
_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"

BATCH_FIELDS = (
    Field(
        "pictures",
        str,
        "the folder in the stack's data bucket that is asked about, `s3://bucket/folder/`: every object below it "
        f"but hidden ones, {MAX_PICTURES} at most; a batch that was begun knows its own",
        minimum=1,
        maximum=1100,
    ),
    Field(
        "batch",
        str,
        "the batch's name: started again it goes on where it ended; without it the start time",
        maximum=MAX_BATCH,
        pattern=_NAME,
    ),
    Field(
        "run",
        str,
        "the run whose model answers: one that was deployed; without it the one in service when the batch begins",
        maximum=MAX_RUN,
        pattern=_NAME,
    ),
    Field("top_k", int, f"how many breeds to answer at most; without it {TOP_K}", minimum=1, maximum=1000),
    Field(
        "instance_type", str, "SageMaker instance of the jobs", "ml.c7i.large", pattern=r"ml\.[a-z0-9-]+\.[a-z0-9-]+"
    ),
    Field("instances", int, "how many of them share a job", 1, 1, 20),
    Field(
        "pictures_a_job",
        int,
        "each job takes as many; what is interrupted costs one job's work, and each takes minutes to start",
        20_000,
        1,
        MAX_PICTURES,
    ),
    Field("max_runtime_seconds", int, "each job is stopped after this", 7200, 60, 432_000),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """An object that is asked about: `name` is its key without the folder's, `changed` when it was written last."""

    key: str
    name: str
    size: int
    changed: datetime

    @property
    def is_sent(self) -> bool:
        """Whether a container can be asked about it at all."""
        return 0 < self.size <= MAX_PICTURE_BYTES


@dataclass(frozen=True, slots=True)
class Files:
    """Where a batch keeps what, in the artifact bucket."""

    bucket: str
    batch: str

    def uri(self, name: str) -> S3Uri:
        """`settings.json`, `manifests/JOB.json`, `results/`, `predictions.jsonl`, `summary.json`."""
        return S3Uri(self.bucket, f"batches/{self.batch}/{name}")

    def results(self, client: Any) -> dict[str, datetime]:
        """The names of the pictures that have a result, and when it was written."""
        folder = self.uri("results/")
        return {
            item["Key"][len(folder.key) :].removesuffix(".out"): item["LastModified"]
            for item in objects.listed(client, folder)
        }

    def result(self, picture: Picture) -> S3Uri:
        """Where SageMaker puts the answer to a picture."""
        return self.uri(f"results/{picture.name}.out")


def parse_batch(batch_input: object, defaults: Mapping[str, object]) -> dict[str, Any]:
    """The input of a batch, resolved: every field's value, None for what is not given and has no default.

    Input goes before `defaults` (the stack's parameters), which go before the table's. Raises InvalidBatch with every
    problem found, each beginning with the field's name.
    """
    if not isinstance(batch_input, Mapping):
        raise InvalidBatch(["input: is not an object"])
    given = {str(name): value for name, value in (*defaults.items(), *batch_input.items())}
    resolved: dict[str, Any] = {}
    problems = []
    for field in BATCH_FIELDS:
        resolved[field.path] = field.default
        if field.path in given:
            resolved[field.path], problem = field.check(given.pop(field.path))
            problems += [problem] if problem else []
    problems += [f"{shown(name)}: there is no such field" for name in given]
    if problems:
        raise InvalidBatch(problems)
    return resolved


def pictures(client: Any, folder: S3Uri) -> Iterator[Picture]:
    """What is in `folder` and below, in the order of the keys, but for folder markers and hidden files."""
    for item in objects.listed(client, folder):
        key: str = item["Key"]
        if not key.endswith("/") and not key.rpartition("/")[2].startswith("."):
            yield Picture(key, key[len(folder.key) :], item["Size"], item["LastModified"])


def has_result(picture: Picture, results: Mapping[str, datetime]) -> bool:
    """Whether there is a result of the picture as it is now: one that was replaced since has none."""
    return picture.name in results and results[picture.name] >= picture.changed
