"""The programs' hyperparameters: from the command line, checked before any work begins."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn, TypeVar

from training.backbones import NAMES as BACKBONES
from training.backbones import STAGES
from training.errors import TrainingError

RUN_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
METHODS = ("head", "finetune")
SWITCH = ("off", "on")
PRECISIONS = ("auto", "f32", "bf16", "int8")
OBJECTIVES = ("validation:loss", "validation:accuracy")


@dataclass(frozen=True)
class Run:
    """What every program is told.

    run_name   name of the run; the model's version. (Not `run`: torchrun takes `--run` for a short form of its own.)
    seed       of the order, the augmentation and everything else that is drawn
    """

    run_name: str = "run"
    seed: int = 1


@dataclass(frozen=True)
class Extraction(Run):
    """Hyperparameters of the features.

    backbone        one of `training.backbones.NAMES`
    views           views of each training picture: the first as serving will see it, the others augmented
    max_bad_share   the job fails when a larger share of the files cannot be used
    """

    backbone: str = "efficientnet_lite0"
    views: int = 2
    max_bad_share: float = 0.05


@dataclass(frozen=True)
class Recipe(Run):
    """Hyperparameters of what is learnt from them, with the defaults that were chosen on validation pictures.

    epochs            passes over the training data: over the features, or over the pictures in fine-tuning
    batch_size        views per step over all hosts together
    learning_rate     AdamW's highest, after the warm-up; fine-tuning takes a share of it
    weight_decay      AdamW's
    label_smoothing   share of the target spread over all classes
    hidden            units of a hidden layer beside the linear one; 0: the head is linear
    mixup             views are blended in pairs, on the features, by shares from a beta distribution with this
                      parameter; 0: they are not (fine-tuning never blends)
    class_balance     weight of a picture: (mean pictures per class / those of its class) to this power; 0: all the same
    """

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 0.002
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    hidden: int = 0
    mixup: float = 0.0
    class_balance: float = 0.0


@dataclass(frozen=True)
class FineTuning(Recipe):
    """Hyperparameters of fine-tuning: those of `Recipe`, and how the backbone learns.

    unfreeze      the backbone's last stages that learn with the head, of `training.backbones.STAGES`; the others stay
                  as they are
    layer_decay   a stage's learning rate is this share of that of the stage after it
    ema           decay of the exponential moving average of the weights, which is then what is measured and shipped;
                  lower at first (see `training.finetune`); 0: the weights themselves
    accumulate    parts in which a host's share of a batch goes through the network, one after the other, where memory
                  is short; their gradients are summed, so the step stays that of the whole batch
    compile       on: the training step goes through torch.compile. On a CPU it took more than a minute before the first
                  step, for steps that were 7 % shorter; it is meant for long trainings on a GPU
    """

    unfreeze: int = STAGES
    layer_decay: float = 1.0
    ema: float = 0.0
    accumulate: int = 1
    compile: str = "off"


@dataclass(frozen=True)
class Parameters(Extraction, FineTuning):
    """Hyperparameters of the training job: those of `Extraction` and `FineTuning`, and three more.

    unknown_keep   share of known (validation) pictures that `confident` keeps
    method         head: the last layer on frozen features; finetune: then the backbone, too, on the pictures
    precision      what serves, if it loses next to no accuracy on validation; else full precision (f32) does.
                   auto: the fastest of int8, bf16 (where this CPU computes in it) and f32
    """

    unknown_keep: float = 0.95
    method: str = "head"
    precision: str = "auto"


@dataclass(frozen=True)
class Search(Recipe):
    """Hyperparameters of a search for hyperparameters: those of `Recipe`, which hold where no range is given.

    trials      how many are run
    parallel    how many of them at a time, each in a process of its own, 8 at most (and a quarter of the trials, but
                never fewer than 4); 0: one for each core. The search comes to the same with any number
    objective   what is to be low (validation:loss) or high (validation:accuracy)
    ranges      what is searched, as JSON: see `training.ranges`
    """

    trials: int = 12
    parallel: int = 0
    objective: str = "validation:loss"
    ranges: str = ""


Kind = TypeVar("Kind", bound=Run)

# name -> (what is allowed, said to a person; the test)
_CHECKS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "views": ("from 1 to 64", lambda value: 1 <= value <= 64),
    "epochs": ("from 1 to 10000", lambda value: 1 <= value <= 10_000),
    "batch_size": ("from 1 to 65536", lambda value: 1 <= value <= 65_536),
    "learning_rate": ("above 0, at most 10", lambda value: 0 < value <= 10),
    "weight_decay": ("from 0 to 10", lambda value: 0 <= value <= 10),
    "label_smoothing": ("from 0 to 0.9", lambda value: 0 <= value <= 0.9),
    "hidden": ("from 0 to 4096", lambda value: 0 <= value <= 4096),
    "mixup": ("from 0 to 10", lambda value: 0 <= value <= 10),
    "class_balance": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "unfreeze": (f"from 1 to {STAGES}", lambda value: 1 <= value <= STAGES),
    "layer_decay": ("above 0, at most 1", lambda value: 0 < value <= 1),
    "ema": ("from 0 to below 1", lambda value: 0 <= value < 1),
    "accumulate": ("from 1 to 1024", lambda value: 1 <= value <= 1024),
    "seed": ("from 0 to 2147483647", lambda value: 0 <= value < 2**31),
    "max_bad_share": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "unknown_keep": ("above 0, at most 1", lambda value: 0 < value <= 1),
    "trials": ("from 1 to 1000", lambda value: 1 <= value <= 1000),
    "parallel": ("from 0 to 100", lambda value: 0 <= value <= 100),
}
_CHOICES = {
    "backbone": BACKBONES,
    "method": METHODS,
    "precision": PRECISIONS,
    "objective": OBJECTIVES,
    "compile": SWITCH,
}


def problem(name: str, value: float) -> str | None:
    """What is wrong with this value of a number, in words; None when it may be used."""
    allowed, holds = _CHECKS[name]
    return None if holds(value) else f"{name} {value} is not {allowed}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"hyperparameters: {message}")


def parse(arguments: Sequence[str]) -> Parameters:
    """Those of the training job, as `parse_as`."""
    return parse_as(Parameters, arguments, "train.py")


def parse_as(kind: type[Kind], arguments: Sequence[str], program: str) -> Kind:
    """Hyperparameters from `--name value` pairs; `program` is the script's name, for its help.

    Raises TrainingError naming what is unknown or out of range.
    """
    parser = _Parser(prog=program, description=kind.__doc__, allow_abbrev=False)
    for field in fields(kind):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    values = vars(parser.parse_args(arguments))
    for name, choices in _CHOICES.items():
        if name in values and values[name] not in choices:
            raise TrainingError(f"hyperparameters: {name} {values[name]!r} is none of {', '.join(choices)}")
    if not RUN_NAME.fullmatch(values["run_name"]) or len(values["run_name"]) > 63:
        raise TrainingError(
            f"hyperparameters: run_name {values['run_name']!r} is not a name of letters, digits and inner hyphens"
        )
    for name, value in values.items():
        wrong = problem(name, value) if name in _CHECKS else None
        if wrong:
            raise TrainingError(f"hyperparameters: {wrong}")
    return kind(**values)
