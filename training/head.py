"""The head: a linear layer on frozen features, and a hidden one beside it if wanted, trained in seconds."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training import loop
from training.calibrate import calibrated_loss
from training.checkpoint import Checkpoints
from training.distributed import Group
from training.features import Features
from training.loop import Epoch
from training.parameters import Recipe

WARM_UP = 0.3  # of all steps


@dataclass(frozen=True)
class Fit:
    """A trained head: the weights of its best epoch, and how it went."""

    head: nn.Linear
    best: Epoch
    history: tuple[Epoch, ...]


def fit(
    train: Features,
    valid: Features,
    start: nn.Linear,
    recipe: Recipe,
    group: Group,
    *,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
) -> Fit:
    """Trains a copy of `start` for every one of the epochs and returns the best by validation.

    A batch is `batch_size` views over all ranks together, each rank takes its share: the gradient, and so the result
    but for rounding, does not depend on how many hosts there are. Raises TrainingError when the loss is no number.
    """
    task = _HeadTask(train, valid, start, recipe, group)
    best = loop.run(task, recipe.epochs, on_epoch=on_epoch, checkpoints=checkpoints)
    task.module.load_state_dict(best.weights)
    return Fit(task.module, best.epoch, best.history)


class HiddenHead(nn.Linear):
    """A linear layer and, added to what it says, a hidden layer that begins by saying nothing.

    So it starts where the linear head starts, and whatever holds for that head's first weights holds here.
    """

    def __init__(self, start: nn.Linear, units: int, seed: int) -> None:
        super().__init__(start.in_features, start.out_features)
        self.load_state_dict(start.state_dict())
        self.wide = nn.Linear(start.in_features, units)
        self.narrow = nn.Linear(units, start.out_features, bias=False)
        with torch.no_grad():
            drawn = torch.randn(self.wide.weight.shape, generator=torch.Generator().manual_seed(seed))
            self.wide.weight.copy_(drawn * math.sqrt(2 / start.in_features))
            self.wide.bias.zero_()
            self.narrow.weight.zero_()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of features [n, in_features]."""
        more: torch.Tensor = self.narrow(functional.gelu(self.wide(features)))
        return super().forward(features) + more


def class_weights(labels: torch.Tensor, classes: int, balance: float) -> torch.Tensor | None:
    """float32 [classes]: what a picture of each counts, one being the mean over all of `labels`; None: all the same."""
    if not balance:
        return None
    count = torch.bincount(labels, minlength=classes).clamp(min=1).double()
    weights = (count.mean() / count) ** balance
    return (weights * (len(labels) / (weights * count).sum())).float()


def targets(labels: torch.Tensor, classes: int, recipe: Recipe) -> torch.Tensor:
    """float32 [classes, classes]: by label, what each class's log-probability counts: smoothed, weighted, in one.

    The cross-entropy is linear in it, so blended views have the blend of their targets.
    """
    smoothed = torch.eye(classes).lerp(torch.full((classes, classes), 1 / classes), recipe.label_smoothing)
    weights = class_weights(labels, classes, recipe.class_balance)
    return smoothed if weights is None else smoothed * weights


