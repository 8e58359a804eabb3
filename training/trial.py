"""A trial of a tuning job, in SageMaker's script mode: features in, metric lines out. It takes seconds.

    SM_CHANNEL_FEATURES=features SM_MODEL_DIR=model python training/trial.py --learning_rate 0.003

Channel: features, what extract.py wrote. `--help` names the hyperparameters. The last value of each metric is that of
the epoch that train.py would ship. No model is written: train.py makes it, with the best trial's hyperparameters.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a script: this folder's modules must not stand for top-level ones
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.stopping import stop_on_signals

if __name__ == "__main__":
    stop_on_signals()  # before the imports below start threads of their own

import os
from dataclasses import asdict

from training import head
from training.distributed import Group
from training.features_store import read_features
from training.host import Host
from training.parameters import Recipe, parse_as
from training.program import quiet_torch, run_program, say, say_epoch


def main(arguments: Sequence[str]) -> None:
    """The whole trial. Raises TrainingError when it cannot be done."""
    recipe = parse_as(Recipe, arguments, "trial.py")
    host = Host.of(os.environ)
    quiet_torch(recipe.seed)
    extracted = read_features(host.channel("features"))
    say(f"run: {asdict(recipe)}")
    train, valid = extracted.splits["train"], extracted.splits["valid"]
    fit = head.fit(train, valid, extracted.start, recipe, Group(), on_epoch=say_epoch)
    say_epoch(fit.best)  # once more: SageMaker judges the trial by the last value


if __name__ == "__main__":
    run_program(main)
