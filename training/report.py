"""The files that an evaluation leaves: report.html, report.json, drift.json and figures.json.

What is in them: `training.evaluation_shape`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from serving.preprocess import Preprocess
from training.data import Picture
from training.evaluation_shape import DriftFigures, Figures, Report
from training.pictures import thumbnail
from training.report_page import page


def write_report(folder: Path, report: Report, pictures: Iterable[Picture], preprocess: Preprocess) -> None:
    """Writes report.json and report.html into `folder`; `pictures` are those of the split."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "report.json", report)
    wanted = {one["file"] for one in report["figures"]["mistakes"]}
    if report["incumbent"]:
        changes = (*report["incumbent"]["newly_wrong"], *report["incumbent"]["newly_right"])
        wanted |= {one["file"] for one in changes}
    small = {one.name: thumbnail(one, preprocess) for one in pictures if one.name in wanted}
    whole = page(report, {name: found for name, found in small.items() if found})
    (folder / "report.html").write_text(whole, encoding="utf-8")


def write_drift(folder: Path, baseline: DriftFigures) -> None:
    """Writes drift.json: what the model's answers in service are to be compared with."""
    _write_json(folder / "drift.json", baseline)


def write_figures(folder: Path, report: Report) -> None:
    """Writes figures.json: the few figures that a gate decides by."""
    found, incumbent = report["figures"], report["incumbent"]
    document: Figures = {
        "run": report["run"],
        "split": report["split"],
        "pictures": found["pictures"],
        "accuracy": found["accuracy"],
        "top_k": found["top_k"],
        "top5": found["top5"],
        "calibration_error": found["calibration_error"],
        "log_loss": found["log_loss"],
        "confident_share": found["confident"],
        "confident_accuracy": found["confident_accuracy"],
        "incumbent": None,
    }
    if incumbent:
        document["incumbent"] = {
            "run": incumbent["run"],
            "pictures": incumbent["pictures"],
            "accuracy": incumbent["accuracy"],
            "candidate_accuracy": incumbent["candidate_accuracy"],
        }
    _write_json(folder / "figures.json", document)


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(_rounded(document), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """The same with six significant digits: more than any number of pictures can vouch for."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
