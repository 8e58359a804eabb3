"""The shape of report.json. Shares and probabilities lie in 0..1, losses are means per picture, times are seconds.

Classes go by the names of their folders, files by their paths within the data set.
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
    """A picture that was taken for something else: its class, the answer and the answer's probability."""

    file: str
    truth: str
    answer: str
    probability: float


class SplitFigures(TypedDict):
    """How good the model is on one split.

    accuracy_interval   where the accuracy on endlessly many such pictures lies, 95 % sure (Wilson)
    confident           share of the answers at or above the threshold
    confusion           [true class][answered class] in the order of `data.classes`: pictures
    reliability         15 equal bins of probability, the lowest first
    mistakes            of the `wrong` pictures those with the surest answers, the surest first, at most 24
    """

    pictures: int
    wrong: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    top5: float
    calibration_error: float
    confident: float
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


class ExportFigures(TypedDict):
    """The exported model against torch on some validation pictures; gaps are between probabilities."""

    pictures: int
    label_agreement: float
    probability_gap: float
    served_label_agreement: float
    served_probability_gap: float


class ProvenanceFigures(TypedDict):
    """What the model was made from; `created` is UTC, ISO 8601."""

    data_version: str
    code_sha256: str
    backbone_sha256: str
    parameters: Mapping[str, Any]
    libraries: Mapping[str, str]
    created: str


class Report(TypedDict):
    """report.json.

    version     the run's name
    metrics     the shipped model's metrics by name, null where unmeasured, and its `epoch`
    test        null when the data has no usable test picture; report.html shows validation then, else test
    timings_seconds   by stage, without the writing of this report
    """

    version: str
    metrics: Mapping[str, float | None]
    provenance: ProvenanceFigures
    temperature: float
    threshold: float
    data: DataFigures
    history: Sequence[EpochFigures]
    validation: SplitFigures
    test: SplitFigures | None
    export: ExportFigures
    hosts: int
    timings_seconds: Mapping[str, float]
    peak_memory_mb: float
