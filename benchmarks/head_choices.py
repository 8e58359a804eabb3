"""By what a head is best chosen, and how its temperature is best fitted: compared without a test picture.

The photographs of train/ and valid/ are split anew, REPEATS times: ten pictures of each class choose (the epoch of each
trial, the trial, the temperature), ten judge, all others, or five, are learnt from. TRIALS recipes, the defaults and
others drawn from the pipeline's ranges, are trained on each; the rules choose among the same epochs of the same heads.

accuracy, loss     the epoch by accuracy, then by loss; the trial by loss: how it was
loss               both by loss
calibrated loss    both by loss at the best temperature: how it is (training/loop.py, training/search.py)

Of the last, the temperature is fitted with a doubt of one picture shared out among all other classes (how it was), of
half a picture for the likeliest other class (how it is: training/calibrate.py), and of nothing. No goal; a picture is
judged in more than one repeat, so the repeats are not independent.

Needs the development photographs (../shared/data/dogs, or DATA=folder), as `benchmarks.best_of_search` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.best_of_search import FEW, RANGES, VIEWS
from benchmarks.claims import ROOT, record, rounded
from training import backbones, data, head
from training.calibrate import calibrated_loss, calibration_error, fit_temperature, softmax
from training.checkpoint import Checkpoints
from training.distributed import Group
from training.extracted import extract
from training.features import Features
from training.parameters import Extraction, Recipe
from training.program import quiet_torch

REPEATS, TRIALS, HELD = 8, 8, 10
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Epoch:
    """Logits of a head after an epoch, for the pictures that choose and for those that judge."""

    chosen_by: Array
    judged_by: Array


@dataclass(frozen=True)
class _Weights(Checkpoints):
    """Keeps what every epoch would checkpoint."""

    states: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def load(self) -> None:
        return None

    def due(self) -> bool:
        return False

    def save(self, payload: dict[str, Any]) -> None:
        self.states.append({name: value.clone() for name, value in payload["weights"].items()})


def raw_loss(logits: Array, labels: Array) -> float:
    """Mean cross-entropy as it is."""
    return float(-np.log(softmax(logits)[np.arange(len(labels)), labels]).mean())


def errors(logits: Array, labels: Array) -> float:
    """Share of wrong answers."""
    return float((logits.argmax(axis=1) != labels).mean())


Key = Callable[[Array, Array], tuple[float, ...]]
RULES: dict[str, tuple[Key, Key]] = {  # of the epoch, of the trial
    "accuracy, loss": (lambda z, y: (errors(z, y), raw_loss(z, y)), lambda z, y: (raw_loss(z, y),)),
    "loss": (lambda z, y: (raw_loss(z, y),), lambda z, y: (raw_loss(z, y),)),
    "calibrated loss": (lambda z, y: (calibrated_loss(z, y),), lambda z, y: (calibrated_loss(z, y),)),
}


def temperature(logits: Array, labels: Array, doubt: float) -> float:
    """The best of many for targets of which so many pictures' worth is shared out among all other classes."""
    share = doubt / (len(labels) + 2 * doubt)
    targets = np.full(logits.shape, share / (logits.shape[1] - 1))
    targets[np.arange(len(labels)), labels] = 1 - share
    every = np.geomspace(0.05, 20, 600)
    return float(min(every, key=lambda one: -(targets * np.log(np.maximum(softmax(logits, one), 1e-300))).sum()))


TEMPERATURES: dict[str, Callable[[Array, Array], float]] = {
    "a picture to all others": lambda z, y: temperature(z, y, 1.0),
    "half a picture to the likeliest": fit_temperature,
    "none": lambda z, y: temperature(z, y, 0.0),
}


def main() -> int:
    """Measure and record."""
    folder = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data" / "dogs")).resolve()
    if not folder.is_dir():
        print(f"skipped: no photographs at {folder}")
        return 0
    quiet_torch(Recipe.seed)
    backbone = backbones.load(Extraction.backbone, None)
    splits = extract(data.scan(folder), backbone, Extraction(views=VIEWS), 2, group=Group(), log=print).splits
    details: dict[str, Any] = {}
    for name, few in (("all pictures", None), (f"{FEW} a class", FEW)):
        found: dict[str, list[tuple[float, ...]]] = {}
        for chance in map(np.random.default_rng, range(REPEATS)):
            for rule, figures in judged(*resplit(splits, chance, few), backbone, chance):
                found.setdefault(rule, []).append(figures)
        names = ("accuracy", "log_loss", "calibration_error", "confidence_less_accuracy")
        details[name] = {
            rule: dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True)) for rule, rows in found.items()
        }
        for rule, figures in details[name].items():
            print(name, rule, figures)
    return record("head_choices", [], rounded(details))


