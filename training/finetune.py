"""Fine-tuning: from a head on frozen features on to the backbone's last stages or all, on the pictures themselves."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training import loop
from training.backbones import Backbone
from training.batches import Reader
from training.checkpoint import Checkpoints
from training.data import Picture
from training.distributed import Group
from training.features import Features
from training.head import Fit, class_weights, judged, warmed_cosine
from training.loop import Epoch
from training.parameters import FineTuning
from training.pictures import Pixels, augmented
from training.program import say
from training.tensors import Batch, Floats, normalised
from training.usage import Progress

# Of the learning rate of a head by itself: what was learnt on a million pictures is to be bent, not rewritten.
BACKBONE_RATE, HEAD_RATE = 0.01, 0.05
WARM_UP = 0.1  # of all steps

Stages = Sequence[Sequence[nn.Module]]  # a backbone's layers, from the picture on


@dataclass(frozen=True)
class Machine:
    """What this rank works with; `threads` decode pictures and, without a GPU, calculate."""

    device: torch.device
    threads: int
    group: Group


@dataclass(frozen=True)
class Tuned:
    """The network of the best epoch, on the CPU, and its features [pictures, 1, features] of the validation split."""

    backbone: nn.Module
    fit: Fit
    valid: Features


def finetune(
    splits: dict[str, Features],
    backbone: Backbone,
    probe: Fit,
    recipe: FineTuning,
    machine: Machine,
    *,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
) -> Tuned:
    """Trains copies of `backbone` and of the head of `probe` together; the best epoch by validation is kept.

    That may be the probe itself, epoch 0. The epochs' pictures are augmented views, another one in each epoch. A batch
    is `batch_size` views over all ranks together. Raises TrainingError when the loss is no number or a picture is gone.
    """
    if machine.device.type == "cpu":
        torch.set_num_threads(machine.threads)
    # Depthwise weights have one input channel, so the order of their two first strides means nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    with ThreadPoolExecutor(machine.threads, thread_name_prefix="pictures") as pool:
        network = nn.Sequential(copy.deepcopy(backbone.module), copy.deepcopy(probe.head))
        stages = [[network[0].get_submodule(name) for name in stage] for stage in backbone.stages]
        task = _NetworkTask(network, stages, splits, recipe, machine, reader=Reader(pool, backbone.preprocess))
        accuracy, loss = task.measure()
        before = Epoch(0, probe.best.train_loss, loss, accuracy)
        best = loop.run(task, recipe.epochs, on_epoch=on_epoch, checkpoints=checkpoints, before=before)
        task.shipped.load_state_dict(best.weights)
        valid = task.features(splits["valid"])
    trunk, head = task.shipped.cpu().requires_grad_(False)
    assert isinstance(head, nn.Linear)
    return Tuned(trunk, Fit(head, best.epoch, best.history), valid)


class _NetworkTask:
    """Backbone and head, their optimizer and their pictures, for `training.loop`.

    The network stays in evaluation mode while it is trained. So batch norm keeps the statistics of pretraining: those
    of a rank's few pictures would be worse, and would make the result depend on how many ranks there are; with none to
    agree on there is nothing for SyncBatchNorm to do. Its scales and shifts are trained with their stage.

    Stages that do not learn stand before those that do, so autograd neither keeps nor visits anything of them.
    """

    def __init__(
        self,
        network: nn.Sequential,
        stages: Stages,
        splits: dict[str, Features],
        recipe: FineTuning,
        machine: Machine,
        *,
        reader: Reader,
    ) -> None:
        self._train, self._valid = splits["train"], splits["valid"]
        self._recipe, self._machine, self._reader = recipe, machine, reader
        self.group, self.size = machine.group, len(self._train.pictures)
        head = network[1]
        assert isinstance(head, nn.Linear)
        weights = class_weights(torch.from_numpy(self._train.labels), head.out_features, recipe.class_balance)
        self._weights = None if weights is None else weights.to(machine.device)
        self.module = network.eval().requires_grad_(False).to(machine.device)
        self.shipped = copy.deepcopy(self.module) if recipe.ema else self.module
        self.optimizer = AdamW(_learning(stages, head, recipe))
        if recipe.compile == "on":
            self.module.compile()
        self._wrapped = machine.group.averaging(self.module)
        steps = math.ceil(len(self._train.pictures) / recipe.batch_size) * recipe.epochs
        self.schedule = LambdaLR(self.optimizer, lambda step: warmed_cosine(step, steps, WARM_UP))
        self.order = torch.Generator().manual_seed(recipe.seed)

    def steps(self, number: int, skip: int) -> Iterator[float]:
        pictures, group = self._train.pictures, self.group
        order = torch.randperm(len(pictures), generator=self.order)  # the same on every rank
        batches = torch.split(order, self._recipe.batch_size)[skip:]
        labels = torch.from_numpy(self._train.labels)

        def view(picture: Picture, pixels: Pixels) -> Pixels:
            return augmented(picture, pixels, self._reader.preprocess, number, self._recipe.seed)

        shares = [group.share(batch) for batch in batches]
        progress = Progress(f"finetune: epoch {number}", sum(map(len, shares)), say)
        for batch, own, views in zip(batches, shares, self._reader.views(pictures, shares, view), strict=True):
            parts = max(1, min(self._recipe.accumulate, len(own)))
            pairs = zip(np.array_split(views, parts), torch.tensor_split(labels[own], parts), strict=True)
            loss = loop.descend(self, self._wrapped, [partial(self._loss, *pair) for pair in pairs], len(batch))
            self._average()
            progress.advance(len(own))
            yield loss

    def _loss(self, views: Batch, labels: torch.Tensor) -> torch.Tensor:
        """The sum over the views."""
        with self._precision():
            found = self._wrapped(self._input(views))
        smoothing, labels = self._recipe.label_smoothing, labels.to(self._machine.device)
        return functional.cross_entropy(
            found.float(), labels, self._weights, label_smoothing=smoothing, reduction="sum"
        )

    def _average(self) -> None:
        """Takes the step just made into what is shipped; of short trainings the average is short, too."""
        if self.shipped is self.module:
            return
        steps = self.schedule.last_epoch
        decay = min(self._recipe.ema, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for average, value in zip(self.shipped.parameters(), self.module.parameters(), strict=True):
                average.lerp_(value, 1 - decay)

    def measure(self) -> tuple[float, float]:
        labels = torch.from_numpy(self._valid.labels)
        with torch.no_grad():
            seen = torch.from_numpy(self._plain(self._valid.pictures)).to(self._machine.device)
            found = self.shipped[1](seen).cpu()
        return judged(found, labels)

    def features(self, before: Features) -> Features:
        """The network's own features of the plain views, the same on every rank."""
        return replace(before, values=self._plain(before.pictures)[:, None])

    def _plain(self, pictures: Sequence[Picture]) -> Floats:
        """float32 [pictures, features] of the plain views; each rank does its share."""
        group = self.group
        at_once = math.ceil(self._recipe.batch_size / self._recipe.accumulate)
        shares = torch.split(group.share(torch.arange(len(pictures))), at_once)
        with torch.no_grad():
            views = self._reader.views(pictures, shares, lambda _, pixels: self._reader.preprocess.to_input(pixels))
            parts = [self.shipped[0](self._input(batch)).cpu() for batch in views]
        return group.gather_rows(torch.cat(parts).numpy(), len(pictures))

    def _input(self, views: Batch) -> torch.Tensor:
        return normalised(views, self._reader.preprocess, self._machine.device)

    def _precision(self) -> AbstractContextManager[object]:
        """bf16 for what bears it, on GPUs that calculate in it; its range needs no scaling of the loss."""
        if self._machine.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()


def _learning(stages: Stages, head: nn.Module, recipe: FineTuning) -> list[dict[str, object]]:
    """Lets the last stages and the head learn. Returns AdamW's groups: of each stage, the last first, the weights and
    the biases and norms (which are not drawn to zero), and the head."""
    groups: list[dict[str, object]] = []
    for depth, stage in enumerate(reversed(stages[-recipe.unfreeze :])):
        values = [value for layer in stage for value in layer.requires_grad_(True).parameters()]
        rate = recipe.learning_rate * BACKBONE_RATE * recipe.layer_decay**depth
        weights, others = [one for one in values if one.ndim > 1], [one for one in values if one.ndim <= 1]
        groups.append({"params": weights, "lr": rate, "weight_decay": recipe.weight_decay})
        groups.append({"params": others, "lr": rate, "weight_decay": 0.0})
    own = list(head.requires_grad_(True).parameters())
    rate = recipe.learning_rate * HEAD_RATE
    return [*groups, {"params": own, "lr": rate, "weight_decay": recipe.weight_decay}]
