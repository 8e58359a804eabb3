"""How right the baseline's trials are and how right ours, with the same pretrained network on the same pictures."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.baseline import tuning
from benchmarks.baseline.hpo import Settings
from benchmarks.claims import Claim, claim
from benchmarks.parts import jobs
from benchmarks.parts.pictures import Pictures

BACKBONE = "efficientnet_lite0"
TRIALS, EPOCHS = 1, 3  # the baseline's process takes a minute an epoch; it means to run five of them and runs one
SEED = 1  # of the baseline's draw


def race(
    pictures: Pictures, scratch: Path, features: jobs.Done, views: int, say: Callable[[str], None]
) -> tuple[list[Claim], dict[str, Any]]:
    """The claims and the details. `features` are ours, of BACKBONE with `views`."""
    trials = baseline(pictures, scratch, say)
    right = ours(pictures, scratch, features, views, say)
    chosen = tuning.best(trials)
    best = max(one.accuracy for trial in trials for one in trial.passes if one.phase == "valid")
    name = "validation accuracy, EfficientNet-lite0 both: ours less the best epoch of the baseline's trials"
    details = {"ours": right, "baseline": [_told(trial) | {"chosen": trial is chosen} for trial in trials]}
    return [claim(name, ">=", 0, right["valid"] - best, "of 1")], details


def baseline(pictures: Pictures, scratch: Path, say: Callable[[str], None]) -> list[tuning.Trial]:
    """The baseline's trials, all epochs of each."""
    trials: list[tuning.Trial] = []
    for rate, size in tuning.drawn(TRIALS, Random(SEED)):
        say(f"the baseline's trial {len(trials) + 1} of {TRIALS} on {BACKBONE}, lr {rate:.4f}, batch {size}")
        settings = Settings(rate, size, EPOCHS, all_epochs=True, backbone=BACKBONE)
        trials.append(tuning.run(pictures.folder, scratch / "baseline", settings))
    return trials


def ours(
    pictures: Pictures, scratch: Path, features: jobs.Done, views: int, say: Callable[[str], None]
) -> dict[str, float]:
    """As many trials of as many epochs, the best trained and exported: the share right on valid and on test."""
    say(f"our search, training and evaluation on {BACKBONE}")
    searched = search(scratch / "search", features, TRIALS, EPOCHS)
    values = json.loads((searched.folder / "trials.json").read_text())["best"]["values"]
    channels = {"training": pictures.folder, "features": features.folder}
    fixed = {"backbone": BACKBONE, "views": views, "epochs": EPOCHS}
    model = jobs.run("train", scratch / "model", channels, **fixed, **values)
    metrics = json.loads((model.folder / "training.json").read_text())["metrics"]
    archive = scratch / "archive"
    archive.mkdir()
    with tarfile.open(archive / "model.tar.gz", "w:gz") as packed:
        packed.add(model.folder, ".")
    channels = {"test": pictures.folder / "test", "candidate": archive}
    evaluated = jobs.run("evaluate", scratch / "evaluation", channels)
    figures = json.loads((evaluated.folder / "figures.json").read_text())
    return {"valid": metrics["validation:accuracy"], "test": figures["accuracy"]}


def search(folder: Path, features: jobs.Done, trials: int, epochs: int) -> jobs.Done:
    """Our search inside one job, within the baseline's ranges."""
    low, high = tuning.LEARNING_RATES
    ranges = {
        "learning_rate": {"minimum": low, "maximum": high, "scale": "log"},
        "batch_size": {"values": tuning.BATCH_SIZES},
    }
    return jobs.run(
        "tune", folder, {"features": features.folder}, trials=trials, epochs=epochs, ranges=json.dumps(ranges)
    )


def _told(trial: tuning.Trial) -> dict[str, Any]:
    return {
        "learning_rate": trial.settings.learning_rate,
        "batch_size": trial.settings.batch_size,
        "metric": trial.metric,
        "seconds": round(trial.seconds, 1),
        "valid_accuracy_by_epoch": [one.accuracy for one in trial.passes if one.phase == "valid"],
        "test_accuracy": trial.passes[-1].accuracy,
    }
