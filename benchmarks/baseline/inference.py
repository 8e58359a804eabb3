"""The baseline's serving script: SageMaker's four functions, with its defects (their numbers: README.md).

7: an unsafe pickle is loaded, a URL would be read as it comes, nothing is made RGB, and logits are all that it answers.
"""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from benchmarks.baseline import networks

SIDE = 224


def model_fn(model_dir: str) -> nn.Module:
    """The network with the weights of `model.pth`; its ResNet-50 is built with other weights first, as theirs is."""
    weights = torch.load(Path(model_dir) / "model.pth", weights_only=False)  # defect 7
    network = networks.build("resnet50", len(weights["fc.2.bias"]))
    network.load_state_dict(weights)
    return network.eval()


def input_fn(body: bytes, content_type: str) -> Any:
    """A picture. Their other form, a URL, is left out: nothing here fetches what a caller names."""
    if content_type != "image/jpeg":
        raise ValueError(f"{content_type} is not taken")
    return Image.open(io.BytesIO(body))


def predict_fn(picture: Any, network: nn.Module) -> torch.Tensor:
    """Logits [1, classes]; the picture is squeezed to a square, and not normalised."""
    transforms = importlib.import_module("torchvision.transforms")  # `networks` made torchvision importable
    ready = transforms.Compose([transforms.Resize((SIDE, SIDE)), transforms.ToTensor()])
    with torch.no_grad():
        logits: torch.Tensor = network(ready(picture).unsqueeze(0))
    return logits


def output_fn(logits: torch.Tensor) -> list[list[float]]:
    """All of them, as JSON."""
    found: list[list[float]] = logits.tolist()
    return found
