"""A container that answers late: the stack's own code with a wait before each answer, and a model to go with it."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3

from tools.stack import Stack

LATE_SECONDS = 2.5  # the canary is one of two instances, so half of the requests: above the alarm's second on average
LATE = "late-on-purpose"
WAIT = """

import asyncio

_in_time = Invocations.answer


async def _late(self, *arguments):
    await asyncio.sleep(%r)
    return await _in_time(self, *arguments)


Invocations.answer = _late
"""


def late_image(stack: Stack, plan: Mapping[str, Any], seconds: float = LATE_SECONDS) -> str:
    """Build an image of the stack's code that waits before each answer; its URI."""
    wait = (WAIT % seconds).encode()
    changed = rewritten(read(plan["code"]["uri"]), lambda name, data: data + wait if name == "serving/app.py" else data)
    key = f"code/{LATE}/source.tar.gz"
    boto3.client("s3").put_object(Bucket=stack.artifact_bucket, Key=key, Body=changed)
    image = f"{plan['image_uri'].rpartition(':')[0]}:{LATE}"
    variables = {"CODE_URI": f"s3://{stack.artifact_bucket}/{key}", "IMAGE_URI": image}
    client = boto3.client("codebuild")
    build = client.start_build(
        projectName=f"{stack.name}-serving-image",
        environmentVariablesOverride=[{"name": name, "value": value} for name, value in variables.items()],
    )["build"]["id"]
    while (found := client.batch_get_builds(ids=[build])["builds"][0])["buildStatus"] == "IN_PROGRESS":
        time.sleep(0.2)
    if found["buildStatus"] != "SUCCEEDED":
        raise RuntimeError(f"the build ended {found['buildStatus']}: {found['phases']}")
    return image


def late_model(stack: Stack, model_data: str) -> str:
    """That model under another version, so that its answers can be told apart; where it lies."""

    def renamed(name: str, data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "version": LATE}).encode() if name == "model.json" else data

    key = f"runs/{LATE}/model.tar.gz"
    changed = rewritten(read(model_data), renamed)
    boto3.client("s3").put_object(Bucket=stack.artifact_bucket, Key=key, Body=changed)
    return f"s3://{stack.artifact_bucket}/{key}"


def read(uri: str) -> bytes:
    """The bytes of s3://bucket/key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def rewritten(archive: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """A .tar.gz with every file passed through `change(name, data)`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=out, mode="w:gz") as new:
        for member in old:
            if member.isfile() and (file := old.extractfile(member)):
                data = change(member.name.removeprefix("./"), file.read())
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    return out.getvalue()
