"""The shapes of what training.json and report.json are made of (whole: `training.record`, `training.evaluation_shape`).

Shares and probabilities lie in 0..1, losses are means per picture in nats, times are seconds. Classes go by the names
of their folders, files by their paths within the data set.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class Confused(TypedDict):
    """The class that a class's pictures were most often taken for, and how many were."""

    folder: str
    pictures: int


class ClassFigures(TypedDict):
    """One class: its pictures and those of them told right. Accuracy is null for a class without pictures."""

    pictures: int
    right: int
    accuracy: float | None
    most_confused_with: Confused | None


class BinFigures(TypedDict):
    """The answers whose probability lies in low..high: their mean probability and accuracy, null for none."""

    low: float
    high: float
    pictures: int
    confidence: float | None
    accuracy: float | None


class MistakeFigures(TypedDict):
    """A picture that was taken for something else: its class, the answer, its probability, whether it was confident."""

    file: str
    truth: str
    answer: str
    probability: float
    confident: bool


class SplitFigures(TypedDict):
    """How good the model is on one split.

    accuracy_interval   where the accuracy on endlessly many such pictures lies, 95 % sure (Wilson)
    top5                share whose class is among the `top_k` likeliest answers; `top_k` is 5, or one less than there
                        are classes where those are no more than five
    log_loss            mean of -ln(probability of the true class)
    confident           share of the answers that are, by probability and by logit
    confident_accuracy  accuracy of those; null where there are none
    unknown             share of the pictures that are taken for none of the classes, by their largest logit
    confusion           [true class][answered class] in the order of `data.classes`: pictures
    reliability         15 equal bins of probability, the lowest first
    mistakes            of the `wrong` pictures those with the surest answers, the surest first, at most 24
    """

    pictures: int
    wrong: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    top_k: int
    top5: float
    log_loss: float
    calibration_error: float
    confident: float
    confident_accuracy: float | None
    unknown: float
    per_class: Mapping[str, ClassFigures]
    confusion: Sequence[Sequence[int]]
    reliability: Sequence[BinFigures]
    mistakes: Sequence[MistakeFigures]


class BadFileFigures(TypedDict):
    """A file that was not used."""

    name: str
    kind: str
    reason: str


class DataFigures(TypedDict):
    """What became of the data: `pictures` used by split, `notes` on odd but used files, `ignored` files."""

    version: str
    classes: Sequence[str]
    pictures: Mapping[str, int]
    bad_share: float
    bad_files: Sequence[BadFileFigures]
    notes: Mapping[str, Sequence[str]]
    ignored: Sequence[str]


class EpochFigures(TypedDict):
    """One epoch of training."""

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float


class GraphFigures(TypedDict):
    """An exported graph on the validation split: its accuracy; how often its label is torch's; the largest difference
    of a probability."""

    accuracy: float
    label_agreement: float
    probability_gap: float


class PrecisionFigures(GraphFigures):
    """The same for a precision; `valid`: it may serve, because it loses no more accuracy than is allowed."""

    valid: bool


class ExportFigures(TypedDict):
    """What was exported, judged on all validation pictures; `precision` is the one that serves."""

    pictures: int
    precision: str
    precisions: Mapping[str, PrecisionFigures]
    onnx: GraphFigures


class ProvenanceFigures(TypedDict):
    """What the model was made from; `created` is UTC, ISO 8601."""

    data_version: str
    code_sha256: str
    backbone_sha256: str
    parameters: Mapping[str, Any]
    libraries: Mapping[str, str]
    created: str