def resplit(
    splits: dict[str, Features], chance: np.random.Generator, few: int | None
) -> tuple[Features, Features, Features]:
    """Training pictures with all their views, and twice HELD plain ones of each class: that choose, that judge."""
    train, valid = splits["train"], splits["valid"]
    learnt, held = [], [[], []]  # type: tuple[list[Array], list[list[Array]]]
    plain = np.concatenate([train.values[:, :1], valid.values])
    labels = np.concatenate([train.labels, valid.labels])
    for label in np.unique(train.labels):
        own = chance.permutation(np.flatnonzero(train.labels == label))
        spare = 2 * HELD - int((valid.labels == label).sum())
        rest = own[spare:]
        learnt.append(rest[:few])
        mixed = chance.permutation(np.concatenate([own[:spare], np.flatnonzero(labels == label)[len(own) :]]))
        held[0].append(mixed[:HELD])
        held[1].append(mixed[HELD:])
    kept = np.concatenate(learnt)
    parts = [np.concatenate(part) for part in held]
    chosen, judging = (replace(valid, pictures=(), values=plain[part], labels=labels[part]) for part in parts)
    return replace(train, pictures=(), values=train.values[kept], labels=train.labels[kept]), chosen, judging


def judged(
    train: Features, chosen: Features, judging: Features, backbone: backbones.Backbone, chance: np.random.Generator
) -> Iterator[tuple[str, tuple[float, ...]]]:
    """What each rule comes to on the pictures that judge, and then each way to fit the temperature."""
    start = head.starting_head(train, int(train.labels.max()) + 1, backbone.classifier)
    trials = [epochs_of(train, chosen, judging, start, one) for one in recipes(chance)]
    for rule, (epoch_key, trial_key) in RULES.items():
        kept = [min(epochs, key=lambda one: epoch_key(one.chosen_by, chosen.labels)) for epochs in trials]
        best = min(kept, key=lambda one: trial_key(one.chosen_by, chosen.labels))
        yield rule, figures_of(best, fit_temperature(best.chosen_by, chosen.labels), judging.labels)
    for name, fitted in TEMPERATURES.items():
        yield f"temperature, doubt: {name}", figures_of(best, fitted(best.chosen_by, chosen.labels), judging.labels)


def recipes(chance: np.random.Generator) -> Iterator[Recipe]:
    """The defaults, and others drawn from the pipeline's ranges."""
    yield Recipe()
    for _ in range(TRIALS - 1):
        low, high = (float(RANGES["learning_rate"][end]) for end in ("minimum", "maximum"))
        yield Recipe(
            learning_rate=float(np.exp(chance.uniform(np.log(low), np.log(high)))),
            label_smoothing=float(chance.uniform(0, RANGES["label_smoothing"]["maximum"])),
            batch_size=int(chance.choice(RANGES["batch_size"]["values"])),
        )


def epochs_of(
    train: Features, chosen: Features, judging: Features, start: torch.nn.Linear, recipe: Recipe
) -> list[Epoch]:
    """A trial, epoch by epoch."""
    weights = _Weights(Path(), "head", {}, Group(), print)
    linear = head.fit(train, chosen, start, recipe, Group(), on_epoch=lambda _: None, checkpoints=weights).head
    epochs = []
    for state in weights.states:
        linear.load_state_dict(state)
        epochs.append(Epoch(head.logits(linear, chosen).numpy(), head.logits(linear, judging).numpy()))
    return epochs


def figures_of(epoch: Epoch, at: float, labels: Array) -> tuple[float, ...]:
    """Accuracy, log loss, calibration error, and mean confidence less accuracy at this temperature."""
    probabilities = softmax(epoch.judged_by, at)
    accuracy = 1 - errors(epoch.judged_by, labels)
    gap = float(probabilities.max(axis=1).mean()) - accuracy
    loss = float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())
    return accuracy, loss, calibration_error(probabilities, labels), gap


if __name__ == "__main__":
    sys.exit(main())
