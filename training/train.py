"""A training job, in SageMaker's script mode: pictures in, a model directory out.

    SM_CHANNEL_TRAINING=pictures SM_MODEL_DIR=model SM_OUTPUT_DATA_DIR=output python training/train.py --epochs 20

Pictures in the layout train|valid|test/CLASS/picture. `--help` names the hyperparameters. With several hosts in
SM_HOSTS (or under torchrun) each reads its share of the pictures, and rank 0 writes the one model.
"""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a script: this folder's modules must not stand for top-level ones
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.stopping import stop_on_signals

if __name__ == "__main__":
    stop_on_signals()  # before the imports below start threads of their own

import os
from dataclasses import asdict, dataclass
from typing import cast

import torch

from training import backbones, data, head
from training.calibrate import fit_temperature, softmax, threshold_for
from training.distributed import Group, joined
from training.engine import Compiled, to_graph
from training.errors import TrainingError
from training.evaluate import Evaluation, evaluate
from training.export import Classifier, check, head_sha256, write
from training.features import Extractor, Features
from training.head import Epoch, Fit
from training.host import Host
from training.metrics import format_metric
from training.parameters import Parameters, parse
from training.provenance import provenance
from training.report import Accounts, Timings, account_for_files, peak_memory_mb, write_report
from training.report_shape import DataFigures, EpochFigures, ExportFigures, Report


def say(line: str) -> None:
    """One line to the job's log."""
    print(line, flush=True)


@dataclass(frozen=True)
class Job:
    """What every stage needs to know."""

    parameters: Parameters
    host: Host
    group: Group
    timings: Timings


def main(arguments: Sequence[str]) -> None:
    """The whole job. Raises TrainingError when it cannot be done."""
    parameters = parse(arguments)
    host = Host.of(os.environ)
    torch.manual_seed(parameters.seed)
    torch.use_deterministic_algorithms(True)
    # The heavy work is OpenVINO's, on all cores. What is left to torch is too small to share: its threads would spend
    # their time waiting for each other, ten times over on a machine that others use as well.
    torch.set_num_threads(1)
    with joined(host) as group:
        run(Job(parameters, host, group, Timings(say)))


def run(job: Job) -> None:
    """Data, features, head; then rank 0 goes on alone with calibration, evaluation and export."""
    say(f"run: rank {job.group.rank} of {job.group.world}, {job.host.cpus} cores, {asdict(job.parameters)}")
    with job.timings.stage("data"):
        dataset = data.scan(job.host.data)
        job.group.require_same(dataset.listing_sha256(), "the data (each host must get all of it)")
    with job.timings.stage("backbone"):
        backbone = backbones.load(job.parameters.backbone, job.host.pretrained)
        job.group.require_same(backbone.weights_sha256, "the backbone's weights")
    with job.timings.stage("features"):
        features = extract(job, dataset, backbone)
        accounts = account_for_files(dataset, features, job.parameters.max_bad_share, say)
    with job.timings.stage("head"):
        fit = train_head(job, len(dataset.classes), features, backbone)
        job.group.require_same(head_sha256(fit.head), "the trained weights")
    if job.group.rank == 0:
        finish(job, features, backbone, fit, accounts)


def extract(job: Job, dataset: data.DataSet, backbone: backbones.Backbone) -> dict[str, Features]:
    """Each split's features: augmented views for train, the plain one for the others."""
    compiled = Compiled(to_graph(backbone.module, backbone.preprocess, "features"), job.host.cpus)
    extractor = Extractor(compiled, backbone, job.host.cpus, job.parameters.seed, job.group, log=say)
    return {
        split: extractor.extract(split, pictures, job.parameters.views if split == "train" else 1)
        for split, pictures in dataset.splits.items()
    }


