"""The whole stack on the embedded AWS, with quick programs: a run of the real pipeline takes two or three seconds.

State machines, roles, jobs, endpoints and functions are the real ones. Only the published code is another (see
fixtures/quick), waits are short, and metric periods and cooldowns run sixty times faster.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from tests.functional.conftest import assert_all_written
from tools import local_stack
from tools.stack import describe_stack
from tools.upload import picture_files, upload

from .quick import Quick

FAST = {
    "SFN_WAIT_SCALE": "0.003",
    "LOCAL_AWS_TIME_FACTOR": "60",
    "LOCAL_AWS_STOP_GRACE": "1",
    "LOCAL_AWS_INVOKE_TIMEOUT": "3",
    "LOCAL_AWS_STARTUP_TIMEOUT": "20",
}


@contextmanager
def deployed(scratch: Path, options: Callable[[], tuple[str, ...]] = tuple) -> Iterator[Quick]:
    """`sam build`, `sam deploy`, a few drawn pictures, quick programs; everything stopped at the end.

    `options` are asked for once the embedded AWS is up, and go on to `sam deploy`.
    """
    sizes = ["--breeds", "2", "--train", "2", "--valid", "1", "--test", "1"]
    subprocess.run(
        [sys.executable, "-m", "tools.draw_dogs", str(scratch / "dogs"), *sizes], cwd=local_stack.ROOT, check=True
    )
    kept = dict(os.environ)
    try:
        os.environ.update(FAST)
        local_stack.start(scratch / "aws")
        local_stack.build_and_deploy(scratch, *options())
        stack = describe_stack(local_stack.NAME)
        upload(boto3.client("s3"), scratch / "dogs", stack.data_bucket, "dogImages/", lambda done, total: None)
        # An hour is a minute here: the sweeper would come among the tests, and take the faults meant for them.
        events = boto3.client("events")
        for rule in events.list_rules()["Rules"]:
            if "ScheduleExpression" in rule:
                events.disable_rule(Name=rule["Name"])
        found = Quick(stack, picture_files(scratch / "dogs")[0].read_bytes())
        found.reset()
        yield found
    finally:
        local_stack.stop(scratch / "aws")
        os.environ.clear()
        os.environ.update(kept)
    assert_all_written(scratch / "aws")


@pytest.fixture(scope="package")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """The stack as it is by itself."""
    with deployed(tmp_path_factory.mktemp("failures")) as found:
        yield found


@pytest.fixture(autouse=True)
def _fresh(quick: Quick) -> None:
    """Each test starts without faults, and with programs that work."""
    quick.reset()
