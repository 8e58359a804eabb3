"""`python -m training.data split`: a folder of pictures for each class becomes train/, valid/ and test/."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from training.data import SPLITS, Picture, pictures_by_class, quoted
from training.errors import TrainingError

LEAST = 3  # pictures of a class: one for each split


def split(source: Path, target: Path, share: float) -> dict[str, int]:
    """Copies SOURCE/CLASS/picture to TARGET/SPLIT/CLASS/picture; the number of pictures in each split.

    What lies deeper, as CLASS/MAY/picture, becomes CLASS/MAY-picture: a run reads what lies in the class folder itself.
    `share` of a class's pictures, but one at least, goes to valid/ and as many to test/. Which ones, their bytes say:
    the same pictures are always split alike, and of several with the same bytes one is taken. Raises TrainingError when
    there is nothing to split, a class has too few pictures, or `target` is there already.
    """
    if target.exists():
        raise TrainingError(f"{target} is there already: name a new folder, or delete it first")
    classes = {name: _named(source / name, pictures) for name, pictures in pictures_by_class(source).items()}
    if len(classes) < 2:
        raise TrainingError(f"{source} holds {len(classes)} folders; at least 2 are needed, one for each class")
    if few := {name: len(pictures) for name, pictures in classes.items() if len(pictures) < LEAST}:
        said = ", ".join(f"{quoted(name)} has {count}" for name, count in few.items())
        raise TrainingError(f"each class needs {LEAST} different pictures at least; {said}")
    counts = dict.fromkeys(SPLITS, 0)
    for name, pictures in classes.items():
        for part, taken in _parts(list(pictures), share).items():
            folder = target / part / name
            folder.mkdir(parents=True)
            for file in taken:
                shutil.copy2(pictures[file], folder / file)
            counts[part] += len(taken)
    return counts


def _named(folder: Path, pictures: list[Picture]) -> Mapping[str, Path]:
    """File name within the class folder -> picture, in the order of their SHA-256; of equal ones the first."""
    distinct: dict[str, Path] = {}
    for picture in pictures:
        distinct.setdefault(hashlib.sha256(picture.path.read_bytes()).hexdigest(), picture.path)
    named: dict[str, Path] = {}
    for _, path in sorted(distinct.items()):
        name = "-".join(path.relative_to(folder).parts)
        if name in named:
            raise TrainingError(f"{path} and {named[name]} would both be called {quoted(name)}: rename one")
        named[name] = path
    return named


def _parts(names: list[str], share: float) -> dict[str, list[str]]:
    aside = max(1, min(round(share * len(names)), (len(names) - 1) // 2))
    return {"valid": names[:aside], "test": names[aside : 2 * aside], "train": names[2 * aside :]}
