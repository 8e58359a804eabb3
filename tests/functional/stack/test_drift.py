"""Drift, whole and real: the trained model's container samples what the API is asked, the function watches its log."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from PIL import Image, ImageEnhance

from tests.functional.stack.conftest import Deployed
from tools import local_stack
from tools.upload import picture_files

pytestmark = pytest.mark.slow

A_REQUEST = 16  # pictures


def ask(deployed: Deployed, pictures: list[bytes]) -> None:
    for start in range(0, len(pictures), A_REQUEST):
        files = [("pictures", (f"{n}.jpg", data)) for n, data in enumerate(pictures[start : start + A_REQUEST])]
        answer = deployed.post(files=files)
        assert answer.status_code == 200, answer.text


def watch(deployed: Deployed) -> Any:
    resource = boto3.client("cloudformation").describe_stack_resource(
        StackName=deployed.stack.name, LogicalResourceId="WatchDriftFunction"
    )
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    return json.load(boto3.client("lambda").invoke(FunctionName=name, Payload=b"{}")["Payload"])


def darker(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        ImageEnhance.Brightness(picture).enhance(0.4).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def test_pictures_as_before_are_no_drift_and_darker_ones_are(deployed: Deployed, tmp_path: Path) -> None:
    # given pictures drawn as those that the model was trained on were, but others
    sizes = ["--breeds", "4", "--train", "24", "--valid", "1", "--test", "1", "--seed", "77"]
    subprocess.run([sys.executable, "-m", "tools.draw_dogs", str(tmp_path), *sizes], cwd=local_stack.ROOT, check=True)
    usual = [path.read_bytes() for path in picture_files(tmp_path)]
    # when the API is asked about them
    ask(deployed, usual)
    found = watch(deployed)
    # then the watcher sees nothing unusual
    assert found["event"] == "compared" and found["drift"] < 1, found
    # and when they are darker it does, and says so
    ask(deployed, [darker(data) for data in usual])
    found = watch(deployed)
    assert found["drift"] > 1, found
    assert "brightness" in found["shifted"]["features"] or "contrast" in found["shifted"]["features"]
