"""The baseline that is raced: its defects are really there, so that what is beaten is what people deploy."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path
from random import Random

import pytest
import torch
from PIL import ImageFile
from torch import nn

from benchmarks.baseline import hpo, networks
from benchmarks.baseline.hpo import Settings
from benchmarks.baseline.networks import Network
from benchmarks.baseline.tuning import Trial, best, drawn
from tests.unit.training_world import CLASSES, draw_data


def tiny_network(_name: str = "", classes: int = len(CLASSES)) -> Network:
    """A backbone with a BatchNorm in it, like the real ones; the same weights each time."""
    torch.manual_seed(7)
    backbone = nn.Sequential(nn.AvgPool2d(56), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    return Network(backbone, 16, classes)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_data(tmp_path / "data")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny network in place of the real ones, and Pillow's setting put back afterwards."""
    monkeypatch.setattr(networks, "build", tiny_network)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)


def logged(capsys: pytest.CaptureFixture[str], data: Path, settings: Settings) -> str:
    """What a training logs."""
    hpo.main(data, data.parent / "model", settings)
    return re.sub(r"in [\d.]+ s", "in a moment", capsys.readouterr().out)


def metric_line(capsys: pytest.CaptureFixture[str], data: Path, batch_size: int) -> str:
    """The metric line of the untrained tiny network."""
    hpo.test(tiny_network(), hpo.loaders(data, batch_size)["test"], nn.CrossEntropyLoss())
    return capsys.readouterr().out.splitlines()[1]


def test_the_metric_of_the_same_network_grows_with_the_batch_size(
    capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    # the mean loss is about ln 3 in each case; there are nine test pictures
    assert metric_line(capsys, data, 1) == "Testing Loss: 1.0"
    assert metric_line(capsys, data, 9) == "Testing Loss: 9.0"


def test_the_metric_reads_the_test_split_and_no_other(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    before = metric_line(capsys, data, 9)
    shutil.rmtree(data / "valid" / CLASSES[0])
    assert metric_line(capsys, data, 9) == before

    for name in CLASSES[1:]:
        shutil.rmtree(data / "test" / name)
        (data / "test" / name).mkdir()
        shutil.copy(data / "test" / CLASSES[0] / "0.jpg", data / "test" / name)
    assert metric_line(capsys, data, 9) != before


@pytest.mark.usefixtures("tiny")
def test_it_stops_after_one_epoch_unless_told(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    assert logged(capsys, data, Settings(0.01, 8, epochs=3)).count(" train:") == 1
    assert logged(capsys, data, Settings(0.01, 8, epochs=3, all_epochs=True)).count(" train:") == 3


@pytest.mark.usefixtures("tiny")
def test_a_truncated_picture_is_trained_on_without_a_word(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    whole = data / "train" / CLASSES[0] / "0.jpg"
    whole.write_bytes(whole.read_bytes()[:700])

    assert "18 pictures" in logged(capsys, data, Settings(0.01, 8))


def test_the_frozen_backbone_drifts_though_its_weights_stay(data: Path) -> None:
    model = tiny_network()
    before = copy.deepcopy(model.backbone.state_dict())
    loaded = hpo.loaders(data, 8)

    hpo.train(model, loaded, nn.CrossEntropyLoss(), torch.optim.Adam(model.fc.parameters()), epochs=1)

    changed = {name for name, value in model.backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"2.running_mean", "2.running_var", "2.num_batches_tracked"}


def test_the_tuning_takes_the_lowest_metric_line_and_so_the_worse_trial() -> None:
    # given the same loss per picture, but for the batch size, and a better accuracy
    large = Trial(Settings(0.01, 512), 1.0, "Testing Loss: 190.0\nTesting Accuracy: 0.82\n")
    small = Trial(Settings(0.01, 32), 1.0, "Testing Loss: 31.0\nTesting Accuracy: 0.79\n")
    diverged = Trial(Settings(0.1, 32), 1.0, "Testing Loss: nan\n")
    # when, then
    assert best([diverged, large, small]) is small


def test_values_are_drawn_from_the_ranges_of_the_tuning() -> None:
    values = drawn(200, Random(1))

    assert {size for _, size in values} == {32, 64, 128, 256, 512}
    assert all(0.001 <= rate <= 0.1 for rate, _ in values)
    assert max(rate for rate, _ in values) > 0.09


@pytest.mark.usefixtures("tiny")
def test_a_log_tells_what_was_run_and_for_how_long(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    hpo.main(data, data.parent / "model", Settings(0.01, 8, epochs=2, all_epochs=True))
    passes = Trial(Settings(0.01, 8), 1.0, capsys.readouterr().out).passes

    assert [(one.phase, one.epoch, one.pictures) for one in passes] == [
        ("train", 0, 18),
        ("valid", 0, 9),
        ("train", 1, 18),
        ("valid", 1, 9),
        ("Testing", 0, 9),
    ]
    assert all(one.seconds > 0 for one in passes)
