"""Reports drawn from chance, and a reader of the page, for the tests of training's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np

from training.calibrate import softmax
from training.evaluate import evaluate
from training.report_shape import BadFileFigures, Report, SplitFigures

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
    return evaluate(softmax(logits), labels, 0.5).document(classes, files)


def drawn_report(
    classes: Sequence[str],
    each: int = 6,
    certainty: float = 3.0,
    *,
    epochs: int = 5,
    tested: bool = True,
    bad: Sequence[BadFileFigures] = (),
) -> Report:
    """A whole report; with `tested` false the data has no test split."""
    history = [
        {"number": n, "train_loss": 1 + 1 / n, "validation_loss": 1 / n, "validation_accuracy": 1 - 0.5 / n}
        for n in range(1, epochs + 1)
    ]
    return {
        "version": "drawn",
        "metrics": {"test:accuracy": 0.9 if tested else None, "epoch": epochs},
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
        "data": {
            "version": "d" * 64,
            "classes": classes,
            "pictures": {"train": 9, "valid": 9, "test": 9},
            "bad_share": 0.01,
            "bad_files": bad,
            "notes": {"train/a/grey.png": ["grey picture, converted to RGB"]},
            "ignored": ["train/readme.txt"],
        },
        "history": history,  # type: ignore[typeddict-item]  # of EpochFigures
        "validation": drawn_split(classes, each, certainty, "valid"),
        "test": drawn_split(classes, each, certainty) if tested else None,
        "export": {
            "pictures": 32,
            "label_agreement": 1.0,
            "probability_gap": 1e-6,
            "served_label_agreement": 1.0,
            "served_probability_gap": 0.01,
        },
        "hosts": 1,
        "timings_seconds": {"data": 0.1, "features": 12.5},
        "peak_memory_mb": 600.0,
    }
