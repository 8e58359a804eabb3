"""`make demo` as a person meets it: what it prints, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tools.local_stack import ROOT

pytestmark = pytest.mark.slow


def start_demo(scratch: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tools.demo", "demo", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_of(scratch: Path) -> list[str]:
    """Command lines of processes that have anything to do with this demo's temporary folder."""
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline", "environ"])
        if process.pid != os.getpid() and str(scratch) in str(process.info["environ"])
    ]


def test_ctrl_c_in_the_middle_stops_everything_and_leaves_nothing(tmp_path: Path) -> None:
    # given a demo that is deploying
    demo = start_demo(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "sam deploy …" in line:
            break
    # when a person presses Ctrl-C, which every process of the terminal receives
    os.killpg(demo.pid, signal.SIGINT)
    said, _ = demo.communicate(timeout=60)
    # then it says so, and no process and no file is left
    assert demo.returncode == 130, said
    assert "interrupted" in said
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_data_set_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    demo = start_demo(tmp_path, "--data", str(ROOT / "docs"))
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "is not a data set" in said
    assert "Traceback" not in said
