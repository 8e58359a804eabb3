"""What became of every file of the data."""

from collections.abc import Callable
from dataclasses import dataclass

from training.data import TRAINED, quoted, version
from training.errors import TrainingError
from training.extracted import Extracted
from training.features import BadFile, Features

NOTES_IN_LOG = 20
Log = Callable[[str], None]


@dataclass(frozen=True)
class Accounts:
    """What became of the files of train/ and valid/; those of test/ are opened by Evaluate alone.

    `version` is one hash over all these files; `pictures` counts the used ones by split; `notes` tell what is odd about
    used files; `ignored` lay among the pictures and are none.
    """

    version: str
    classes: tuple[str, ...]
    pictures: dict[str, int]
    bad_share: float
    bad_files: tuple[BadFile, ...]
    notes: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...]


def account_for_files(extracted: Extracted, max_bad_share: float, log: Log) -> Accounts:
    """Names every file that was not used or is odd, in the log and in the answer.

    Raises TrainingError when more than `max_bad_share` of the files are bad, or a class has no training picture left.
    """
    features, classes = extracted.splits, extracted.classes
    bad = [file for split in features.values() for file in split.bad]
    for file in bad:
        log(f"bad file: {quoted(file.name)}: {file.kind}: {file.reason}")
    notes = {name: kinds for split in features.values() for name, kinds in split.notes.items()}
    _say_notes(extracted.ignored, notes, log)
    content = {name: digest for split in TRAINED for name, digest in features[split].content.items()}
    total = len(content)
    share = len(bad) / total if total else 0.0
    log(f"data: {total - len(bad)} of {total} files are good pictures, {len(classes)} classes")
    if share > max_bad_share:
        first = f"{quoted(bad[0].name)} ({bad[0].kind}: {bad[0].reason})"
        raise TrainingError(
            f"{len(bad)} of {total} files cannot be used, {share:.1%}, more than max_bad_share {max_bad_share:.1%}; "
            f"the log names them all, the first is {first}"
        )
    _require_pictures(classes, features, log)
    return Accounts(
        version=version(content),
        classes=classes,
        pictures={split: len(features[split].pictures) for split in TRAINED},
        bad_share=share,
        bad_files=tuple(bad),
        notes=notes,
        ignored=extracted.ignored,
    )


def _say_notes(ignored: tuple[str, ...], notes: dict[str, tuple[str, ...]], log: Log) -> None:
    lines = [f"note: {quoted(name)}: {kind}" for name, kinds in notes.items() for kind in kinds]
    lines += [f"note: {quoted(name)}: left aside, it is no picture of a class" for name in ignored]
    for line in lines[:NOTES_IN_LOG]:
        log(line)
    if len(lines) > NOTES_IN_LOG:
        log(f"note: {len(lines) - NOTES_IN_LOG} more such notes are in the job's own files")


def _require_pictures(classes: tuple[str, ...], features: dict[str, Features], log: Log) -> None:
    """Every class needs a training picture, and validation needs pictures at all."""
    for split in TRAINED:
        found = set(features[split].labels.tolist())
        lacking = [name for label, name in enumerate(classes) if label not in found]
        if lacking and (split == "train" or not found):
            raise TrainingError(f"{split}/ has no usable picture of {', '.join(map(quoted, lacking[:5]))}")
        if lacking:
            log(f"note: valid/ has no usable picture of {len(lacking)} classes: {', '.join(map(quoted, lacking[:5]))}")
