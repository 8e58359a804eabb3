"""The whole stack, deployed on the embedded AWS by the SAM CLI, with a model trained and in service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from rich.console import Console

from tests.functional.conftest import assert_all_written
from tools import local_stack, pipeline
from tools.progress import Progress
from tools.stack import Stack, describe_stack
from tools.upload import picture_files, upload

DATA_PREFIX = "dogImages/"


@dataclass(frozen=True)
class Deployed:
    """A stack in service, the embedded AWS's folder, the one it was trained on, and how its first run ended."""

    stack: Stack
    state: Path
    folder: Path
    first_run: pipeline.Outcome

    @property
    def test_pictures(self) -> list[Path]:
        return [path for path in picture_files(self.folder) if path.parts[-3] == "test"]

    def post(self, **request: Any) -> httpx.Response:
        """POST to /predictions with the stack's key."""
        headers = {"x-api-key": self.stack.api_key} | request.pop("headers", {})
        return httpx.post(f"{self.stack.api_url}/predictions", headers=headers, timeout=60.0, **request)

    def run(self, run_input: dict[str, Any]) -> pipeline.Outcome:
        """Run the pipeline to its end, quietly."""
        execution = pipeline.start(self.stack.state_machines["pipeline"], run_input)
        with Path(os.devnull).open("w") as nowhere, Progress(Console(file=nowhere)) as progress:
            return pipeline.follow(execution, progress)

    def put(self, folder: Path, prefix: str) -> None:
        """Upload another data set beside the first."""
        upload(boto3.client("s3"), folder, self.stack.data_bucket, prefix, lambda done, total: None)


@pytest.fixture(scope="package")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """`sam build`, `sam deploy`, drawn pictures uploaded, one pipeline run; everything stopped at the end."""
    scratch = tmp_path_factory.mktemp("stack")
    folder = scratch / "dogs"
    sizes = ["--breeds", "4", "--train", "16", "--valid", "8", "--test", "6"]
    subprocess.run([sys.executable, "-m", "tools.draw_dogs", str(folder), *sizes], cwd=local_stack.ROOT, check=True)
    kept = dict(os.environ)
    try:
        local_stack.start(scratch / "aws")
        local_stack.build_and_deploy(scratch)
        stack = describe_stack(local_stack.NAME)
        upload(boto3.client("s3"), folder, stack.data_bucket, DATA_PREFIX, lambda done, total: None)
        state = (scratch / "aws").resolve()
        outcome = Deployed(stack, state, folder, None).run({})  # type: ignore[arg-type]
        yield Deployed(stack, state, folder, outcome)
    finally:
        local_stack.stop(scratch / "aws")
        os.environ.clear()
        os.environ.update(kept)
    assert_all_written(scratch / "aws")
