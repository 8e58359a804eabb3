"""The head: one linear layer on frozen features, trained in seconds."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training import loop
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
    head = copy.deepcopy(start)
    head.load_state_dict(best.weights)
    return Fit(head, best.epoch, best.history)


class _HeadTask:
    """A head, its optimizer and its views, for `training.loop`."""

    def __init__(self, train: Features, valid: Features, start: nn.Linear, recipe: Recipe, group: Group) -> None:
        self._inputs = torch.from_numpy(train.values).flatten(0, 1)  # [pictures * views, features]
        self._labels = torch.from_numpy(train.labels).repeat_interleave(train.values.shape[1])
        self._held_out = torch.from_numpy(valid.values[:, 0]), torch.from_numpy(valid.labels)
        self._recipe, self.group, self.size = recipe, group, len(self._labels)
        self.module = copy.deepcopy(start)
        self._wrapped = group.averaging(self.module)
        self.optimizer = AdamW(self.module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        steps = math.ceil(len(self._labels) / recipe.batch_size) * recipe.epochs
        self.schedule = LambdaLR(self.optimizer, lambda step: warmed_cosine(step, steps, WARM_UP))
        self.order = torch.Generator().manual_seed(recipe.seed)

    def steps(self, number: int, skip: int) -> Iterator[float]:
        inputs, labels, group = self._inputs, self._labels, self.group
        for batch in torch.split(torch.randperm(len(labels), generator=self.order), self._recipe.batch_size)[skip:]:
            own = group.share(batch)
            loss = functional.cross_entropy(
                self._wrapped(inputs[own]),
                labels[own],
                label_smoothing=self._recipe.label_smoothing,
                reduction="sum",
            )
            self.optimizer.zero_grad()
            # The ranks' gradients are averaged, and their shares may differ by one: this makes it the batch's mean.
            torch.autograd.backward(loss * (group.world / len(batch)))
            self.optimizer.step()
            self.schedule.step()
            yield loss.item()

    def measure(self) -> tuple[float, float]:
        """Accuracy and mean cross-entropy per picture, without label smoothing."""
        inputs, labels = self._held_out
        with torch.no_grad():
            found = self.module(inputs)
            right = (found.argmax(dim=1) == labels).double().mean().item()
            return right, functional.cross_entropy(found, labels).item()


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
