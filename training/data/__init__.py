"""The pictures of a data set in the `dogImages` layout: SPLIT/CLASS/picture, SPLIT being train, valid or test."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError

SPLITS = ("train", "valid", "test")
TRAINED = ("train", "valid")  # what training opens; the pictures of test/ are for Evaluate alone
_LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Picture:
    """One file of a split. `name` is its path within the data set, with slashes; `label` its class by position."""

    name: str
    path: Path
    label: int


@dataclass(frozen=True)
class DataSet:
    """What lies in the data channel: `classes` are the folder names, sorted; a label is a position among them."""

    classes: tuple[str, ...]
    splits: dict[str, tuple[Picture, ...]]
    ignored: tuple[str, ...]

    def listing_sha256(self) -> str:
        """One hash over every file's name and size: equal on all hosts when they see the same data."""
        files = [picture for split in SPLITS for picture in self.splits[split]]
        return _sha256_of_lines(f"{picture.path.stat().st_size} {picture.name}" for picture in files)


def scan(root: Path) -> DataSet:
    """Lists the data set below `root` without opening a picture.

    `train` and `valid` must be there, `test` may lack. Raises TrainingError naming what is missing or disagrees.
    """
    ignored: list[str] = []
    folders = {split: _class_folders(root / split, split, ignored) for split in SPLITS}
    for split in ("train", "valid"):
        if folders[split] is None:
            raise TrainingError(f"the data has no folder {split}/ (it holds {_contents(root)})")
    classes = tuple(folders["train"] or ())
    if len(classes) < 2:
        raise TrainingError(f"train/ holds {len(classes)} class folders; at least 2 are needed")
    for split in ("valid", "test"):
        found = folders[split]
        if found is not None and set(found) != set(classes):
            raise TrainingError(_disagreement(split, set(classes), set(found)))
    splits: dict[str, tuple[Picture, ...]] = {}
    for split in SPLITS:
        labelled = enumerate(classes if folders[split] is not None else ())
        splits[split] = tuple(
            picture for label, name in labelled for picture in _pictures(root / split, split, name, label, ignored)
        )
    return DataSet(classes, splits, tuple(sorted(ignored)))


def scan_split(root: Path, split: str, classes: Sequence[str]) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """The pictures of one split that lies in `root` by itself, as CLASS/picture, and the names of what was ignored.

    Names begin with `split`, labels are positions in `classes`. Raises TrainingError when a folder is none of them.
    """
    ignored: list[str] = []
    folders = _class_folders(root, split, ignored) or []
    strange = [name for name in folders if name not in classes]
    if strange:
        raise TrainingError(
            f"{split}/ holds {len(strange)} folders of classes that the model does not know: "
            f"{', '.join(map(quoted, strange[:5]))}; it must be the split of the data that the model was trained on"
        )
    labelled = ((classes.index(name), name) for name in folders)
    pictures = [one for label, name in labelled for one in _pictures(root, split, name, label, ignored)]
    return tuple(pictures), tuple(sorted(ignored))


def pictures_by_class(root: Path) -> dict[str, list[Picture]]:
    """Class folder -> its pictures, of a folder that is not split yet: CLASS/picture. Hidden files are left aside."""
    folders = _class_folders(root, root.name, []) or []
    return {name: _pictures(root, root.name, name, label, []) for label, name in enumerate(folders)}


def display_name(folder: str) -> str:
    """What people read for a class folder: `001.Afghan_hound` -> `Afghan hound`."""
    number, dot, rest = folder.partition(".")
    name = rest if dot and number.isdigit() and rest else folder
    return name.replace("_", " ")


def quoted(name: str) -> str:
    """A file's or folder's name for the log: on one line, and without "=", so that no name can pass for a metric."""
    return json.dumps(name).replace("=", "\\u003d")


def version(content: dict[str, str]) -> str:
    """The data version: one hash over every file's name and the SHA-256 of its bytes."""
    return _sha256_of_lines(f"{digest} {name}" for name, digest in content.items())


def _sha256_of_lines(lines: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for line in sorted(lines):
        whole.update(os.fsencode(line) + b"\0")
    return whole.hexdigest()


def _class_folders(folder: Path, split: str, ignored: list[str]) -> list[str] | None:
    if not folder.is_dir():
        return None
    names = []
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.name.startswith("."):
            names.append(entry.name)
        else:
            ignored.append(f"{split}/{entry.name}")
    return sorted(names)


def _pictures(root: Path, split: str, folder: str, label: int, ignored: list[str]) -> list[Picture]:
    pictures = []
    for place, folders, files in os.walk(root / folder):
        folders.sort()
        for file in sorted(files):
            path = Path(place, file)
            name = f"{split}/{path.relative_to(root).as_posix()}"
            if file.startswith(".") or file.lower() in _LEFT_BY_SYSTEMS:
                ignored.append(name)
            else:
                pictures.append(Picture(name, path, label))
    return pictures


def _disagreement(split: str, wanted: set[str], found: set[str]) -> str:
    parts = []
    for what, names in (("lacks", sorted(wanted - found)), ("has beyond train/", sorted(found - wanted))):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{what} {', '.join(map(quoted, names[:5]))}{more}")
    return f"the class folders of {split}/ differ from those of train/: it {'; it '.join(parts)}"


def _contents(root: Path) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "nothing"
    inner = [name for name in names if name.endswith("/") and (root / name / "train").is_dir()]
    hint = f"; did you mean the folder {quoted(inner[0])} within it?" if inner else ""
    return ", ".join(map(quoted, names[:8])) + (" …" if len(names) > 8 else "") + hint
