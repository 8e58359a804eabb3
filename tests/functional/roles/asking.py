"""Requests to the API."""

from __future__ import annotations

from typing import Any

import httpx

from .paths import Path, logged, serving
from .world import World


def _post(world: World, **request: Any) -> str:
    stack = world.quick.stack
    headers = {"x-api-key": stack.api_key}
    answer = httpx.post(f"{stack.api_url}/predictions", headers=headers, timeout=60.0, **request)
    return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text}"


def _bytes(world: World) -> str:
    return _post(world, content=world.quick.picture)


def _object(world: World) -> str:
    bucket = world.quick.stack.data_bucket
    (found, *_) = world.client("s3").list_objects_v2(Bucket=bucket, Prefix="dogImages/test/")["Contents"]
    return _post(world, json={"s3": f"s3://{bucket}/{found['Key']}"})


def _model(world: World) -> str:
    """What is serving, looked up anew."""
    stack = world.quick.stack
    headers = {"x-api-key": stack.api_key, "cache-control": "no-cache"}
    answer = httpx.get(f"{stack.api_url}/model", headers=headers, timeout=60.0)
    told = answer.status_code == 200 and answer.json()["metrics"] and answer.json()["classes"] == ["beagle"]
    return "" if told else f"{answer.status_code} {answer.text}"


BYTES = Path("a picture's bytes", _bytes, serving)
OBJECT = Path("a picture in S3", _object, serving)
ANSWER_LOG = Path("the function's log of a request", logged("ClassifyLogs", _bytes), serving)
MODEL = Path("what is serving", _model, serving)
MODEL_LOG = Path("the site's log", logged("SiteLogs", _model), serving)
ACCESS_LOG = Path("the API's access log", logged("ApiAccessLogs", _bytes), serving)
