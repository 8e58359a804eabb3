"""up, down, status: state that survives, processes that do not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local_aws import supervisor
from local_aws.processes import marked
from local_aws.settings import REPOSITORY_ROOT

from .conftest import LocalAws, Stage, build_stage, wait_for


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m local_aws ...`."""
    command = [sys.executable, "-m", "local_aws", *words]
    return subprocess.run(command, cwd=REPOSITORY_ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory that is down at the end."""
    yield tmp_path / "aws"
    supervisor.down(tmp_path / "aws")


def up(state: Path) -> LocalAws:
    """Starts an emulator there."""
    return LocalAws(state.resolve(), supervisor.up(state, 0))


def test_up_answers_status_tells_down_ends(state: Path) -> None:
    started = cli("up", "--state", str(state))
    info = json.loads((state / "local_aws.json").read_text())
    again = cli("up", "--state", str(state))
    status = json.loads(cli("status", "--state", str(state)).stdout)
    ended = cli("down", "--state", str(state))

    assert started.stdout.strip() == info["endpoint_url"] == status["endpoint_url"]
    assert again.returncode == 1
    assert "already up" in again.stderr
    assert status["resident_mb"] < 150
    assert ended.stdout == "stopped\n"
    assert not psutil.pid_exists(info["pid"])
    assert cli("status", "--state", str(state)).returncode == 1
    assert cli("down", "--state", str(state)).stdout == "was not up\n"


def test_it_listens_on_loopback_only(state: Path) -> None:
    aws = up(state)

    listening = [
        one for one in psutil.Process(aws.info["pid"]).net_connections("inet") if one.status == psutil.CONN_LISTEN
    ]

    assert [(one.laddr.ip, one.laddr.port) for one in listening] == [("127.0.0.1", aws.info["port"])]


def test_a_taken_port_is_said_in_one_line(state: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        refused = cli("up", "--state", str(state), "--port", str(port))

    assert refused.returncode == 1
    assert refused.stderr == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_the_foreground_ends_on_ctrl_c(state: Path) -> None:
    command = [sys.executable, "-m", "local_aws", "up", "--state", str(state), "--foreground"]
    process = subprocess.Popen(command, cwd=REPOSITORY_ROOT)
    wait_for((state / "local_aws.json").exists, "the start")

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 0
    assert marked(state.resolve()) == []


def test_a_restart_keeps_everything_and_brings_endpoints_back(state: Path) -> None:
    first = build_stage(up(state))
    name = first.endpoint()
    waiting = first.job("interrupted", mode="wait")
    first.aws.client("sagemaker").create_training_job(**waiting)
    supervisor.down(state)
    assert marked(state.resolve()) == []

    second = Stage(up(state), first.bucket, first.image)

    assert second.aws.info["port"] == first.aws.info["port"]
    client = second.aws.client("sagemaker")
    wait_for(
        lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", "the endpoint's return"
    )
    answer = second.aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"x")
    assert json.loads(answer["Body"].read())["version"] == "1"
    job = client.describe_training_job(TrainingJobName="interrupted")
    assert job["TrainingJobStatus"] == "Failed"
    assert "stopped while the training job was running" in job["FailureReason"]
    assert second.aws.client("s3").get_object(Bucket="stage", Key="data/train/0.jpg")["Body"].read() == b"picture"
    assert client.list_models()["Models"][0]["ModelName"] == name


def test_a_killed_emulator_remembers_its_services_and_its_orphans_are_ended_by_the_next_up(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_AWS_AUTOSAVE", "0.2")
    stage = build_stage(up(state))
    stage.endpoint()
    stage.aws.client("sagemaker").create_training_job(**stage.job("waiting", mode="wait"))
    wait_for(lambda: len(marked(stage.aws.state)) == 3, "emulator, server and job")

    time.sleep(0.5)
    os.kill(stage.aws.info["pid"], signal.SIGKILL)
    psutil.Process(stage.aws.info["pid"]).wait()
    orphans = marked(stage.aws.state)
    fresh = up(state)

    assert len(orphans) == 2
    assert not any(process.is_running() for process in orphans)
    assert fresh.client("sagemaker").describe_training_job(TrainingJobName="waiting")["TrainingJobStatus"] == "Failed"
    assert fresh.client("ecr").describe_repositories()["repositories"][0]["repositoryName"] == "kennel/serving"
    assert fresh.client("s3").get_object(Bucket="stage", Key="data/train/0.jpg")["Body"].read() == b"picture"


def test_down_leaves_nothing_of_a_killed_emulator(state: Path) -> None:
    stage = build_stage(up(state))
    stage.aws.client("sagemaker").create_training_job(**stage.job("waiting", mode="stubborn"))
    wait_for(lambda: len(marked(stage.aws.state)) == 2, "emulator and job")
    os.kill(stage.aws.info["pid"], signal.SIGKILL)

    assert supervisor.down(state)

    assert marked(stage.aws.state) == []
    time.sleep(0.1)
    assert marked(stage.aws.state) == []
