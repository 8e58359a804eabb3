"""`python -m training.data split`: a folder of pictures for each class becomes train/, valid/ and test/."""

import hashlib
import shutil
from pathlib import Path

from training.data import SPLITS, Picture, pictures_by_class, quoted
from training.errors import TrainingError

LEAST = 3  # pictures of a class: one for each split


def split(source: Path, target: Path, share: float) -> dict[str, int]:
    """Copies SOURCE/CLASS/picture to TARGET/SPLIT/CLASS/picture; the number of pictures in each split.

    `share` of a class's pictures, but one at least, goes to valid/ and as many to test/. Which ones, their bytes say:
    the same pictures are always split alike, and of several with the same bytes one is taken. Raises TrainingError when
    there is nothing to split, a class has too few pictures, or `target` is there already.
    """
    if target.exists():
        raise TrainingError(f"{target} is there already: name a new folder, or delete it first")
    classes = {name: _distinct(pictures) for name, pictures in pictures_by_class(source).items()}
    if len(classes) < 2:
        raise TrainingError(f"{source} holds {len(classes)} folders; at least 2 are needed, one for each class")
    if few := {name: len(pictures) for name, pictures in classes.items() if len(pictures) < LEAST}:
        said = ", ".join(f"{quoted(name)} has {count}" for name, count in few.items())
        raise TrainingError(f"each class needs {LEAST} different pictures at least; {said}")
    counts = dict.fromkeys(SPLITS, 0)
    for name, pictures in classes.items():
        aside = max(1, min(round(share * len(pictures)), (len(pictures) - 1) // 2))
        parts = {"valid": pictures[:aside], "test": pictures[aside : 2 * aside], "train": pictures[2 * aside :]}
        for part, taken in parts.items():
            _copy(taken, source / name, target / part / name)
            counts[part] += len(taken)
    return counts


def _distinct(pictures: list[Picture]) -> list[Picture]:
    """In the order of their SHA-256; the first of each."""
    by_content: dict[str, Picture] = {}
    for picture in pictures:
        by_content.setdefault(hashlib.sha256(picture.path.read_bytes()).hexdigest(), picture)
    return [picture for _, picture in sorted(by_content.items())]


def _copy(pictures: list[Picture], source: Path, target: Path) -> None:
    for picture in pictures:
        to = target / picture.path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(picture.path, to)
