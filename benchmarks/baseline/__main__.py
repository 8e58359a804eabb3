"""The baseline from the command line: `python -m benchmarks.baseline train|tune`; `--help` names the arguments."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from random import Random

from benchmarks.baseline import hpo, networks, tuning


def main(arguments: list[str] | None = None) -> int:
    """One training, or a search with one for each trial."""
    asked = _parser().parse_args(arguments)
    if asked.command == "train":
        values = asked.learning_rate, asked.batch_size
        hpo.main(asked.data, asked.model_dir, _settings(asked, *values))
        return 0
    trials = []
    for number, (rate, size) in enumerate(tuning.drawn(asked.trials, Random(asked.seed)), start=1):
        trial = tuning.run(asked.data, asked.model_dir / f"trial-{number}", _settings(asked, rate, size))
        print(f"trial {number} of {asked.trials}: lr {rate:.4f}, batch {size}, {trial.metric:g}, {trial.seconds:.1f} s")
        print(trial.log, end="", flush=True)
        trials.append(trial)
    best = tuning.best(trials)
    print(f"best: trial {trials.index(best) + 1}, Testing Loss {best.metric:g}")
    return 0


def _settings(asked: argparse.Namespace, learning_rate: float, batch_size: int) -> hpo.Settings:
    return hpo.Settings(learning_rate, batch_size, asked.epochs, asked.all_epochs, asked.backbone, asked.device)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, default=os.environ.get("SM_CHANNEL_TRAINING", "dogImages"))
    common.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR", "TrainedModels"))
    common.add_argument("--backbone", choices=networks.BACKBONES, default="resnet50")
    common.add_argument("--device", default="cpu", help="any other mends defect 4")
    common.add_argument("--epochs", type=int, default=5)
    common.add_argument("--all-epochs", action="store_true", help="without it only the first is run: defect 1")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baseline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", parents=[common], help="train once")
    train.add_argument("--learning_rate", type=float, default=0.001)
    train.add_argument("--batch_size", type=int, default=64)
    tune = commands.add_parser("tune", parents=[common], help="search the learning rate and the batch size")
    tune.add_argument("--trials", type=int, default=2)
    tune.add_argument("--seed", type=int, help="of the values that are tried; the trainings are never seeded")
    return parser


if __name__ == "__main__":
    sys.exit(main())
