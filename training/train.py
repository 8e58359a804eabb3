"""A training job, in SageMaker's script mode: pictures in, a model directory out.

    SM_CHANNEL_TRAINING=pictures SM_MODEL_DIR=model python training/train.py --epochs 20

Channels: training (train|valid/CLASS/picture); features, what extract.py wrote (else they are computed here); and, for
a backbone that no package carries, pretrained. `--help` names the hyperparameters. With several hosts in SM_HOSTS (or
under torchrun) each reads its share of the pictures, and rank 0 writes the one model and training.json with it. With a
folder for checkpoints, an interrupted job goes on where it was.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if not __package__:  # run as a script: this folder's modules must not stand for top-level ones
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.stopping import stop_on_signals

if __name__ == "__main__":
    stop_on_signals()  # before the imports below start threads of their own

import os
from dataclasses import asdict, dataclass, replace
from typing import cast

from training import backbones, data, head
from training.accounts import Accounts, account_for_files
from training.calibrate import softmax
from training.checkpoint import Checkpoints
from training.distributed import Group, device_of, joined
from training.evaluation import Evaluation, evaluate
from training.export import Classifier, export, weights_sha256, write
from training.extracted import Extracted, Origin, extract
from training.features import Features
from training.features_store import read_features, require_origin, require_same_pictures
from training.finetune import Machine, finetune
from training.head import Fit
from training.host import Host
from training.loop import Epoch
from training.metrics import format_metric
from training.parameters import Parameters, Recipe, parse
from training.program import keep_freed_memory, quiet_torch, run_program, say, say_epoch
from training.provenance import code_version, provenance
from training.record import TrainingRecord, write_record
from training.report_shape import DataFigures, EpochFigures
from training.usage import Timings, peak_memory_mb


@dataclass(frozen=True)
class Job:
    """What every stage needs to know."""

    parameters: Parameters
    host: Host
    group: Group
    timings: Timings


@dataclass(frozen=True)
class Trained:
    """What training came to: the network, how it went, and the splits' pictures with their labels."""

    backbone: backbones.Backbone
    fit: Fit
    splits: dict[str, Features]


def main(arguments: Sequence[str]) -> None:
    """The whole job. Raises TrainingError when it cannot be done."""
    parameters = parse(arguments)
    host = Host.of(os.environ)
    quiet_torch(parameters.seed)
    with joined(host) as group:
        run(Job(parameters, host, group, Timings(say)))


def run(job: Job) -> None:
    """Data, features, training; then rank 0 goes on alone with calibration and export."""
    say(f"run: rank {job.group.rank} of {job.group.world}, {job.host.cpus} cores, {asdict(job.parameters)}")
    with job.timings.stage("data"):
        dataset = data.scan(job.host.channel("training"))
        job.group.require_same(dataset.listing_sha256(), "the data (each host must get all of it)")
    with job.timings.stage("backbone"):
        backbone = backbones.load(job.parameters.backbone, job.host.channels.get("pretrained"))
        job.group.require_same(backbone.weights_sha256, "the backbone's weights")
    with job.timings.stage("features"):
        extracted = features_of(job, dataset, backbone)
        accounts = account_for_files(extracted, job.parameters.max_bad_share, say)
    if job.parameters.method == "finetune":
        trained = train_network(job, extracted, backbone, accounts.version)
    else:
        trained = train_head(job, extracted, backbone, accounts.version)
    if job.group.rank == 0:
        finish(job, trained, accounts)


def features_of(job: Job, dataset: data.DataSet, backbone: backbones.Backbone) -> Extracted:
    """The features out of their channel, once it is sure that they are this job's; else they are computed."""
    if "features" not in job.host.channels:
        return extract(
            dataset,
            backbone,
            job.parameters,
            job.host.cpus,
            group=job.group,
            log=say,
            device=device_of(job.host),
            kept=job.host.features,
            code=code_version(job.host.code),
        )
    extracted = read_features(job.host.channel("features"), job.host.channel("training"))
    require_origin(extracted, Origin.of(backbone, job.parameters))
    require_same_pictures(extracted, dataset, job.group, say)
    return extracted


def train_head(job: Job, extracted: Extracted, backbone: backbones.Backbone, version: str) -> Trained:
    """The head of the best epoch; rank 0 prints each epoch's metrics."""
    with job.timings.stage("head"):
        say_batches(job, "head", "views")
        fit = head.fit(
            extracted.splits["train"],
            extracted.splits["valid"],
            extracted.start,
            job.parameters,
            job.group,
            on_epoch=teller(job),
            checkpoints=checkpoints(job, "head", job.parameters, version),
        )
        job.group.require_same(weights_sha256(fit.head), "the trained weights")
    return Trained(backbone, fit, extracted.splits)


