"""The job as SageMaker starts it: a process, its exit status, its last words, its signals, and two of them at once."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.unit.training_world import COUNTS, QUICK, ROOT, command, draw_data, environment
from training.data import TRAINED

DOGS = ROOT.parent / "shared" / "data" / "dogs"


@contextmanager
def started(environ: dict[str, str], folder: Path, **hyperparameters: str) -> Iterator[subprocess.Popen[str]]:
    """The job's process, as started from a folder of its own; killed if the test leaves it running."""
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command(**hyperparameters),
        env=environ,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("missing", "hyperparameters", "reason"),
    [
        ("", {"optimizer": "adam"}, "error: hyperparameters: unrecognized arguments: --optimizer adam"),
        ("valid", {}, 'error: the data has no folder valid/ (it holds "test/", "train/")'),
    ],
)
def test_a_failing_job_exits_1_with_the_reason_as_its_last_line(
    tmp_path: Path, missing: str, hyperparameters: dict[str, str], reason: str
) -> None:
    data = draw_data(tmp_path / "data")
    if missing:
        (data / missing).rename(tmp_path / "elsewhere")

    with started(environment(data, tmp_path), tmp_path / "cwd", **hyperparameters) as process:
        _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err.splitlines()[-1] == reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_job_at_once_with_one_line(tmp_path: Path, number: signal.Signals) -> None:
    data = draw_data(tmp_path / "data")

    # given a job that would go on for minutes
    with started(environment(data, tmp_path), tmp_path / "cwd", epochs="10000") as process:
        assert process.stdout is not None
        while "epoch=1" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 128 + number
    assert err.splitlines() == [f"error: stopped by {number.name}"]
    assert not (tmp_path / "model" / "model.json").exists()


def test_a_signal_waits_for_a_checkpoint_that_is_being_written(tmp_path: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from training.stopping import WRITING, stop_on_signals
stop_on_signals()
with WRITING:
    print("writing", flush=True)
    time.sleep(0.5)
    Path({str(tmp_path / "whole")!r}).touch()
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)

    assert (tmp_path / "whole").exists()
    assert err.splitlines() == [b"error: stopped by SIGTERM"]


@pytest.mark.slow
def test_two_hosts_train_one_model_together(tmp_path: Path) -> None:
    data = draw_data(tmp_path / "data")
    one_file_is_bad = data / "train" / "001.Red_disc" / "bad.jpg"
    one_file_is_bad.write_bytes(b"")
    settings = {**QUICK, "max_bad_share": "0.1", "batch_size": "7", "hidden": "8", "mixup": "0.4", "class_balance": "1"}
    port = str(free_port())

    def host(name: str) -> dict[str, str]:
        shared = {"SM_HOSTS": '["algo-1","algo-2"]', "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return environment(data, tmp_path / name, SM_CURRENT_HOST=name, SM_NUM_CPUS="1", **shared)

    with (
        started(host("algo-1"), tmp_path / "cwd1", **settings) as first,
        started(host("algo-2"), tmp_path / "cwd2", **settings) as second,
        started(environment(data, tmp_path / "alone"), tmp_path / "cwd3", **settings) as alone,
    ):
        outs = [process.communicate(timeout=120) for process in (first, second, alone)]

    assert [process.returncode for process in (first, second, alone)] == [0, 0, 0], outs
    # each read its half of the pictures, and rank 0 alone wrote a model and told metrics
    assert "features: train 10/10 pictures" in outs[0][0]
    assert "features: train 9/9 pictures" in outs[1][0]
    assert "effective batch size 7, 2 hosts x up to 4 views" in outs[0][0]
    assert "metric " not in outs[1][0]
    assert not (tmp_path / "algo-2" / "model").exists()
    # the job itself has compared the ranks' weights by hash; and together they have learnt what one learns alone
    together, single = (load_file(tmp_path / name / "model" / "weights.safetensors") for name in ("algo-1", "alone"))
    for name, value in single.items():
        assert (together[name] - value).abs().max() < 1e-4
    records = [json.loads((tmp_path / name / "model" / "training.json").read_text()) for name in ("algo-1", "alone")]
    assert records[0]["data"] == records[1]["data"]
    assert records[0]["hosts"] == 2
    assert records[0]["data"]["pictures"] == {split: COUNTS[split] * 3 for split in TRAINED}


@pytest.mark.slow
def test_photographs_of_twenty_breeds_are_told_apart(tmp_path: Path) -> None:
    if not DOGS.is_dir():
        pytest.skip("the development photographs (../shared/data/dogs) are not on this machine")

    with started(environment(DOGS, tmp_path), tmp_path / "cwd", precision="f32") as process:
        _, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert record["validation"]["accuracy"] >= 0.94
    assert record["validation"]["top5"] >= 0.98
    assert record["export"]["precisions"]["f32"]["label_agreement"] == 1.0
