"""A tuning job in one process, in SageMaker's script mode: features in, trials.json out.

    SM_CHANNEL_FEATURES=features SM_MODEL_DIR=tuning python training/tune.py --trials 20 \\
        --ranges '{"learning_rate": {"minimum": 1e-4, "maximum": 1e-2, "scale": "log"}}'

Channel: features, what extract.py wrote. A trial takes seconds where a training job of its own would take minutes.
`--help` names the hyperparameters; trials.json is `training.search.SearchFigures`. With a folder for checkpoints, an
interrupted search goes on where it was.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a script: this folder's modules must not stand for top-level ones
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.stopping import stop_on_signals

if __name__ == "__main__":
    stop_on_signals()  # before the imports below start threads of their own

import hashlib
import json
import os
from dataclasses import asdict, replace

import optuna

from training.checkpoint import Checkpoints
from training.distributed import Group
from training.features_store import MANIFEST, read_features
from training.host import Host
from training.metrics import format_metric
from training.parameters import Search, parse_as
from training.program import quiet_torch, run_program, say
from training.provenance import code_version
from training.ranges import read_ranges
from training.search import TrialFigures, search

FILE = "trials.json"


def main(arguments: Sequence[str]) -> None:
    """The whole search. Raises TrainingError when it cannot be done."""
    parameters = parse_as(Search, arguments, "tune.py")
    distributions = read_ranges(parameters.ranges)
    host = Host.of(os.environ)
    quiet_torch(parameters.seed)
    extracted = read_features(host.channel("features"))
    say(f"run: {asdict(parameters)}")
    found = search(
        extracted,
        parameters,
        distributions,
        lambda trial: say_trial(trial, parameters.trials),
        processes=parameters.parallel or host.cpus,
        checkpoints=checkpoints(host, parameters),
    )
    best = found["best"]
    say(f"best: {best['name']}, {parameters.objective} {best['objective']:.6f}, {best['values']}")
    say(format_metric("tune:best", best["objective"], len(found["trials"]), "trial"))
    host.model_dir.mkdir(parents=True, exist_ok=True)
    (host.model_dir / FILE).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def checkpoints(host: Host, parameters: Search) -> Checkpoints | None:
    """Where the search keeps its results, which are good for this very search only; None when none are kept."""
    if host.checkpoints is None:
        return None
    manifest = (host.channel("features") / MANIFEST).read_bytes()  # it vouches for the features
    identity = {
        "hyperparameters": str(asdict(replace(parameters, parallel=0))),
        "features": hashlib.sha256(manifest).hexdigest(),
        "code": code_version(host.code),
        "optuna": optuna.__version__,
    }
    return Checkpoints(host.checkpoints, "search", identity, Group(), say)


def say_trial(trial: TrialFigures, trials: int) -> None:
    """One trial, and its objective as a metric."""
    number = int(trial["name"].rpartition("-")[2])
    say(f"trial: {number} of {trials} {trial['status']} after {trial['seconds']:.1f} s, {trial['values']}")
    if trial["objective"] is not None:
        say(format_metric("tune:objective", trial["objective"], number, "trial"))


if __name__ == "__main__":
    run_program(main)
