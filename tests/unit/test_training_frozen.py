"""training.frozen: a GPU's way gives the features that a CPU's gives, and 16 bits are taken only where they agree."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from serving.preprocess import Preprocess
from tests.unit.training_world import draw_data
from training.backbones import Backbone
from training.data import Picture, scan
from training.distributed import Group
from training.features import Extractor, agreeing
from training.frozen import BATCH, Network, OnTorch, networks
from training.tensors import Batch, Floats

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
VIEWS = 3


@pytest.fixture(autouse=True)
def _no_handler_left() -> Iterator[None]:
    """torch leaves a handler of SIGCHLD behind, which runs on the stack that pytest's faulthandler keeps for handlers.
    After some of this suite's native code that crashed the process: the next test to wait for a child was the last.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """A network of two convolutions with random weights."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3, 2), nn.ReLU()
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval().requires_grad_(False)
    return Backbone("tiny", module, 24, Preprocess(32, 36), None, "", ())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Picture, ...]:
    """More views than fit into a batch, a bad file among the first."""
    root = draw_data(tmp_path_factory.mktemp("frozen") / "data")
    found = scan(root).splits["train"]
    found[1].path.write_bytes(b"no picture")
    return found * (1 + BATCH // (VIEWS * len(found)))


def extracted(network: Network, backbone: Backbone, pictures: tuple[Picture, ...]) -> Floats:
    """The features, once it is sure that everything else is as it should be."""
    found = Extractor(network, backbone, 1, Group(), lambda _: None).extract("train", pictures, VIEWS)
    assert len(found.pictures) == len(pictures) - sum(one.name == pictures[1].name for one in pictures)
    assert {one.kind for one in found.bad} == {"not-a-picture"}
    assert found.content[pictures[0].name] == hashlib.sha256(pictures[0].path.read_bytes()).hexdigest()
    assert found.network == network.name
    return found.values


@pytest.mark.parametrize("processes", [0, 2])
def test_torch_gives_the_features_that_openvino_gives(
    backbone: Backbone, pictures: tuple[Picture, ...], processes: int
) -> None:
    expected = extracted(networks(backbone, CPU, 2)[0], backbone, pictures)

    found = extracted(OnTorch(backbone, CPU, "f32", processes), backbone, pictures)

    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.1


def test_bf16_is_near_f32_and_leaves_the_backbone_as_it_was(backbone: Backbone, pictures: tuple[Picture, ...]) -> None:
    exact, fast = (extracted(OnTorch(backbone, CPU, kind, 0), backbone, pictures) for kind in ("f32", "bf16"))

    assert 0 < np.abs(fast - exact).max() < 0.02 * np.abs(exact).max()
    assert fast.dtype == np.float32
    assert all(value.dtype != torch.bfloat16 for value in backbone.module.state_dict().values())


class Off(OnTorch):
    """A network whose features are off by a share of each."""

    def __init__(self, backbone: Backbone, share: float) -> None:
        super().__init__(backbone, CPU, "bf16", 0)
        self.share = share

    def features(self, batch: Batch) -> Floats:
        return OnTorch(self._backbone, CPU, "f32", 0).features(batch) * np.float32(1 + self.share)


class OneMore(Group):
    """A group with another host, whose networks were off by 90 %."""

    def gather(self, value: float) -> list[float]:  # type: ignore[override]
        return [value, 0.9]


@pytest.mark.parametrize(
    ("share", "group", "taken", "words"),
    [
        (
            0.01,
            Group(),
            "torch bf16 on cpu",
            "torch bf16 on cpu is off torch f32 on cpu by at most 1.00% on 30 pictures",
        ),
        (0.5, Group(), "torch f32 on cpu", "by at most 50.00% on 30 pictures, more than 14%"),
        (float("nan"), Group(), "torch f32 on cpu", "by at most inf%"),
        (0.01, OneMore(), "torch f32 on cpu", "by at most 90.00%"),
    ],
    ids=["near", "far", "no numbers", "far on another host"],
)
def test_the_fast_network_is_taken_only_where_it_agrees_on_every_host(
    backbone: Backbone, pictures: tuple[Picture, ...], share: float, group: Group, taken: str, words: str
) -> None:
    told: list[str] = []
    exact = OnTorch(backbone, CPU, "f32", 0)

    found = agreeing(Off(backbone, share), exact, pictures, backbone, group=group, log=told.append)

    assert found.name == taken
    assert words in told[0]


def test_without_a_picture_that_can_be_read_or_a_fast_way_the_exact_one_is_taken(
    backbone: Backbone, pictures: tuple[Picture, ...]
) -> None:
    exact, bad = OnTorch(backbone, CPU, "f32", 0), replace(pictures[1])

    assert agreeing(Off(backbone, 0), exact, [bad], backbone, group=Group(), log=lambda _: None) is exact
    assert agreeing(None, exact, pictures, backbone, group=Group(), log=lambda _: None) is exact


def test_the_way_of_a_gpu_needs_no_openvino() -> None:
    program = "import sys; sys.modules['openvino'] = None; import training.extract, training.tune, training.trial"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
