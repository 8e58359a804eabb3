"""The frozen networks: their weights, that they stay frozen, and that OpenVINO computes what torch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.harmful import pickle_that_would_make
from training import backbones
from training.engine import Compiled, to_graph
from training.errors import TrainingError
from training.tensors import normalised
from training.torchvision_beside_cpu_torch import torchvision_models


def random_batch(size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 256, (2, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel with weights for mobilenet_v3_large, as torchvision would have saved them."""
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    torch.save(torchvision_models().mobilenet_v3_large(weights=None).state_dict(), folder / "mobilenet_v3_large.pth")
    return folder


@pytest.mark.parametrize(("name", "size"), [("efficientnet_lite0", 224), ("efficientnet_lite2", 260)])
def test_packaged_weights_load_without_a_download_and_openvino_agrees_with_torch(name: str, size: int) -> None:
    backbone = backbones.load(name, None)
    batch = random_batch(size)

    compiled = Compiled(to_graph(backbone.module, backbone.preprocess, "features"), threads=1)
    found = compiled.run(compiled.request(), batch)

    with torch.no_grad():
        expected = backbone.module(normalised(batch, backbone.preprocess)).numpy()
    assert found.shape == (2, backbone.features)
    assert np.abs(found - expected).max() < 1e-3
    assert backbone.preprocess.size == size


def test_a_backbone_is_frozen_and_its_batchnorm_does_not_drift() -> None:
    backbone = backbones.load("efficientnet_lite0", None)
    before = {name: value.clone() for name, value in backbone.module.state_dict().items()}

    features = backbone.module(normalised(random_batch(224), backbone.preprocess))

    assert not features.requires_grad
    assert not any(module.training for module in backbone.module.modules())
    assert all(torch.equal(value, before[name]) for name, value in backbone.module.state_dict().items())


@pytest.fixture
def drawn(name: str, tmp_path: Path) -> backbones.Backbone:
    """The backbone `name` with weights that were drawn, where no package carries it."""
    if name in dir(torchvision_models()):
        torch.save(getattr(torchvision_models(), name)(weights=None).state_dict(), tmp_path / f"{name}.pth")
    return backbones.load(name, tmp_path)


@pytest.mark.parametrize("name", backbones.NAMES)
def test_each_parameter_is_in_one_stage_and_in_use_and_each_stage_halves_the_picture(drawn: backbones.Backbone) -> None:
    module = drawn.module.requires_grad_(True)
    sides: dict[str, int] = {}
    for stage in drawn.stages:
        module.get_submodule(stage[0]).register_forward_hook(
            lambda _layer, _inputs, output, name=stage[0]: sides.update({name: output.shape[-1]})
        )

    module(torch.zeros(1, 3, 64, 64)).sum().backward()

    assert list(sides.values()) == [32, 16, 8, 4, 2]
    layers = [module.get_submodule(name) for stage in drawn.stages for name in stage]
    held = [value for layer in layers for value in layer.parameters()]
    assert sorted(map(id, held)) == sorted(map(id, module.parameters()))
    # DistributedDataParallel waits for the gradients of all of them
    assert not [name for name, value in module.named_parameters() if value.grad is None]


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v3_large"])
def test_torchvision_backbones_say_where_their_weights_must_come_from(name: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=rf"nothing is downloaded.*'pretrained' as {name}\.safetensors or"):
        backbones.load(name, None)
    with pytest.raises(TrainingError, match="the channel holds neither"):
        backbones.load(name, tmp_path)


def test_weights_come_from_the_pretrained_channel(mobilenet: Path) -> None:
    backbone = backbones.load("mobilenet_v3_large", mobilenet)

    assert backbone.features == 1280
    assert backbone.classifier is not None
    assert backbone.classifier.out_features == 1000
    assert backbone.module(torch.zeros(1, 3, 224, 224)).shape == (1, 1280)


def test_the_pretrained_channel_comes_before_the_package_and_may_lack_the_last_layer(tmp_path: Path) -> None:
    own = backbones.load("efficientnet_lite0", None)
    whole = {name.removeprefix("owner."): value for name, value in own.module.state_dict().items()}
    kept = {name: value for name, value in whole.items() if not name.startswith("_fc.")}
    save_file(kept, tmp_path / "efficientnet_lite0.safetensors")

    found = backbones.load("efficientnet_lite0", tmp_path)

    assert found.classifier is None
    assert found.weights_sha256 != own.weights_sha256


def test_weights_of_another_network_are_refused(mobilenet: Path, tmp_path: Path) -> None:
    (tmp_path / "resnet50.pth").write_bytes((mobilenet / "mobilenet_v3_large.pth").read_bytes())

    with pytest.raises(TrainingError, match=r"resnet50\.pth does not fit the backbone: it lacks"):
        backbones.load("resnet50", tmp_path)


def test_a_weights_file_cannot_run_code(tmp_path: Path) -> None:
    (tmp_path / "resnet50.pth").write_bytes(pickle_that_would_make(tmp_path / "harm"))

    with pytest.raises(TrainingError, match=r"resnet50\.pth holds no readable weights"):
        backbones.load("resnet50", tmp_path)

    assert not (tmp_path / "harm").exists()