class _Blends:
    """For each batch of an epoch, whom each view is blended with and the share it keeps: the same on every rank."""

    def __init__(self, recipe: Recipe, epoch: int) -> None:
        self._draw = np.random.default_rng([recipe.seed, epoch])
        self._mixup = recipe.mixup

    def next(self, batch: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The batch in another order, and the share."""
        if not self._mixup:
            return batch, 1.0
        order = torch.from_numpy(self._draw.permutation(len(batch)))
        return batch[order], float(self._draw.beta(self._mixup, self._mixup))


class _HeadTask:
    """A head, its optimizer and its views, for `training.loop`."""

    def __init__(self, train: Features, valid: Features, start: nn.Linear, recipe: Recipe, group: Group) -> None:
        self._inputs = torch.from_numpy(train.values).flatten(0, 1)  # [pictures * views, features]
        self._labels = torch.from_numpy(train.labels).repeat_interleave(train.values.shape[1])
        self._held_out = torch.from_numpy(valid.values[:, 0]), torch.from_numpy(valid.labels)
        self._recipe, self.group, self.size = recipe, group, len(self._labels)
        self.module = HiddenHead(start, recipe.hidden, recipe.seed) if recipe.hidden else copy.deepcopy(start)
        self.shipped = self.module
        self._targets = targets(torch.from_numpy(train.labels), start.out_features, recipe)
        self._wrapped = group.averaging(self.module)
        self.optimizer = AdamW(
            self.module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        steps = math.ceil(len(self._labels) / recipe.batch_size) * recipe.epochs
        self.schedule = LambdaLR(self.optimizer, lambda step: warmed_cosine(step, steps, WARM_UP))
        self.order = torch.Generator().manual_seed(recipe.seed)

    def steps(self, number: int, skip: int) -> Iterator[float]:
        blends = _Blends(self._recipe, number)
        order = torch.randperm(len(self._labels), generator=self.order)
        for place, batch in enumerate(torch.split(order, self._recipe.batch_size)):
            other, kept = blends.next(batch)  # drawn for the steps that are skipped, too
            if place >= skip:
                loss = partial(self._loss, self.group.share(batch), self.group.share(other), kept)
                yield loop.descend(self, self._wrapped, [loss], len(batch))

    def _loss(self, own: torch.Tensor, other: torch.Tensor, kept: float) -> torch.Tensor:
        """The sum over the views `own`, of which a share is `kept` and the rest is that of `other`."""
        inputs, targets = self._batch(own)
        if kept < 1:
            inputs, targets = (
                torch.lerp(*pair, kept) for pair in zip(self._batch(other), (inputs, targets), strict=True)
            )
        return -(targets * functional.log_softmax(self._wrapped(inputs), dim=1)).sum()

    def _batch(self, views: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [n, features] of these views and the targets [n, classes] of their labels."""
        return self._inputs.index_select(0, views), self._targets[self._labels[views]]

    def measure(self) -> tuple[float, float]:
        with torch.no_grad():
            return judged(self.module(self._held_out[0]), self._held_out[1])


def judged(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Accuracy and calibrated mean cross-entropy per picture of logits [pictures, classes]."""
    right = (logits.argmax(dim=1) == labels).double().mean().item()
    return right, calibrated_loss(logits.numpy(), labels.numpy())


def starting_head(train: Features, classes: int, classifier: nn.Linear | None) -> nn.Linear:
    """A head to start from: what the pretraining classes that a class's pictures look like have in common.

    For each class, the pretrained classifier's rows weighted by the mean probability it gives them over the class's
    training pictures. Where the new classes are near the old ones this is most of the way, above all with few pictures;
    where they are not, training leaves it behind. Zeros where the backbone came without its classifier.
    """
    head = nn.Linear(train.values.shape[2], classes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        if classifier is not None:
            plain, labels = torch.from_numpy(train.values[:, 0]), torch.from_numpy(train.labels)
            likeness = torch.zeros(classes, classifier.out_features)
            likeness.index_add_(0, labels, functional.softmax(classifier(plain), dim=1))
            likeness /= likeness.sum(dim=1, keepdim=True)
            head.weight.copy_(likeness @ classifier.weight)
            head.bias.copy_(likeness @ classifier.bias)
    return head


def logits(head: nn.Linear, features: Features) -> torch.Tensor:
    """float32 [pictures, classes] for the first, plain view of each picture."""
    with torch.no_grad():
        result: torch.Tensor = head(torch.from_numpy(features.values[:, 0]))
    return result


def warmed_cosine(step: int, steps: int, warm_up: float) -> float:
    """The learning rate of a step, as a share of the highest: up over the first steps, then down a cosine.

    The slow start keeps the early epochs near where they start from, for a head `starting_head`, which is best where
    the classes are like those of pretraining; the late ones get far from it, which is best where they are not.
    Validation takes its pick.
    """
    warm = max(1, int(warm_up * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
