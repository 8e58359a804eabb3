"""report.json and report.html: everything a person may want to know about a run besides the model itself.

What is in report.json: `training.report_shape.Report`.
"""

import json
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.preprocess import Preprocess
from training.data import SPLITS, DataSet, Picture, quoted, version
from training.errors import TrainingError
from training.features import BadFile, Features
from training.pictures import thumbnail
from training.report_page import page
from training.report_parts import shown
from training.report_shape import Report

NOTES_IN_LOG = 20
Log = Callable[[str], None]


@dataclass(frozen=True)
class Accounts:
    """What became of the data. `version` is one hash over all its files; `notes` tell what is odd about used files."""

    version: str
    classes: tuple[str, ...]
    pictures: dict[str, int]
    bad_share: float
    bad_files: tuple[BadFile, ...]
    notes: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]


class Timings:
    """Seconds per stage, in the order of the stages."""

    def __init__(self, log: Log) -> None:
        self.seconds: dict[str, float] = {}
        self._log = log

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times the block and says so in the log."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)
        self._log(f"stage: {name} took {self.seconds[name]:.1f} s")


def account_for_files(dataset: DataSet, features: dict[str, Features], max_bad_share: float, log: Log) -> Accounts:
    """Names every file that was not used or is odd, in the log and in the answer.

    Raises TrainingError when more than `max_bad_share` of the files are bad, or a class has no training picture left.
    """
    bad = [file for split in features.values() for file in split.bad]
    for file in bad:
        log(f"bad file: {quoted(file.name)}: {file.kind}: {file.reason}")
    notes = {name: kinds for split in features.values() for name, kinds in split.notes.items()}
    lines = [f"note: {quoted(name)}: {kind}" for name, kinds in notes.items() for kind in kinds]
    lines += [f"note: {quoted(name)}: left aside, it is no picture of a class" for name in dataset.ignored]
    for line in lines[:NOTES_IN_LOG]:
        log(line)
    if len(lines) > NOTES_IN_LOG:
        log(f"note: {len(lines) - NOTES_IN_LOG} more such notes are in report.json")
    total = sum(len(pictures) for pictures in dataset.splits.values())
    share = len(bad) / total if total else 0.0
    log(f"data: {total - len(bad)} of {total} files are good pictures, {len(dataset.classes)} classes")
    if share > max_bad_share:
        first = f"{quoted(bad[0].name)} ({bad[0].kind}: {bad[0].reason})"
        raise TrainingError(
            f"{len(bad)} of {total} files cannot be used, {share:.1%}, more than max_bad_share {max_bad_share:.1%}; "
            f"the log names them all, the first is {first}"
        )
    for split in ("train", "valid"):
        found = set(features[split].labels.tolist())
        lacking = [name for label, name in enumerate(dataset.classes) if label not in found]
        if lacking and (split == "train" or not found):
            raise TrainingError(f"{split}/ has no usable picture of {', '.join(map(quoted, lacking[:5]))}")
        if lacking:
            log(f"note: valid/ has no usable picture of {len(lacking)} classes: {', '.join(map(quoted, lacking[:5]))}")
    return Accounts(
        version=version({name: digest for split in SPLITS for name, digest in features[split].content.items()}),
        classes=dataset.classes,
        pictures={split: len(features[split].pictures) for split in SPLITS},
        bad_share=share,
        bad_files=tuple(bad),
        notes=notes,
        ignored=dataset.ignored,
    )


def peak_memory_mb() -> float:
    """The most memory this process has held, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def write_report(folder: Path, report: Report, pictures: Iterable[Picture], preprocess: Preprocess) -> None:
    """Writes report.json and report.html into `folder`; `pictures` are those of the split that the page shows."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    wanted = {one["file"] for one in shown(report)["mistakes"]}
    small = {one.name: thumbnail(one, preprocess) for one in pictures if one.name in wanted}
    whole = page(report, {name: found for name, found in small.items() if found})
    (folder / "report.html").write_text(whole, encoding="utf-8")