def train_network(job: Job, extracted: Extracted, backbone: backbones.Backbone, version: str) -> Trained:
    """A head on the frozen features first, quietly and with the default number of epochs; then the backbone, too."""
    splits = extracted.splits
    probing = replace(job.parameters, epochs=Recipe.epochs)
    with job.timings.stage("head"):
        stage = checkpoints(job, "head", probing, version)
        train, valid, start = splits["train"], splits["valid"], extracted.start
        probe = head.fit(train, valid, start, probing, job.group, on_epoch=lambda _: None, checkpoints=stage)
        say(f"head: on frozen features {probe.best.validation_accuracy:.1%} of the validation pictures are right")
    with job.timings.stage("finetune"):
        machine = Machine(device_of(job.host), job.host.cpus, job.group)
        keep_freed_memory()
        say_batches(job, f"finetune on {machine.device}", "pictures")
        stage = checkpoints(job, "finetune", job.parameters, version)
        tuned = finetune(splits, backbone, probe, job.parameters, machine, on_epoch=teller(job), checkpoints=stage)
        for what, module in (("backbone", tuned.backbone), ("head", tuned.fit.head)):
            digest = weights_sha256(module)
            say(f"finetune: rank {job.group.rank}: sha256 of the {what} {digest}")
            job.group.require_same(digest, f"the trained weights of the {what}")
    return Trained(replace(backbone, module=tuned.backbone), tuned.fit, splits)


def checkpoints(job: Job, stage: str, parameters: Parameters, version: str) -> Checkpoints | None:
    """Where a stage keeps its checkpoint, which is good for this very job only; None when none are kept."""
    if job.host.checkpoints is None:
        return None
    identity = {
        "hyperparameters": str(asdict(parameters)),
        "pictures": version,
        "code": code_version(job.host.code),
        "hosts": str(job.group.world),
    }
    return Checkpoints(job.host.checkpoints, stage, identity, job.group, say)


def say_batches(job: Job, what: str, of: str) -> None:
    """How large a step is, and what of it falls to a host."""
    batch, world = job.parameters.batch_size, job.group.world
    say(f"{what}: effective batch size {batch}, {world} hosts x up to {-(-batch // world)} {of}")


def teller(job: Job) -> Callable[[Epoch], None]:
    """Prints an epoch's metrics, on rank 0."""
    return say_epoch if job.group.rank == 0 else lambda _: None


def finish(job: Job, trained: Trained, accounts: Accounts) -> None:
    """Exports, calibrates and measures on validation, writes the model directory."""
    valid, best = trained.splits["valid"], trained.fit.best
    finetuned = job.parameters.method == "finetune"
    model = Classifier(trained.backbone, trained.fit.head, accounts.classes, finetuned)
    exported = export(model, trained.splits, job.parameters, threads=job.host.cpus, timings=job.timings, log=say)
    served = exported.served
    probabilities = softmax(served.logits, served.temperature)
    validation = evaluate(probabilities, served.logits, valid.labels, served.limits)
    metrics = figures(best, validation)
    say(f"precision: {exported.precision} serves, of {', '.join(exported.judged)}")
    shipped = metrics | {"epoch": best.number}
    origin = provenance(job.parameters, accounts.version, job.host.code, trained.backbone)
    facts = {"version": job.parameters.run_name, "metrics": shipped, "provenance": origin}
    write(job.host.model_dir, model, exported, facts)
    # Once more for the epoch that is shipped: SageMaker keeps the last value of each metric as the job's own.
    for name, value in metrics.items():
        say(format_metric(name, value, best.number))
    say(f"memory: at most {peak_memory_mb():.0f} MB were held")
    record: TrainingRecord = {
        "version": job.parameters.run_name,
        "metrics": shipped,
        "provenance": origin,
        "temperature": served.temperature,
        "threshold": served.limits.probability,
        "logit_threshold": served.limits.logit,
        "data": cast(DataFigures, asdict(accounts)),
        "history": [cast(EpochFigures, asdict(epoch)) for epoch in trained.fit.history],
        "validation": validation.document(accounts.classes, valid.names),
        "export": exported.figures(),
        "hosts": job.group.world,
        "timings_seconds": dict(job.timings.seconds),
        "peak_memory_mb": peak_memory_mb(),
    }
    write_record(job.host.model_dir, record)


def figures(best: Epoch, validation: Evaluation) -> dict[str, float]:
    """The shipped model's metrics by name."""
    return {
        "train:loss": best.train_loss,
        "validation:loss": best.validation_loss,
        "validation:accuracy": validation.accuracy,
        "validation:calibration_error": validation.calibration_error,
    }


if __name__ == "__main__":
    run_program(main)
