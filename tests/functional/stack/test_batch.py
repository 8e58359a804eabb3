"""A batch on the real stack: good and bad pictures, stopped and gone on with; its lines are what the API answers."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from typing import Any

import boto3
import pytest

from tools import pipeline

from .conftest import Deployed

pytestmark = pytest.mark.slow
BAD = {"broken.jpg": b"\xff\xd8\xff\xe0 and no more", "notes.txt": b"no picture at all", "empty.png": b""}


def fill(deployed: Deployed, folder: str) -> dict[str, bytes]:
    """The test pictures and three bad ones, by their keys."""
    pictures = {f"{folder}/{path.parent.name}/{path.name}": path.read_bytes() for path in deployed.test_pictures[:9]}
    pictures |= {f"{folder}/{name}": content for name, content in BAD.items()}
    for key, content in pictures.items():
        boto3.client("s3").put_object(Bucket=deployed.stack.data_bucket, Key=key, Body=content)
    return pictures


def ended(execution: str) -> dict[str, Any]:
    """The execution, once it has ended."""
    client = boto3.client("stepfunctions")
    deadline = time.monotonic() + 120
    while (found := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the batch never ended"
        time.sleep(0.2)
    return dict(found)


def results(deployed: Deployed, batch: str) -> list[str]:
    """The keys of the results that a batch has so far."""
    folder = f"batches/{batch}/results/"
    found = boto3.client("s3").list_objects_v2(Bucket=deployed.stack.artifact_bucket, Prefix=folder)
    return [one["Key"] for one in found.get("Contents", [])]


def asked_by_api(deployed: Deployed, content: bytes) -> dict[str, Any]:
    """What the API answers to a picture, as a line of a batch would have it."""
    answer = deployed.post(content=content, params={"top_k": "2"})
    told = {name: value for name, value in answer.json().items() if name != "request_id"}
    return told if answer.status_code == 200 else {"problem": {"status": told["status"], "type": told["type"]}}


def test_a_batch_that_was_stopped_goes_on_and_its_lines_are_what_the_api_answers(deployed: Deployed) -> None:
    # given pictures of which some are bad, and a batch of them that is stopped after its first job
    pictures = fill(deployed, "holidays")
    machine, folder = deployed.stack.state_machines["batch"], f"s3://{deployed.stack.data_bucket}/holidays/"
    execution = pipeline.start(machine, {"batch": "first", "pictures": folder, "top_k": 2, "pictures_a_job": 5})
    deadline = time.monotonic() + 60
    while len(results(deployed, "first")) < 5:
        assert time.monotonic() < deadline, "the first job never ended"
        time.sleep(0.05)
    boto3.client("stepfunctions").stop_execution(executionArn=execution)
    # and of which one result is lost
    (lost, *_) = before = results(deployed, "first")
    boto3.client("s3").delete_object(Bucket=deployed.stack.artifact_bucket, Key=lost)
    # when it is started again
    found = ended(pipeline.start(machine, {"batch": "first"}))
    # then it asks about the rest only
    assert found["status"] == "SUCCEEDED", found.get("cause")
    summary = json.loads(found["output"])
    assert summary["asked"] <= len(pictures) - len(before)  # the empty one is never asked about
    # and every picture has its line, in the order of the keys, with what the API answers to it
    assert (summary["lines"], summary["answered"], sum(summary["problems"].values())) == (12, 9, 3)
    bucket, _, key = summary["predictions"].removeprefix("s3://").partition("/")
    lines = [json.loads(line) for line in boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].iter_lines()]
    assert [line["key"] for line in lines] == sorted(pictures, key=os.fsencode)
    for line in lines:
        key, problem = line.pop("key"), line.get("problem")
        if key.endswith("empty.png"):  # which the API takes for a request without a picture
            assert problem["status"] == 415
            continue
        told = {"problem": {name: problem[name] for name in ("status", "type")}} if problem else line
        assert told == asked_by_api(deployed, pictures[key]), key
    best = Counter(line["predictions"][0]["breed"] for line in lines if "predictions" in line)
    assert summary["classes"] == dict(best)
