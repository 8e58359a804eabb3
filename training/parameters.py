"""The job's hyperparameters: from the command line, checked before any work begins."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn

from training.backbones import NAMES as BACKBONES
from training.errors import TrainingError

RUN_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


@dataclass(frozen=True)
class Parameters:
    """Hyperparameters of one job, with the defaults that were chosen on validation pictures.

    run               name of the run; the model's version
    backbone          one of `training.backbones.NAMES`
    views             views of each training picture: the first as serving will see it, the others augmented
    epochs            passes of the head over the features
    batch_size        views per step over all hosts together
    learning_rate     AdamW's highest, after the warm-up
    weight_decay      AdamW's
    label_smoothing   share of the target spread over all classes
    seed              of the order, the augmentation and everything else that is drawn
    max_bad_share     the job fails when a larger share of the files cannot be used
    unknown_keep      share of known (validation) pictures that `confident` keeps
    """

    run: str = "run"
    backbone: str = "efficientnet_lite0"
    views: int = 2
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 0.002
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    seed: int = 1
    max_bad_share: float = 0.05
    unknown_keep: float = 0.95


# name -> (what is allowed, said to a person; the test)
_CHECKS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "views": ("from 1 to 64", lambda value: 1 <= value <= 64),
    "epochs": ("from 1 to 10000", lambda value: 1 <= value <= 10_000),
    "batch_size": ("from 1 to 65536", lambda value: 1 <= value <= 65_536),
    "learning_rate": ("above 0, at most 10", lambda value: 0 < value <= 10),
    "weight_decay": ("from 0 to 10", lambda value: 0 <= value <= 10),
    "label_smoothing": ("from 0 to 0.9", lambda value: 0 <= value <= 0.9),
    "seed": ("from 0 to 2147483647", lambda value: 0 <= value < 2**31),
    "max_bad_share": ("from 0 to 1", lambda value: 0 <= value <= 1),
    "unknown_keep": ("above 0, at most 1", lambda value: 0 < value <= 1),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TrainingError(f"hyperparameters: {message}")


def parse(arguments: Sequence[str]) -> Parameters:
    """Hyperparameters from `--name value` pairs. Raises TrainingError naming what is unknown or out of range."""
    parser = _Parser(prog="train.py", description=Parameters.__doc__, allow_abbrev=False)
    for field in fields(Parameters):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    values = vars(parser.parse_args(arguments))
    if values["backbone"] not in BACKBONES:
        raise TrainingError(f"hyperparameters: backbone {values['backbone']!r} is none of {', '.join(BACKBONES)}")
    if not RUN_NAME.fullmatch(values["run"]) or len(values["run"]) > 63:
        raise TrainingError(
            f"hyperparameters: run {values['run']!r} is not a name of letters, digits and inner hyphens"
        )
    for name, (allowed, holds) in _CHECKS.items():
        if not holds(values[name]):
            raise TrainingError(f"hyperparameters: {name} {values[name]} is not {allowed}")
    return Parameters(**values)
