"""A features job, in SageMaker's script mode: pictures in, features out, once for all heads that are trained on them.

    SM_CHANNEL_TRAINING=pictures SM_MODEL_DIR=features python training/extract.py --views 2

Channels: training (train|valid/CLASS/picture) and, for a backbone that no package carries, pretrained. Writes
the features and features.json into SM_MODEL_DIR. `--help` names the hyperparameters. Several hosts share the
pictures; rank 0 writes.
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

from training import backbones, data
from training.accounts import account_for_files
from training.distributed import device_of, joined
from training.extracted import extract
from training.features_store import write_features
from training.host import Host
from training.parameters import Extraction, parse_as
from training.program import quiet_torch, run_program, say
from training.provenance import code_version
from training.usage import Timings, peak_memory_mb


def main(arguments: Sequence[str]) -> None:
    """The whole job. Raises TrainingError when it cannot be done."""
    parameters = parse_as(Extraction, arguments, "extract.py")
    host = Host.of(os.environ)
    timings = Timings(say)
    quiet_torch(parameters.seed)
    with joined(host) as group:
        say(f"run: rank {group.rank} of {group.world}, {host.cpus} cores, {asdict(parameters)}")
        with timings.stage("data"):
            dataset = data.scan(host.channel("training"))
            group.require_same(dataset.listing_sha256(), "the data (each host must get all of it)")
        with timings.stage("backbone"):
            backbone = backbones.load(parameters.backbone, host.channels.get("pretrained"))
            group.require_same(backbone.weights_sha256, "the backbone's weights")
        with timings.stage("features"):
            extracted = extract(
                dataset,
                backbone,
                parameters,
                host.cpus,
                group=group,
                log=say,
                device=device_of(host),
                kept=host.features,
                code=code_version(host.code),
            )
            accounts = account_for_files(extracted, parameters.max_bad_share, say)
        if group.rank == 0:
            with timings.stage("writing"):
                write_features(host.model_dir, extracted, accounts.version)
    say(f"memory: at most {peak_memory_mb():.0f} MB were held")


if __name__ == "__main__":
    run_program(main)
