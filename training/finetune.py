"""Fine-tuning: from a head on frozen features on to the whole network, on the pictures themselves."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

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
from training.parameters import Recipe
from training.pictures import Pixels, augmented
from training.program import say
from training.tensors import Batch, Floats, normalised
from training.usage import Progress

# Of the learning rate of a head by itself: what was learnt on a million pictures is to be bent, not rewritten.
BACKBONE_RATE, HEAD_RATE = 0.01, 0.05
WARM_UP = 0.1  # of all steps


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
    recipe: Recipe,
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
        task = _NetworkTask(network, splits, recipe, machine, Reader(pool, backbone.preprocess))
        accuracy, loss = task.measure()
        before = Epoch(0, probe.best.train_loss, loss, accuracy)
        best = loop.run(task, recipe.epochs, on_epoch=on_epoch, checkpoints=checkpoints, before=before)
        task.module.load_state_dict(best.weights)
        valid = task.features(splits["valid"])
    trunk, head = task.module.cpu().requires_grad_(False)
    assert isinstance(head, nn.Linear)
    return Tuned(trunk, Fit(head, best.epoch, best.history), valid)


class _NetworkTask:
    """Backbone and head, their optimizer and their pictures, for `training.loop`.

    The network stays in evaluation mode while it is trained. So batch norm keeps the statistics of pretraining: those
    of a rank's few pictures would be worse, and would make the result depend on how many ranks there are; with none to
    agree on there is nothing for SyncBatchNorm to do. Its scales and shifts are trained like everything else.
    """

    def __init__(
        self, network: nn.Sequential, splits: dict[str, Features], recipe: Recipe, machine: Machine, reader: Reader
    ) -> None:
        self._train, self._valid = splits["train"], splits["valid"]
        self._recipe, self._machine, self._reader = recipe, machine, reader
        self.group, self.size = machine.group, len(self._train.pictures)
        head = network[1]
        assert isinstance(head, nn.Linear)
        weights = class_weights(torch.from_numpy(self._train.labels), head.out_features, recipe.class_balance)
        self._weights = None if weights is None else weights.to(machine.device)
        self.module = network.eval().requires_grad_(True).to(machine.device)
        self._wrapped = machine.group.averaging(self.module)
        self.optimizer = AdamW(_parameter_groups(network[0], network[1], recipe))
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
            with self._precision():
                found = self._wrapped(self._input(views))
            loss = functional.cross_entropy(
                found.float(),
                labels[own].to(self._machine.device),
                self._weights,
                label_smoothing=self._recipe.label_smoothing,
                reduction="sum",
            )
            progress.advance(len(own))
            yield loop.descend(self, loss, len(batch))

    def measure(self) -> tuple[float, float]:
        labels = torch.from_numpy(self._valid.labels)
        with torch.no_grad():
            seen = torch.from_numpy(self._plain(self._valid.pictures)).to(self._machine.device)
            found = self.module[1](seen).cpu()
        return judged(found, labels)

    def features(self, before: Features) -> Features:
        """The network's own features of the plain views, the same on every rank."""
        return replace(before, values=self._plain(before.pictures)[:, None])

    def _plain(self, pictures: Sequence[Picture]) -> Floats:
        """float32 [pictures, features] of the plain views; each rank does its share."""
        group = self.group
        shares = torch.split(group.share(torch.arange(len(pictures))), self._recipe.batch_size)
        with torch.no_grad():
            views = self._reader.views(pictures, shares, lambda _, pixels: self._reader.preprocess.to_input(pixels))
            parts = [self.module[0](self._input(batch)).cpu() for batch in views]
        return group.gather_rows(torch.cat(parts).numpy(), len(pictures))

    def _input(self, views: Batch) -> torch.Tensor:
        return normalised(views, self._reader.preprocess, self._machine.device)

    def _precision(self) -> AbstractContextManager[object]:
        """bf16 for what bears it, on GPUs that calculate in it; its range needs no scaling of the loss."""
        if self._machine.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()


def _parameter_groups(trunk: nn.Module, head: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """AdamW's groups: the backbone's weights, its biases and norms (which are not drawn to zero), and the head."""
    rates = recipe.learning_rate * BACKBONE_RATE, recipe.learning_rate * HEAD_RATE
    weights = [value for value in trunk.parameters() if value.ndim > 1]
    others = [value for value in trunk.parameters() if value.ndim <= 1]
    return [
        {"params": weights, "lr": rates[0], "weight_decay": recipe.weight_decay},
        {"params": others, "lr": rates[0], "weight_decay": 0.0},
        {"params": list(head.parameters()), "lr": rates[1], "weight_decay": recipe.weight_decay},
    ]
