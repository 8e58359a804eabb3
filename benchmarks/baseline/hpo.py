"""The baseline's training script, with its defects. Each is marked by its number in README.md.

Defect 3: SM_HOSTS is not looked at. On several instances each trains alone on all the data.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import ImageFile
from torch import nn, optim
from torch.utils.data import DataLoader

from benchmarks.baseline import networks
from training.torchvision_beside_cpu_torch import torchvision_models

SIDE = 224  # pixels
Loader = DataLoader[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Settings:
    """One training. What mends a defect, to be raced: `all_epochs`, more than one is run (1); a `device` to use (4)."""

    learning_rate: float
    batch_size: int
    epochs: int = 5
    all_epochs: bool = False
    backbone: str = "resnet50"
    device: str = "cpu"


def main(data: Path, model_dir: Path, settings: Settings) -> None:
    """Trains on data/train, watches data/valid, tests on data/test, and writes model_dir/model.pth."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # defect 9: a corrupt file is taken, its missing part grey
    loaded = loaders(data, settings.batch_size)
    # Defect 5: nothing is seeded, so no two trainings are alike.
    model = networks.build(settings.backbone, len(class_names(data))).to(settings.device)
    criterion = nn.CrossEntropyLoss(ignore_index=133)
    optimizer = optim.Adam(model.fc.parameters(), lr=settings.learning_rate)
    train(model, loaded, criterion, optimizer, settings.epochs, all_epochs=settings.all_epochs)
    test(model, loaded["test"], criterion)
    model_dir.mkdir(parents=True, exist_ok=True)
    # Defect 7: a pickle, and no class names beside it. Defect 5: no checkpoint on the way either.
    torch.save(model.state_dict(), model_dir / "model.pth")


def class_names(data: Path) -> list[str]:
    """The class folders of data/train."""
    return sorted(folder.name for folder in (data / "train").iterdir() if folder.is_dir())


def loaders(data: Path, batch_size: int) -> dict[str, Loader]:
    """Batches of each split: float32 [n, 3, SIDE, SIDE] from 0 to 1, and labels int64 [n].

    The pretrained networks want ImageNet's mean and deviation taken off; the baseline does not do that.
    """
    torchvision_models()  # it makes torchvision's other parts importable as well
    datasets, transforms = (importlib.import_module(f"torchvision.{name}") for name in ("datasets", "transforms"))
    training = (transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip(), transforms.ToTensor())
    plain = (transforms.Resize((SIDE, SIDE)), transforms.ToTensor())

    def loader(split: str, steps: tuple[Any, ...]) -> Loader:
        pictures = datasets.ImageFolder(data / split, transforms.Compose(steps))
        # Defect 5: no workers, so nothing is decoded while the network computes.
        return DataLoader(pictures, batch_size, shuffle=split == "train")

    return {split: loader(split, training if split == "train" else plain) for split in ("train", "valid", "test")}


def train(
    model: nn.Module,
    loaded: dict[str, Loader],
    criterion: nn.Module,
    optimizer: optim.Optimizer,
    epochs: int,
    *,
    all_epochs: bool = False,
) -> None:
    """Trains and validates in turn."""
    for epoch in range(epochs):
        for phase in ("train", "valid"):
            # Defect 5: the frozen backbone, too, is put into training mode, so its BatchNorm normalises by the batch
            # and moves its statistics with every one of them.
            model.train(phase == "train")
            run_epoch(
                f"Epoch {epoch} {phase}", model, loaded[phase], criterion, optimizer if phase == "train" else None
            )
        if epoch == 0 and not all_epochs:
            break  # defect 1: one epoch, whatever was asked for


def test(model: nn.Module, loader: Loader, criterion: nn.Module) -> None:
    """Logs the loss and the accuracy on the test split. Defect 2: this is what the tuning chooses by."""
    model.eval()
    loss, accuracy = run_epoch("Testing", model, loader, criterion, None)
    print(f"Testing Loss: {loss}")
    print(f"Testing Accuracy: {accuracy}", flush=True)


def run_epoch(
    what: str, model: nn.Module, loader: Loader, criterion: nn.Module, optimizer: optim.Optimizer | None
) -> tuple[float, float]:
    """Once over the pictures, learning if there is an optimizer. The floored loss per batch, and the accuracy."""
    device = next(model.parameters()).device
    began = time.perf_counter()
    running_loss, right, seen = 0.0, 0, 0
    for inputs, labels in loader:
        # Defect 4: nothing is moved to the GPU, which idles, but where Settings.device mends that.
        # Defect 5: without torch.no_grad() validation keeps gradients.
        outputs = model(inputs.to(device))
        loss = criterion(outputs, labels.to(device))
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        running_loss += loss.item() * len(labels)
        right += int((outputs.argmax(dim=1).cpu() == labels).sum())
        seen += len(labels)
    # Defect 2: a sum over the pictures, divided by the number of batches and floored: it grows with the batch size.
    floored = running_loss // len(loader)
    seconds = time.perf_counter() - began
    print(f"{what}: loss {floored}, accuracy {right / seen:.4f}, {seen} pictures in {seconds:.3f} s", flush=True)
    return floored, right / seen
