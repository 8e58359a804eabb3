"""The baseline's network: a backbone with every parameter frozen, and a head of two layers that learns."""

from __future__ import annotations

import torch
from torch import nn

from training import backbones
from training.torchvision_beside_cpu_torch import torchvision_models

BACKBONES = ("resnet50", "efficientnet_lite0")
HIDDEN = 128


class Network(nn.Module):
    """float32 [n, 3, side, side] -> logits [n, classes]; `backbone` gives [n, width]."""

    def __init__(self, backbone: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.fc = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.backbone(pictures))
        return logits


def build(name: str, classes: int) -> Network:
    """The network on the backbone `name`, one of `BACKBONES`, which alone is not drawn by chance."""
    if name == "resnet50":
        model = random_resnet50()
        model.fc = nn.Identity()
        return Network(model, 2048, classes)
    backbone = backbones.load(name, None)
    return Network(backbone.module, backbone.features, classes)


def random_resnet50() -> nn.Module:
    """torchvision's ResNet-50, the same random weights each time: enough for its speed, not for its accuracy.

    The baseline downloads pretrained ones, which no package carries.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = torchvision_models().resnet50(weights=None)
    return model