def train_head(job: Job, classes: int, features: dict[str, Features], backbone: backbones.Backbone) -> Fit:
    """The head of the best epoch; rank 0 prints each epoch's metrics."""
    batch, hosts = job.parameters.batch_size, job.group.world
    say(f"head: effective batch size {batch}, {hosts} hosts x up to {-(-batch // hosts)} views")
    start = head.starting_head(features["train"], classes, backbone.classifier)
    on_epoch = say_epoch if job.group.rank == 0 else lambda _: None
    return head.fit(features["train"], features["valid"], start, job.parameters, job.group, on_epoch=on_epoch)


def say_epoch(epoch: Epoch) -> None:
    """The metric lines of one epoch."""
    say(format_metric("train:loss", epoch.train_loss, epoch.number))
    say(format_metric("validation:loss", epoch.validation_loss, epoch.number))
    say(format_metric("validation:accuracy", epoch.validation_accuracy, epoch.number))


def finish(job: Job, features: dict[str, Features], backbone: backbones.Backbone, fit: Fit, accounts: Accounts) -> None:
    """Calibrates on validation, measures on test, exports and checks, writes the model directory and the report."""
    valid, test = features["valid"], features["test"]
    found = head.logits(fit.head, valid).numpy()
    temperature = fit_temperature(found, valid.labels)
    probabilities = softmax(found, temperature)
    threshold = threshold_for(probabilities, job.parameters.unknown_keep)
    validation = evaluate(probabilities, valid.labels, threshold)
    tested: Evaluation | None = None
    if test.pictures:
        tested = evaluate(softmax(head.logits(fit.head, test).numpy(), temperature), test.labels, threshold)
    metrics = figures(fit.best, validation, tested)
    model = Classifier(backbone, fit.head, accounts.classes, temperature, threshold)
    shipped = metrics | {"epoch": fit.best.number}
    origin = provenance(job.parameters, accounts.version, job.host.code, backbone)
    with job.timings.stage("export"):
        graph = model.graph()
        agreement = check(graph, model, valid.pictures, job.host.cpus)
        facts = {"version": job.parameters.run, "metrics": shipped, "provenance": origin}
        write(job.host.model_dir, graph, model, facts)
    # Once more for the epoch that is shipped: SageMaker keeps the last value of each metric as the job's own.
    for name, value in metrics.items():
        if value is not None:
            say(format_metric(name, value, fit.best.number))
    say(f"memory: at most {peak_memory_mb():.0f} MB were held")
    report: Report = {
        "version": job.parameters.run,
        "metrics": shipped,
        "provenance": origin,
        "temperature": temperature,
        "threshold": threshold,
        "data": cast(DataFigures, asdict(accounts)),
        "history": [cast(EpochFigures, asdict(epoch)) for epoch in fit.history],
        "validation": validation.document(accounts.classes, valid.names),
        "test": tested.document(accounts.classes, test.names) if tested else None,
        "export": cast(ExportFigures, asdict(agreement)),
        "hosts": job.group.world,
        "timings_seconds": dict(job.timings.seconds),
        "peak_memory_mb": peak_memory_mb(),
    }
    with job.timings.stage("report"):
        write_report(job.host.output_dir, report, (test if tested else valid).pictures, backbone.preprocess)


def figures(best: Epoch, validation: Evaluation, tested: Evaluation | None) -> dict[str, float | None]:
    """The shipped model's metrics by name; null for what could not be measured."""
    return {
        "train:loss": best.train_loss,
        "validation:loss": best.validation_loss,
        "validation:accuracy": best.validation_accuracy,
        "validation:calibration_error": validation.calibration_error,
        "test:accuracy": tested.accuracy if tested else None,
    }


def guarded(arguments: Sequence[str]) -> int:
    """`main` as a process: 0, or 1 with the reason as the last line on stderr, SageMaker's FailureReason."""
    try:
        main(arguments)
    except TrainingError as error:
        reason = str(error)
    except Exception as error:  # a fault of ours or of the machine: the traceback is for whoever mends it
        traceback.print_exc()
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    else:
        return 0
    sys.stdout.flush()
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names may hold any bytes
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(guarded(sys.argv[1:]))
