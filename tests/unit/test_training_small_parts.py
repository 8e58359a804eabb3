"""Metric lines, hyperparameters and what a host is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.training_world import environment
from training.errors import TrainingError
from training.host import Host
from training.metrics import NAMES, format_metric
from training.parameters import Parameters, parse
from training.provenance import code_version


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_line_has_the_one_fixed_form(name: str) -> None:
    line = format_metric(name, 0.95, 3)

    assert line == f"metric {name}=0.950000 epoch=3"
    found = re.search(rf"metric {name}=([0-9.eE+-]+)", line)
    assert found is not None
    assert float(found[1]) == 0.95


@pytest.mark.parametrize(("name", "value"), [("train:loss", float("nan")), ("train:loss", float("inf")), ("loss", 1.0)])
def test_a_metric_that_sagemaker_would_drop_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"finite|none of"):
        format_metric(name, value, 1)


def test_hyperparameters_come_as_text_and_the_rest_have_defaults() -> None:
    found = parse(["--epochs", "7", "--learning_rate", "1e-2", "--run_name", "my-run-2"])

    assert found == Parameters(epochs=7, learning_rate=0.01, run_name="my-run-2")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--optimizer", "adam"], "optimizer"),
        (["--epoch", "5"], "--epoch"),  # no guessing at abbreviations
        (["--epochs", "0"], "epochs 0 is not from 1"),
        (["--epochs", "many"], "epochs: invalid int value: 'many'"),
        (["--learning_rate", "nan"], "learning_rate nan"),
        (["--learning_rate", "-0.1"], "learning_rate -0.1"),
        (["--backbone", "resnet51"], "backbone 'resnet51' is none of resnet50"),
        (["--max_bad_share", "1.5"], "max_bad_share 1.5"),
        (["--unknown_keep", "0"], "unknown_keep 0"),
        (["--run_name", "../model"], "run_name '../model'"),
        (["--method", "magic"], "method 'magic' is none of head, finetune"),
        (["--unfreeze", "6"], "unfreeze 6 is not from 1 to 5"),
        (["--ema", "1"], "ema 1.0 is not from 0 to below 1"),
    ],
)
def test_a_hyperparameter_that_is_unknown_or_out_of_range_is_named(given: list[str], complaint: str) -> None:
    with pytest.raises(TrainingError, match=re.escape(complaint)):
        parse(given)


def test_a_host_finds_its_rank_by_name_and_rank_0_by_the_first_name(tmp_path: Path) -> None:
    environ = environment(tmp_path, tmp_path, SM_HOSTS='["algo-2", "algo-1"]', SM_CURRENT_HOST="algo-2")

    host = Host.of(environ)

    assert (host.rank, host.world, host.address) == (1, 2, ("algo-1", 7777))


def test_what_a_launcher_says_comes_before_what_sagemaker_says(tmp_path: Path) -> None:
    launcher = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "2345"}

    host = Host.of(environment(tmp_path, tmp_path, **launcher))

    assert (host.rank, host.world, host.address) == (3, 4, ("127.0.0.1", 2345))


def test_the_processes_of_one_host_share_its_cores_and_are_counted_for_its_gpus(tmp_path: Path) -> None:
    launcher = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "SM_NUM_CPUS": "6"}

    host = Host.of(environment(tmp_path, tmp_path, **launcher))

    assert (host.local_rank, host.cpus) == (1, 1)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    environ = environment(tmp_path, tmp_path, SM_CHANNEL_FEATURES=str(tmp_path / "nowhere"))
    del environ["SM_CHANNEL_TRAINING"]

    host = Host.of(environ)

    with pytest.raises(TrainingError, match="SM_CHANNEL_TRAINING is not set"):
        host.channel("training")
    with pytest.raises(TrainingError, match=r"SM_CHANNEL_FEATURES: .*nowhere is not a folder"):
        host.channel("features")
    del environ["SM_MODEL_DIR"]
    with pytest.raises(TrainingError, match="SM_MODEL_DIR is not set"):
        Host.of(environ)


def test_the_code_version_holds_every_file_of_the_code_that_runs(tmp_path: Path) -> None:
    for name in ("training/train.py", "training/data/__init__.py", "serving/preprocess.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first = 1\n")
    before = code_version(None, tmp_path)

    (tmp_path / "training/data/__init__.py").write_text("second = 2\n")

    assert code_version(None, tmp_path) != before
