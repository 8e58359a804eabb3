"""The loop over epochs: every one is measured on validation, the best is kept, and each is a checkpoint.

A long epoch is one more than once: the loop goes on in the middle of it.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from training.checkpoint import Checkpoints
from training.distributed import Group, apart
from training.errors import TrainingError

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch. Losses are means per picture (per view, in training), whatever the batch size.

    validation_loss   at the temperature that is best for it: see `training.calibrate.calibrated_loss`
    """

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float

    def better_than(self, other: "Epoch | None") -> bool:
        """By validation loss, which sees more than the share of right answers; the earlier one where both are equal."""
        return other is None or self.validation_loss < other.validation_loss


@dataclass(frozen=True)
class Best:
    """The weights of the best epoch, and how it went."""

    weights: State
    epoch: Epoch
    history: tuple[Epoch, ...]


class Task(Protocol):
    """What is trained. `order` draws the order of the pictures; an epoch is over `size` views of them, all ranks'."""

    @property
    def module(self) -> nn.Module:
        """What learns."""
        ...

    @property
    def shipped(self) -> nn.Module:
        """What is measured and kept: `module` itself, or an average of what it has been."""
        ...

    @property
    def optimizer(self) -> Optimizer:
        """What moves its weights."""
        ...

    schedule: LambdaLR
    order: torch.Generator
    group: Group
    size: int

    def steps(self, number: int, skip: int) -> Iterator[float]:
        """Takes the steps of an epoch but the first `skip`, on every rank; gives each one's summed loss on this rank.

        The order of the pictures is drawn once, before the first step.
        """
        ...

    def measure(self) -> tuple[float, float]:
        """Accuracy and calibrated mean loss on validation, the same on every rank."""
        ...


@dataclass
class _Place:
    """How far an epoch has come: `order` as it was before it, steps taken, and the sum of their losses on this rank."""

    order: torch.Tensor
    steps: int = 0
    loss: float = 0.0


@dataclass
class _Progress:
    """How far the loop has come. `place` is in the epoch after the last of `history`; None at its start."""

    history: list[Epoch]
    place: _Place | None = None
    best: Epoch | None = None
    weights: State | None = None

    def add(self, epoch: Epoch, module: nn.Module) -> None:
        self.history.append(epoch)
        self.place = None
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
    saved step. Raises TrainingError when the loss is no number.
    """
    progress = _Progress([])
    saved = checkpoints.load() if checkpoints else None
    if saved and checkpoints:
        _restore(task, progress, saved)
        checkpoints.say(f"{checkpoints.stage} goes on after {_reached(progress)}")
    elif before:
        progress.add(before, task.shipped)
        on_epoch(before)
    first = progress.history[-1].number + 1 if progress.history else 1
    for number in range(first, epochs + 1):
        train_loss = _train(task, number, progress, checkpoints)
        accuracy, validation_loss = task.measure()
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise TrainingError(f"the loss is no finite number after epoch {number}: use a smaller learning_rate")
        epoch = Epoch(number, train_loss, validation_loss, accuracy)
        progress.add(epoch, task.shipped)
        if checkpoints:
            checkpoints.save(_state(task, progress))
        on_epoch(epoch)
    if progress.best is None or progress.weights is None:
        raise ValueError("epochs must be at least 1")
    return Best(progress.weights, progress.best, tuple(progress.history))


def descend(task: Task, wrapped: nn.Module, losses: Sequence[Callable[[], torch.Tensor]], batch: int) -> float:
    """One step down the sum of `losses`, each the sum over a part of this rank's share of `batch` views in all.

    wrapped: what the losses come from, `Group.averaging` of the task's module. Returns the sum.
    """
    task.optimizer.zero_grad()
    total = 0.0
    for place, loss_of in enumerate(losses, 1):
        with apart(wrapped) if place < len(losses) else nullcontext():
            loss = loss_of()
            # The ranks' gradients are averaged, and their shares may differ by one: this makes it the batch's mean.
            torch.autograd.backward(loss * (task.group.world / batch))
        total += loss.item()
    task.optimizer.step()
    task.schedule.step()
    return total


def _train(task: Task, number: int, progress: _Progress, checkpoints: Checkpoints | None) -> float:
    """One epoch, or the rest of it. Returns the mean loss of the whole."""
    place = progress.place = progress.place or _Place(task.order.get_state())
    task.order.set_state(place.order)
    for loss in task.steps(number, place.steps):
        place.steps += 1
        place.loss += loss
        if checkpoints and checkpoints.due():
            checkpoints.save(_state(task, progress))
    return sum(task.group.gather(place.loss)) / task.size


def _reached(progress: _Progress) -> str:
    whole = f"epoch {progress.history[-1].number}" if progress.history else ""
    steps = f"{progress.place.steps} steps of the next" if progress.place else ""
    return " and ".join(part for part in (whole, steps) if part)


def _state(task: Task, progress: _Progress) -> dict[str, Any]:
    """A meeting point: every rank's loss is in it."""
    place = progress.place or _Place(task.order.get_state())
    return {
        "weights": task.module.state_dict(),
        "shipped": task.shipped.state_dict(),
        "optimizer": task.optimizer.state_dict(),
        "schedule": task.schedule.state_dict(),
        "order": place.order,
        "steps": place.steps,
        "losses": task.group.gather(place.loss),
        "random": torch.get_rng_state(),
        "history": [astuple(epoch) for epoch in progress.history],
        "best": astuple(progress.best) if progress.best else None,
        "best_weights": progress.weights,
    }


def _restore(task: Task, progress: _Progress, saved: dict[str, Any]) -> None:
    task.module.load_state_dict(saved["weights"])
    task.shipped.load_state_dict(saved["shipped"])
    task.optimizer.load_state_dict(saved["optimizer"])
    task.schedule.load_state_dict(saved["schedule"])
    task.order.set_state(saved["order"])
    torch.set_rng_state(saved["random"])
    progress.history[:] = [Epoch(*values) for values in saved["history"]]
    progress.best = Epoch(*saved["best"]) if saved["best"] else None
    progress.weights = saved["best_weights"]
    if saved["steps"]:
        progress.place = _Place(saved["order"], saved["steps"], saved["losses"][task.group.rank])
