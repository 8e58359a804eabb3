"""`python -m training.data split`: a folder of pictures for each class becomes a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from training.data import SPLITS, scan
from training.data.__main__ import main


def pictures(folder: Path, **classes: Sequence[str]) -> Path:
    """A folder for each class; a file's content is its name up to the first "."."""
    for name, files in classes.items():
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).write_text(f"{name} {file.partition('.')[0]}")
    return folder


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_each_class_is_split_by_its_share_and_the_source_is_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "mine", cats=[f"{n}.jpg" for n in range(20)], dogs=["a.jpg", "b.jpg", "c.jpg"])
    before = files(source)

    assert main(["split", str(source), str(tmp_path / "set")]) == 0

    found = scan(tmp_path / "set")
    counts = {
        name: [sum(one.label == label for one in found.splits[split]) for split in SPLITS]
        for label, name in enumerate(found.classes)
    }
    assert counts == {"cats": [14, 3, 3], "dogs": [1, 1, 1]}
    taken = [name.partition("/")[2] for name in files(tmp_path / "set")]
    assert sorted(taken) == sorted(before) == sorted(files(source))
    assert "15 pictures in train/, 4 pictures in valid/, 4 pictures in test/" in capsys.readouterr().out


def test_the_same_pictures_are_split_alike_whatever_their_names(tmp_path: Path) -> None:
    names = [f"{n}.jpg" for n in range(10)]
    one = pictures(tmp_path / "one", cats=names, dogs=names)
    other = pictures(tmp_path / "other", cats=names, dogs=names)
    for path in list(other.rglob("*.jpg")):
        path.rename(path.with_name(f"z{path.name}"))

    for source in (one, other):
        assert main(["split", str(source), f"{source}-set"]) == 0

    renamed = {name.replace("/z", "/") for name in files(tmp_path / "other-set")}
    assert renamed == files(tmp_path / "one-set")


def test_equal_bytes_are_taken_once_so_that_no_test_picture_was_trained_on(tmp_path: Path) -> None:
    source = pictures(tmp_path / "mine", cats=["a.jpg", "a.copy.jpg", "b.jpg", "c.jpg", ".DS_Store"], dogs="def")

    assert main(["split", str(source), str(tmp_path / "set")]) == 0

    contents = [(tmp_path / "set" / name).read_text() for name in files(tmp_path / "set")]
    assert sorted(contents) == ["cats a", "cats b", "cats c", "dogs d", "dogs e", "dogs f"]


def test_pictures_in_deeper_folders_come_into_the_class_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures(tmp_path / "mine", cats=["a.jpg", "b.jpg", "c.jpg"], dogs=["d.jpg", "e.jpg"])
    (source / "dogs" / "may").mkdir()
    (source / "dogs" / "may" / "d.jpg").write_text("another")

    assert main(["split", str(source), str(tmp_path / "set")]) == 0
    assert {Path(name).name for name in files(tmp_path / "set") if "/dogs/" in name} == {"d.jpg", "e.jpg", "may-d.jpg"}


def test_two_pictures_that_would_have_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pictures(tmp_path / "mine", cats="abc", dogs=["a.jpg", "b.jpg", "may-a.jpg"])
    (source / "dogs" / "may").mkdir()
    (source / "dogs" / "may" / "a.jpg").write_text("another")

    assert main(["split", str(source), str(tmp_path / "set")]) == 1

    assert 'would both be called "may-a.jpg"' in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"cats": "abc", "dogs": "ab"}, '"dogs" has 2'),
        ({"cats": "abc"}, "at least 2 are needed, one for each class"),
    ],
)
def test_what_cannot_be_split_is_refused_before_anything_is_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: dict[str, str], said: str
) -> None:
    source = pictures(tmp_path / "mine", **classes)

    assert main(["split", str(source), str(tmp_path / "set")]) == 1

    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pictures(tmp_path / "mine", cats="abc", dogs="abc")

    assert main(["split", str(source), str(source)]) == 1

    assert "is there already" in capsys.readouterr().err
