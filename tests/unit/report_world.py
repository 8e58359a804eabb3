"""Reports drawn from chance, and a reader of the page, for the tests of training's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np

from training.calibrate import Limits, softmax
from training.comparison import Told, compare
from training.evaluation import evaluate
from training.evaluation_shape import IncumbentFigures, Report, TrialFigures, TuningFigures
from training.prices import priced, summed
from training.record import TrainingRecord
from training.report_shape import BadFileFigures, SplitFigures

VOID = {"img", "meta"}


@dataclass(frozen=True)
class Element:
    """A start tag of the page and the text within it."""

    tag: str
    attributes: dict[str, str]
    text: list[str] = field(default_factory=list)

    @property
    def words(self) -> str:
        return "".join(self.text)


class Page(HTMLParser):
    """The page's elements; refuses one that is closed out of turn or left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self._open

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(element.attributes) == len(attrs)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text.append(data)


def drawn_split(classes: Sequence[str], each: int, certainty: float = 3.0, prefix: str = "test") -> SplitFigures:
    """Figures of a model that is right more often than not, on `each` pictures of every class."""
    draw = np.random.default_rng(7)
    labels = np.repeat(np.arange(len(classes)), each)
    logits = draw.normal(0, 1, (len(labels), len(classes))).astype(np.float32)
    logits[np.arange(len(labels)), labels] += certainty
    files = [f"{prefix}/{classes[label]}/{n}.jpg" for n, label in enumerate(labels.tolist())]
    return evaluate(softmax(logits), logits, labels, Limits(0.5, 1.5)).document(classes, files)


def drawn_report(
    classes: Sequence[str],
    each: int = 6,
    certainty: float = 3.0,
    *,
    epochs: int = 5,
    tested: bool = True,
    bad: Sequence[BadFileFigures] = (),
) -> Report:
    """A whole report without incumbent, tuning and steps; with `tested` false the data has no test split."""
    return {
        "run": "drawn",
        "split": "test" if tested else "valid",
        "created": "2026-01-02T05:06:07+00:00",
        "model": {
            "version": "drawn",
            "backbone": "efficientnet_lite0",
            "classes": classes,
            "temperature": 1.0,
            "precision": "f32",
            "threshold": 0.5,
            "logit_threshold": 1.5,
        },
        "data": {
            "version": "e" * 64,
            "files": each * len(classes) + len(bad),
            "bad_share": 0.01,
            "bad_files": bad,
            "notes": {"test/a/grey.png": ["grey picture, converted to RGB"]},
            "ignored": ["test/readme.txt"],
        },
        "figures": drawn_split(classes, each, certainty),
        "incumbent": None,
        "tuning": None,
        "steps": [],
        "cost": summed([]),
        "training": drawn_record(classes, epochs=epochs, bad=bad),
        "problems": [],
        "timings_seconds": {"candidate": 1.5},
        "peak_memory_mb": 500.0,
    }


def drawn_record(classes: Sequence[str], *, epochs: int = 5, bad: Sequence[BadFileFigures] = ()) -> TrainingRecord:
    """The training.json of a model of these classes."""
    history = [
        {"number": n, "train_loss": 1 + 1 / n, "validation_loss": 1 / n, "validation_accuracy": 1 - 0.5 / n}
        for n in range(1, epochs + 1)
    ]
    return {
        "version": "drawn",
        "metrics": {"validation:accuracy": 0.9, "epoch": epochs},
        "provenance": {
            "data_version": "d" * 64,
            "code_sha256": "c" * 64,
            "backbone_sha256": "b" * 64,
            "parameters": {"backbone": "efficientnet_lite0", "epochs": epochs},
            "libraries": {"python": "3.11.7"},
            "created": "2026-01-02T03:04:05+00:00",
        },
        "temperature": 1.0,
        "threshold": 0.5,
        "logit_threshold": 1.5,
        "data": {
            "version": "d" * 64,
            "classes": classes,
            "pictures": {"train": 9, "valid": 9},
            "bad_share": 0.01,
            "bad_files": bad,
            "notes": {"train/a/grey.png": ["grey picture, converted to RGB"]},
            "ignored": ["train/readme.txt"],
        },
        "history": history,  # type: ignore[typeddict-item]  # of EpochFigures
        "validation": drawn_split(classes, 3, 3.0, "valid"),
        "export": {
            "pictures": 32,
            "precision": "int8",
            "precisions": {
                "f32": {"accuracy": 0.97, "label_agreement": 1.0, "probability_gap": 1e-6, "valid": True},
                "bf16": {"accuracy": 0.94, "label_agreement": 0.95, "probability_gap": 0.2, "valid": False},
                "int8": {"accuracy": 0.97, "label_agreement": 0.99, "probability_gap": 0.09, "valid": True},
            },
            "onnx": {"accuracy": 0.97, "label_agreement": 1.0, "probability_gap": 1e-6},
        },
        "hosts": 2,
        "timings_seconds": {"data": 0.1, "features": 12.5},
        "peak_memory_mb": 600.0,
    }


def drawn_incumbent(classes: Sequence[str], gained: int, lost: int, both: int = 20) -> IncumbentFigures:
    """A comparison on pictures of the first two of `classes`: `both` are told right by both models."""
    count = both + gained + lost
    right, wrong = classes[0], classes[1]
    truths = [right] * count
    ours = [wrong if both + gained <= n else right for n in range(count)]
    theirs = [wrong if both <= n < both + gained else right for n in range(count)]
    files = [f"test/{right}/{n}.jpg" for n in range(count)]
    told = [Told(tuple(answers), tuple(0.5 + n / count / 2 for n in range(count))) for answers in (ours, theirs)]
    return compare("old", files, truths, *told)


def drawn_tuning(objectives: Sequence[float | None], *, goal: str = "Minimize", name: str = "t") -> TuningFigures:
    """A trial for each objective, failed where it is None; the learning rates span four decades."""
    trials: list[TrialFigures] = [
        {
            "name": f"{name}-{n}",
            "values": {
                "learning_rate": str(10.0 ** (-4 + 4 * n / max(1, len(objectives) - 1))),
                "schedule": "ab"[n % 2],
            },
            "objective": objective,
            "status": "Failed" if objective is None else "Completed",
            "seconds": 2.0,
        }
        for n, objective in enumerate(objectives)
    ]
    known = [(trial["objective"], n) for n, trial in enumerate(trials) if trial["objective"] is not None]
    best = trials[(min if goal == "Minimize" else max)(known)[1]] if known else None
    return {
        "strategy": "random",
        "objective": "validation:loss",
        "goal": goal,  # type: ignore[typeddict-item]  # one of the two
        "trials": trials,
        "best": best and {"name": best["name"], "values": best["values"], "objective": best["objective"] or 0.0},
    }


def drawn_steps() -> Report:
    """A report with a step of every kind: billed, on spot instances of either kind, and of an unknown price."""
    report = drawn_report(["a", "b"])
    kinds = (
        ("Train", "ml.g5.xlarge", False, 1800.0),
        ("Tune", "ml.m5.large", True, 600.0),
        ("Ec2", "g4dn.xlarge", True, None),
        ("Extract", "ml.new.large", False, 1800.0),
    )
    report["steps"] = [
        priced(
            {
                "step": step,
                "instance_type": kind,
                "instances": 2,
                "seconds": 1800.0,
                "billable_seconds": billed,
                "spot": spot,
            }
        )
        for step, kind, spot, billed in kinds
    ]
    report["cost"] = summed(report["steps"])
    return report
