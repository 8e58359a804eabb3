"""training.json in the model directory: all that the training job knows about the model besides the model itself.

Evaluate adds what the test pictures say and makes the report of both.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from training.report_shape import DataFigures, EpochFigures, ExportFigures, ProvenanceFigures, SplitFigures

FILE = "training.json"


class TrainingRecord(TypedDict):
    """training.json.

    version           the run's name
    metrics           the shipped model's metrics by name, and its `epoch`
    validation        the exported epoch on the validation split, with the temperature and the thresholds below
    timings_seconds   by stage
    """

    version: str
    metrics: Mapping[str, float | None]
    provenance: ProvenanceFigures
    temperature: float
    threshold: float
    logit_threshold: float
    data: DataFigures
    history: Sequence[EpochFigures]
    validation: SplitFigures
    export: ExportFigures
    hosts: int
    timings_seconds: Mapping[str, float]
    peak_memory_mb: float


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Writes `record` into the model directory `folder`."""
    text = json.dumps(record, indent=1, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
