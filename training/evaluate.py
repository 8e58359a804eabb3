"""An evaluation job, in SageMaker's script mode: a trained model and test pictures in, figures and a report out.

    SM_CHANNEL_TEST=dogs/test SM_CHANNEL_CANDIDATE=model SM_MODEL_DIR=evaluation SM_OUTPUT_DATA_DIR=output \\
        python training/evaluate.py --run_name dogs-1

Channels: test (CLASS/picture), candidate (model.tar.gz) and, where there are any, incumbent (model.tar.gz of the model
in service) and tuning (trials.json). The models run as they ship: their own graph, preprocessing and calibration.
Writes report.html, report.json, drift.json and figures.json into SM_MODEL_DIR. `--help` names the hyperparameters.
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
from datetime import UTC, datetime

from training.comparison import compare, told
from training.data import Picture, quoted, scan_split, version
from training.errors import TrainingError
from training.evaluation import Evaluation, evaluate
from training.evaluation_job import Channels, Parameters, parse
from training.evaluation_shape import EvaluatedFiles, IncumbentFigures, Report, Step, StepFigures, TuningFigures
from training.metrics import format_metric
from training.prices import priced, summed
from training.program import run_program, say
from training.report import write_drift, write_figures, write_report
from training.shapes import read_document
from training.shipped import Answers, Shipped
from training.usage import Timings, peak_memory_mb


def main(arguments: Sequence[str]) -> None:
    """The whole job. Raises TrainingError when it cannot be done."""
    parameters = parse(arguments, os.environ)
    channels = Channels.of(os.environ)
    timings = Timings(say)
    problems: list[str] = []
    with timings.stage("candidate"):
        candidate = Shipped.of_channel(channels.candidate, channels.cpus)
        pictures, ignored = scan_split(channels.test, parameters.split, candidate.classes)
        answers = candidate.answers(pictures, say)
        files = account(parameters, pictures, ignored, answers)
        evaluation = evaluate(answers.probabilities, answers.logits, answers.labels, candidate.limits)
    incumbent = None
    if channels.incumbent:
        with timings.stage("incumbent"):
            incumbent = against_incumbent(channels, parameters, candidate, answers, problems)
    if candidate.training is None:
        problems.append(f"How the model was trained is not shown: {candidate.training_problem}.")
    steps = priced_steps(parameters, channels, timings)
    report: Report = {
        "run": parameters.run,
        "split": parameters.split,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": candidate.figures,
        "data": files,
        "figures": evaluation.document(candidate.classes, answers.names),
        "incumbent": incumbent,
        "tuning": trials(channels, problems),
        "steps": steps,
        "cost": summed(steps),
        "training": candidate.training,
        "problems": problems,
        "timings_seconds": dict(timings.seconds),
        "peak_memory_mb": peak_memory_mb(),
    }
    for problem in problems:
        say(f"problem: {problem}")
    write_report(channels.model_dir, report, answers.pictures, candidate.preprocess)
    write_drift(channels.model_dir, candidate.drift)
    write_figures(channels.model_dir, report)  # last: who finds it finds all
    say_metrics(evaluation)


def priced_steps(parameters: Parameters, channels: Channels, timings: Timings) -> list[StepFigures]:
    """The steps before this one, and in a pipeline this one too, so far: it is billed when it has ended only."""
    steps = [priced(step) for step in parameters.steps]
    if steps and channels.instance_type:
        own: Step = {
            "step": "Evaluate",
            "instance_type": channels.instance_type,
            "instances": 1,
            "seconds": sum(timings.seconds.values()),
            "billable_seconds": None,
            "spot": False,
        }
        steps.append(priced(own))
    return steps


def account(
    parameters: Parameters, pictures: Sequence[Picture], ignored: Sequence[str], answers: Answers
) -> EvaluatedFiles:
    """Names every file that could not be used; TrainingError where too many cannot, or none is left."""
    for file in answers.bad:
        say(f"bad file: {quoted(file.name)}: {file.kind}: {file.reason}")
    say(f"data: {len(answers.pictures)} of {len(pictures)} files are good pictures")
    if not pictures:
        raise TrainingError(
            "channel test holds no picture: it must hold CLASS/picture. Where the data has no test split, give it the "
            "validation split and set the hyperparameter split to valid"
        )
    share = len(answers.bad) / len(pictures)
    if share > parameters.max_bad_share or not answers.pictures:
        first = answers.bad[0]
        raise TrainingError(
            f"{len(answers.bad)} of {len(pictures)} files cannot be used, {share:.1%}; max_bad_share is "
            f"{parameters.max_bad_share:.1%}; the log names them all, the first is {quoted(first.name)} "
            f"({first.kind}: {first.reason})"
        )
    return {
        "version": version(answers.content),
        "files": len(pictures),
        "bad_share": share,
        "bad_files": [{"name": one.name, "kind": one.kind, "reason": one.reason} for one in answers.bad],
        "notes": answers.notes,
        "ignored": ignored,
    }


def against_incumbent(
    channels: Channels, parameters: Parameters, candidate: Shipped, answers: Answers, problems: list[str]
) -> IncumbentFigures | None:
    """The incumbent on the pictures whose class it knows; None, with a sentence in `problems`, where it cannot be run.

    An old model that nobody can read any more must not stand in the way of a new one.
    """
    assert channels.incumbent
    try:
        incumbent = Shipped.of_channel(channels.incumbent, channels.cpus)
    except TrainingError as error:
        problems.append(f"There is no comparison with the model in service, because it cannot be read: {error}.")
        return None
    known = set(incumbent.classes)
    truths = [candidate.classes[label] for label in answers.labels.tolist()]
    shared = [n for n, truth in enumerate(truths) if truth in known]
    if not shared:
        problems.append("There is no comparison with the model in service: it knows none of these pictures' classes.")
        return None
    theirs = incumbent.answers([answers.pictures[n] for n in shared], say)
    if theirs.bad:
        problems.append(f"There is no comparison with the model in service: {len(theirs.bad)} files have changed.")
        return None
    return compare(
        parameters.incumbent_run or incumbent.figures["version"],
        theirs.names,
        [truths[n] for n in shared],
        told(answers, candidate.classes, shared),
        told(theirs, incumbent.classes, range(len(shared))),
    ) | {
        "unknown_pictures": len(truths) - len(shared),
        "classes_added": [name for name in candidate.classes if name not in known],
        "classes_removed": sorted(known - set(candidate.classes)),
    }


def trials(channels: Channels, problems: list[str]) -> TuningFigures | None:
    """The trials of the channel `tuning`; None, with a sentence in `problems`, where they cannot be read."""
    if channels.tuning is None:
        return None
    try:
        return read_document(channels.tuning / "trials.json", TuningFigures)
    except ValueError as error:
        problems.append(f"The trials of the tuning are not shown: {error}.")
        return None


def say_metrics(evaluation: Evaluation) -> None:
    """The metric lines; SageMaker keeps them as the job's own."""
    say(format_metric("test:accuracy", evaluation.accuracy, 0))
    say(format_metric("test:top5", evaluation.top5, 0))
    say(format_metric("test:calibration_error", evaluation.calibration_error, 0))


if __name__ == "__main__":
    run_program(main)
