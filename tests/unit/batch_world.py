"""A stack with a data bucket that a test fills, for the functions of a batch, and transform jobs that take no time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import pytest
from kennel.settings import collect_batch_settings, plan_batch_settings
from moto import mock_aws

from functions.collect_batch import app as collect
from functions.plan_batch import app as plan
from tests.unit.fakes import LambdaContext

DATA, ARTIFACTS = "kennel-data", "kennel-artifacts"
RUN = "run-20261120-090000-0a1b2c3d"
ENVIRONMENT = {
    "STACK_NAME": "kennel",
    "DATA_BUCKET": DATA,
    "ARTIFACT_BUCKET": ARTIFACTS,
    "ENDPOINT_NAME": "kennel",
    "DEFAULTS": json.dumps({"instance_type": "ml.c5.large"}),
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
GOOD = {"predictions": [{"breed": "Beagle", "index": 1, "probability": 0.9}], "confident": True, "model": RUN}


client = cache(boto3.client)  # each takes longer than a test; moto empties the account behind it


class World:
    """Both buckets, a model that answers `GOOD` or what `answers` has for a name, and the functions that see them."""

    def __init__(self) -> None:
        self.s3 = client("s3")
        self.s3.create_bucket(Bucket=DATA)
        self.s3.create_bucket(Bucket=ARTIFACTS)
        container = {"Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/kennel:1"}
        client("sagemaker").create_model(
            ModelName=f"kennel-{RUN}", PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::000000000000:role/x"
        )
        self.answers: dict[str, Any] = {}

    def put(self, *names: str, body: bytes = b"picture") -> None:
        """Pictures in the folder `dogs`."""
        for name in names:
            self.s3.put_object(Bucket=DATA, Key=f"dogs/{name}", Body=body)

    def plan(self, part: Any = 1, execution: Any = "execution-1", **given: Any) -> dict[str, Any]:
        """What Plan answers."""
        asked = {"batch": "first", "run": RUN, "pictures": f"s3://{DATA}/dogs/", **given}
        asked = {name: value for name, value in asked.items() if value is not None}
        event = {"input": asked, "execution": execution, "started": "2026-11-20T10:00:00.5Z", "part": part}
        return plan.handler(event, LambdaContext())

    def listed(self, planned: dict[str, Any]) -> list[str]:
        """The names in the manifest of a plan."""
        bucket, _, key = planned["manifest"].removeprefix("s3://").partition("/")
        names: list[str]
        head, *names = json.load(self.s3.get_object(Bucket=bucket, Key=key)["Body"])
        assert head == {"prefix": planned["pictures"]}
        return names

    def transform(self, planned: dict[str, Any]) -> None:
        """What the job of a plan does."""
        for name in self.listed(planned):
            answer = self.answers.get(name, GOOD)
            key = f"{planned['results'].removeprefix(f's3://{ARTIFACTS}/')}{name}.out"
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.s3.put_object(Bucket=ARTIFACTS, Key=key, Body=body)

    def collect(self, planned: dict[str, Any], *jobs: dict[str, Any]) -> dict[str, Any]:
        """What Collect answers."""
        return collect.handler({"batch": planned, "jobs": list(jobs)}, LambdaContext())

    def lines(self) -> list[dict[str, Any]]:
        """predictions.jsonl of the batch `first`."""
        body = self.s3.get_object(Bucket=ARTIFACTS, Key="batches/first/predictions.jsonl")["Body"].read()
        return [json.loads(line) for line in body.splitlines()]


@contextmanager
def world() -> Iterator[World]:
    """A fresh stack."""
    caches = (plan_batch_settings, collect_batch_settings)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        for cached in caches:
            cached.cache_clear()
        yield World()
        for cached in caches:
            cached.cache_clear()
