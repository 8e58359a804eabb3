"""The head: one linear layer on frozen features, trained in seconds."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training.distributed import Group
from training.errors import TrainingError
from training.features import Features
from training.parameters import Parameters

WARM_UP = 0.3  # of all steps


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
class Fit:
    """A trained head: the weights of its best epoch, and how it went."""

    head: nn.Linear
    best: Epoch
    history: tuple[Epoch, ...]


def fit(
    train: Features,
    valid: Features,
    start: nn.Linear,
    parameters: Parameters,
    group: Group,
    *,
    on_epoch: Callable[[Epoch], None],
) -> Fit:
    """Trains a copy of `start` for every one of the epochs and returns the best by validation.

    A batch is `batch_size` views over all ranks together, each rank takes its share: the gradient, and so the result
    but for rounding, does not depend on how many hosts there are. Raises TrainingError when the loss is no number.
    """
    inputs = torch.from_numpy(train.values).flatten(0, 1)  # [pictures * views, features]
    labels = torch.from_numpy(train.labels).repeat_interleave(train.values.shape[1])
    held_out = torch.from_numpy(valid.values[:, 0]), torch.from_numpy(valid.labels)
    head = _copy(start)
    wrapped = group.averaging(head)
    optimizer = AdamW(head.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay)
    steps = math.ceil(len(labels) / parameters.batch_size) * parameters.epochs
    schedule = LambdaLR(optimizer, lambda step: _rate(step, steps))
    order = torch.Generator().manual_seed(parameters.seed)
    best: Epoch | None = None
    best_head = head
    history = []
    for number in range(1, parameters.epochs + 1):
        total = torch.zeros((), dtype=torch.float64)
        for batch in torch.split(torch.randperm(len(labels), generator=order), parameters.batch_size):
            own = batch[group.rank :: group.world]
            loss = functional.cross_entropy(
                wrapped(inputs[own]), labels[own], label_smoothing=parameters.label_smoothing, reduction="sum"
            )
            optimizer.zero_grad()
            # The ranks' gradients are averaged, and their shares may differ by one: this makes it the batch's mean.
            torch.autograd.backward(loss * (group.world / len(batch)))
            optimizer.step()
            schedule.step()
            total += loss.detach()
        accuracy, validation_loss = _measure(head, *held_out)
        train_loss = sum(group.gather(total.item())) / len(labels)
        epoch = Epoch(number, train_loss, validation_loss, accuracy)
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise TrainingError(f"the loss is no finite number after epoch {number}: use a smaller learning_rate")
        on_epoch(epoch)
        history.append(epoch)
        if epoch.better_than(best):
            best, best_head = epoch, _copy(head)
    if best is None:
        raise ValueError("epochs must be at least 1")
    return Fit(best_head, best, tuple(history))


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


def _rate(step: int, steps: int) -> float:
    """The learning rate of a step, as a share of the highest: up over the first steps, then down a cosine.

    The slow start keeps the early epochs near `starting_head`, which is best where the classes are like those of
    pretraining; the late ones get far from it, which is best where they are not. Validation takes its pick.
    """
    warm = max(1, int(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _measure(head: nn.Linear, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Accuracy and mean cross-entropy per picture, without label smoothing."""
    with torch.no_grad():
        found = head(inputs)
        right = (found.argmax(dim=1) == labels).double().mean().item()
        return right, functional.cross_entropy(found, labels).item()


def _copy(head: nn.Linear) -> nn.Linear:
    twin = nn.Linear(head.in_features, head.out_features)
    twin.load_state_dict(head.state_dict())
    return twin
