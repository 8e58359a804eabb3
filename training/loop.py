"""The loop over epochs: every one is measured on validation, the best is kept, and each is a checkpoint."""

import copy
import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from training.checkpoint import Checkpoints
from training.errors import TrainingError

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch. Losses are means per picture (per view, in training), whatever the batch size."""

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float

    def better_than(self, other: "Epoch | None") -> bool:
        """By validation accuracy, then by validation loss; the earlier one where both are equal."""
        if other is None:
            return True
        return (self.validation_accuracy, -self.validation_loss) > (other.validation_accuracy, -other.validation_loss)


@dataclass(frozen=True)
class Best:
    """The weights of the best epoch, and how it went."""

    weights: State
    epoch: Epoch
    history: tuple[Epoch, ...]


class Task(Protocol):
    """What is trained. `order` draws the order of the pictures."""

    @property
    def module(self) -> nn.Module:
        """What learns."""
        ...

    @property
    def optimizer(self) -> Optimizer:
        """What moves its weights."""
        ...

    schedule: LambdaLR
    order: torch.Generator

    def train(self, number: int) -> float:
        """One epoch over the training pictures, on every rank. Returns the mean loss."""
        ...

    def measure(self) -> tuple[float, float]:
        """Accuracy and mean loss on validation, the same on every rank."""
        ...


@dataclass
class _Progress:
    """How far the loop has come."""

    history: list[Epoch]
    best: Epoch | None = None
    weights: State | None = None

    def add(self, epoch: Epoch, module: nn.Module) -> None:
        self.history.append(epoch)
        if epoch.better_than(self.best):
            self.best, self.weights = epoch, copy.deepcopy(module.state_dict())


def run(
    task: Task,
    epochs: int,
    *,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
    before: Epoch | None = None,
) -> Best:
    """Trains `task` for every one of the epochs and returns the best by validation.

    before: the task as it comes, when that may be the best as well. With checkpoints the loop goes on after the last
    saved epoch. Raises TrainingError when the loss is no number.
    """
    progress = _Progress([])
    saved = checkpoints.load() if checkpoints else None
    if saved and checkpoints:
        _restore(task, progress, saved)
        checkpoints.say(f"{checkpoints.stage} goes on after epoch {progress.history[-1].number}")
    elif before:
        progress.add(before, task.module)
        on_epoch(before)
    first = progress.history[-1].number + 1 if progress.history else 1
    for number in range(first, epochs + 1):
        train_loss = task.train(number)
        accuracy, validation_loss = task.measure()
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise TrainingError(f"the loss is no finite number after epoch {number}: use a smaller learning_rate")
        epoch = Epoch(number, train_loss, validation_loss, accuracy)
        progress.add(epoch, task.module)
        if checkpoints:
            checkpoints.save(_state(task, progress))
        on_epoch(epoch)
    if progress.best is None or progress.weights is None:
        raise ValueError("epochs must be at least 1")
    return Best(progress.weights, progress.best, tuple(progress.history))


def _state(task: Task, progress: _Progress) -> dict[str, Any]:
    return {
        "weights": task.module.state_dict(),
        "optimizer": task.optimizer.state_dict(),
        "schedule": task.schedule.state_dict(),
        "order": task.order.get_state(),
        "random": torch.get_rng_state(),
        "history": [astuple(epoch) for epoch in progress.history],
        "best": astuple(progress.best) if progress.best else None,
        "best_weights": progress.weights,
    }


def _restore(task: Task, progress: _Progress, saved: dict[str, Any]) -> None:
    task.module.load_state_dict(saved["weights"])
    task.optimizer.load_state_dict(saved["optimizer"])
    task.schedule.load_state_dict(saved["schedule"])
    task.order.set_state(saved["order"])
    torch.set_rng_state(saved["random"])
    progress.history[:] = [Epoch(*values) for values in saved["history"]]
    progress.best, progress.weights = Epoch(*saved["best"]), saved["best_weights"]
