"""`make demo` as a person meets it: what it prints, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tools.local_stack import ROOT

pytestmark = pytest.mark.slow


def start(scratch: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "TMPDIR": str(scratch),
        "KENNEL_LOCAL": str(scratch / "local"),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tools.demo", *arguments],
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


def drawn(folder: Path, breeds: int, train: int, valid: int, test: int) -> Path:
    sizes = [f"--breeds={breeds}", f"--train={train}", f"--valid={valid}", f"--test={test}"]
    subprocess.run([sys.executable, "-m", "tools.draw_dogs", str(folder), *sizes], cwd=ROOT, check=True)
    return folder


@pytest.fixture
def few_dogs(tmp_path: Path) -> Path:
    return drawn(tmp_path / "dogs", breeds=3, train=10, valid=5, test=4)


@pytest.fixture
def enough_dogs(tmp_path: Path) -> Path:
    """As many as a model needs to pass the quality gate."""
    return drawn(tmp_path / "dogs", breeds=4, train=16, valid=8, test=6)


def test_ctrl_c_in_the_middle_stops_everything_and_leaves_nothing(tmp_path: Path) -> None:
    # given a demo that is deploying
    demo = start(tmp_path, "demo")
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


def test_ctrl_c_in_the_full_demo_ends_trials_and_executions_too(tmp_path: Path, enough_dogs: Path) -> None:
    # given a full demo in the middle of a search, with a trial running (EC2 instances: test_local_aws_ec2.py)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    demo = start(scratch, "demo", "--full", "--data", str(enough_dogs))
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if "] Tune …" in line:
            break
    for _ in range(600):
        if any("training/trial.py" in line for line in processes_of(scratch)):
            break
        time.sleep(0.1)
    # when a person presses Ctrl-C
    os.killpg(demo.pid, signal.SIGINT)
    rest, _ = demo.communicate(timeout=60)
    # then it says so, and no process and no file is left
    assert demo.returncode == 130, "".join(said[-40:]) + rest
    assert "interrupted" in rest
    assert processes_of(scratch) == []
    assert list(scratch.iterdir()) == []


def test_a_folder_that_is_no_data_set_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    demo = start(tmp_path, "demo", "--data", str(ROOT / "docs"))
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "is not a data set" in said
    assert "Traceback" not in said


def test_up_leaves_a_stack_that_its_curl_line_reaches_and_down_takes_it_away(tmp_path: Path, few_dogs: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    # when a person brings the stack up
    up = start(scratch, "up", "--data", str(few_dogs))
    said, _ = up.communicate(timeout=300)
    assert up.returncode == 0, said
    # then the file says where everything is, the printed line works as it stands, and a second up is refused
    stack = json.loads((scratch / "local" / "stack.json").read_text())
    keys = {"endpoint_url", "region", "api_url", "api_key", "data_bucket", "artifact_bucket", "state_machines"}
    assert keys <= stack.keys()
    curl = next(line for line in said.splitlines() if line.startswith("curl "))
    answer = subprocess.run(shlex.split(curl), cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(json.loads(answer.stdout)["predictions"]) == 3
    page = next(line for line in said.splitlines() if line.startswith("http"))
    assert "<!doctype html>" in httpx.get(page).text
    again = start(scratch, "up")
    assert "make down" in again.communicate(timeout=60)[0]
    # and where the embedded AWS was killed, up brings the stack back as it was
    emulator = psutil.Process(json.loads((scratch / "local" / "aws" / "local_aws.json").read_text())["pid"])
    emulator.kill()
    emulator.wait()
    said, _ = start(scratch, "up").communicate(timeout=120)
    assert "is up again" in said
    assert curl in said.splitlines()
    after = subprocess.run(shlex.split(curl), cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(after.stdout)["predictions"] == json.loads(answer.stdout)["predictions"]
    # and down leaves no process and no file
    down = start(scratch, "down")
    assert down.communicate(timeout=60)[0] == ""
    assert processes_of(scratch) == []
    assert [path for path in scratch.rglob("*") if path.is_file()] == []


def test_a_failed_demo_says_why_and_leaves_nothing(tmp_path: Path, few_dogs: Path) -> None:
    # given a data set with one class, from which nothing can be learnt
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    _, *others = sorted(path.name for path in (few_dogs / "train").iterdir())
    for name in others:
        for split in ("train", "valid", "test"):
            shutil.rmtree(few_dogs / split / name)
    # when the demo runs on it
    demo = start(scratch, "demo", "--data", str(few_dogs))
    said, _ = demo.communicate(timeout=120)
    # then it fails with the pipeline's own sentence
    assert demo.returncode == 1
    assert "InvalidRun" in said
    assert "Traceback" not in said
    assert processes_of(scratch) == []
    assert list(scratch.iterdir()) == []
