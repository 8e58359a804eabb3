"""`python -m training.data check` and `version`: what is said of a data set before money is spent on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from serving.preprocess import Preprocess
from tests.bad_pictures import encode
from tests.unit.training_world import CLASSES, draw_data, shape
from training.data import TRAINED, alike, scan, version
from training.data.__main__ import main
from training.data.alike import ALIKE, DIFFERENCES, fingerprint, groups, pairs
from training.data.check import Findings, check, data_version
from training.data.check_text import as_text, printable
from training.errors import TrainingError
from training.pictures import read

SMALL = Preprocess(size=32, resize=32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_data(tmp_path / "data")


def silent(_: object) -> None:
    """No progress."""


def checked(root: Path, least: float = ALIKE) -> Findings:
    return check(root, SMALL, least, silent)


def copied(root: Path, source: str, target: str) -> None:
    (root / target).write_bytes((root / source).read_bytes())


def names(found: Findings) -> list[list[str]]:
    return [[file.picture.name for file in copies.files] for copies in found.copies]


A, B = (f"train/{CLASSES[0]}/0.jpg", f"test/{CLASSES[0]}/copy.jpg")


# --- what is well


def test_a_clean_data_set_is_ready_and_counted_by_class_and_split(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(root), "--size", "32"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["train", "valid", "test"]
    assert lines[1].split() == [CLASSES[0], "6", "3", "3"]
    assert lines[4].split() == ["all", "18", "9", "9"]
    assert "6 training pictures in each" in lines[6]
    assert lines[-1].startswith("verdict: ready")


def test_how_unevenly_the_classes_are_filled_is_said(root: Path) -> None:
    for number in (0, 1, 2):
        (root / "train" / CLASSES[1] / f"{number}.jpg").unlink()

    text = as_text(checked(root))

    assert f"3 ({CLASSES[1]}) to 6 ({CLASSES[0]}) training pictures in each, 2.0 times as many" in text


def test_sizes_are_told_and_what_is_small_for_the_model_is_named(root: Path) -> None:
    (root / A).write_bytes(encode(shape(0, "small").resize((40, 24)), "PNG"))
    (root / f"train/{CLASSES[0]}/1.jpg").write_bytes(encode(shape(0, "large").resize((400, 300)), "PNG"))

    text = as_text(check(root, Preprocess(size=56, resize=56), ALIKE, silent))

    assert "40 x 24 to 400 x 300 pixels" in text
    assert f"1 with a side below 28 pixels, half of what the model takes: {A}" in text


# --- copies


@pytest.mark.parametrize("alike_from", [ALIKE, 1.0])
def test_a_test_picture_that_training_sees_is_a_leak(root: Path, alike_from: float) -> None:
    copied(root, A, B)

    found = checked(root, alike_from)

    assert names(found) == [[A, B]]
    assert found.leaks
    assert found.leaks[0].same_bytes
    assert not found.ready
    assert f"same bytes: {A} = {B}" in as_text(found)


@pytest.mark.parametrize(
    "changed",
    [
        lambda picture: encode(picture.resize((picture.width // 2, picture.height // 2)), "JPEG", quality=40),
        lambda picture: encode(picture.resize((picture.width * 3, picture.height * 3)), "WEBP"),
        lambda picture: encode(ImageOps.mirror(picture), "JPEG", quality=85),
        lambda picture: encode(picture.point(lambda level: int(level * 0.8)), "PNG"),
    ],
    ids=["half the size, poor", "three times the size", "mirrored", "darker"],
)
def test_a_copy_with_other_bytes_is_found(root: Path, changed: object) -> None:
    with Image.open(root / A) as picture:
        (root / B).write_bytes(changed(picture))  # type: ignore[operator]

    found = checked(root)

    assert names(found) == [[A, B]]
    assert found.leaks
    assert not found.leaks[0].same_bytes
    assert checked(root, 1.0).ready


def test_pictures_of_one_kind_are_no_copies_of_each_other(root: Path) -> None:
    assert checked(root).copies == ()


def test_plain_pictures_with_a_trace_of_shade_are_not_taken_for_copies(root: Path) -> None:
    for name, colour in ((A, (200, 20, 20)), (B, (20, 20, 200))):
        plain = Image.new("RGB", (64, 64), colour)
        plain.paste(tuple(level + 1 for level in colour), (32, 0, 64, 64))
        (root / name).write_bytes(encode(plain, "PNG"))

    assert checked(root).copies == ()


def test_one_picture_under_two_classes_is_a_label_conflict(root: Path) -> None:
    copied(root, A, f"train/{CLASSES[1]}/other.jpg")

    found = checked(root)

    assert found.conflicts
    assert not found.leaks
    assert not found.ready


def test_copies_within_a_class_of_a_split_are_told_but_spoil_nothing(root: Path) -> None:
    for number in range(3):
        copied(root, A, f"train/{CLASSES[0]}/again{number}.jpg")

    found = checked(root)

    assert [len(copies.files) for copies in found.repeated] == [4]
    assert found.ready


def test_a_large_group_shows_a_file_of_every_split_first(root: Path) -> None:
    for number in range(6):
        copied(root, A, f"train/{CLASSES[0]}/again{number}.jpg")
    copied(root, A, B)

    line = next(line for line in as_text(checked(root)).splitlines() if "same bytes" in line)

    assert line.strip().startswith(f"same bytes: {A} = {B} = ")
    assert line.endswith("and 4 more")


def test_comparing_in_blocks_finds_what_comparing_at_once_does(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [shape(label, number) for label in range(3) for number in range(5)]
    values = np.stack([fingerprint(np.asarray(picture)) for picture in pictures])
    assert values.shape == (15, DIFFERENCES)
    whole = {(one, other) for one, other, _ in pairs(values, 0.5, silent)}

    monkeypatch.setattr(alike, "BLOCK", 4 * 15)

    assert whole
    assert {(one, other) for one, other, _ in pairs(values, 0.5, silent)} == whole


def test_links_that_hang_together_make_one_group_with_its_weakest() -> None:
    assert groups(7, iter([(4, 5, 0.99), (0, 5, 0.95), (2, 3, 1.0), (0, 4, 0.97)])) == {(0, 4, 5): 0.95, (2, 3): 1.0}


# --- what cannot be used, and what is missing


def test_an_unusable_file_is_told_in_the_words_of_training(root: Path) -> None:
    (root / A).write_bytes(b"<html>404</html>")
    picture = scan(root).splits["train"][0]

    found = checked(root)

    assert [file.picture.name for file in found.bad] == [A]
    assert f"{A}: not-a-picture: {read(picture, SMALL).reason}" in as_text(found)
    assert "not ready: 1 unusable file;" in as_text(found).splitlines()[-1]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_split_without_a_good_picture_is_missing(root: Path, split: str) -> None:
    for path in (root / split).rglob("*.jpg"):
        path.unlink()

    assert checked(root).lacking == (f"{split}/ holds no usable picture",)


def test_a_class_that_nothing_can_be_learnt_about_is_missing(root: Path) -> None:
    for path in (root / "train" / CLASSES[2]).iterdir():
        path.write_bytes(b"")

    found = checked(root)

    assert found.lacking == (f"train/ holds no usable picture of {CLASSES[2]}",)
    assert found.copies == ()  # empty files are equal, but no copies of a picture


def test_a_folder_that_is_no_data_set_fails_with_training_s_own_sentence(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "valid").rename(root / "validation")

    assert main(["check", str(root), "--json", str(tmp_path / "found.json")]) == 1

    assert "error: the data has no folder valid/" in capsys.readouterr().err
    assert json.loads((tmp_path / "found.json").read_text())["ready"] is False


def test_machines_get_everything(root: Path, tmp_path: Path) -> None:
    for number in range(15):
        copied(root, f"train/{CLASSES[0]}/{number % 6}.jpg", f"test/{CLASSES[1]}/{number}-again.jpg")
    (root / "train" / ".DS_Store").write_bytes(b"")

    assert main(["check", str(root), "--size", "32", "--json", str(tmp_path / "found.json")]) == 1

    found = json.loads((tmp_path / "found.json").read_text())
    assert found["pictures"][CLASSES[1]] == {"train": 6, "valid": 3, "test": 18}
    assert [len(group["files"]) for group in found["leaks"]] == [4, 4, 4, 3, 3, 3]
    assert found["conflicts"] == found["leaks"]
    assert found["ignored"] == ["train/.DS_Store"]
    assert found["data_version"] == data_version(root, silent)


def test_a_name_cannot_write_over_the_terminal() -> None:
    assert printable("a\x1b[2K\nb\udcff é") == "a\ufffd[2K\ufffdb\ufffd é"


# --- the version


def test_the_version_is_that_of_the_files_that_training_opens_good_or_bad(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / A).write_bytes(b"")
    dataset = scan(root)
    content = {one.name: read(one, SMALL).sha256 for split in TRAINED for one in dataset.splits[split]}
    (root / B).write_bytes(b"test/ does not count")

    assert main(["version", str(root)]) == 0

    assert capsys.readouterr().out == f"{version(content)}\n"


def test_there_is_no_version_without_every_file(root: Path) -> None:
    (root / A).unlink()
    (root / A).symlink_to(root / "gone.jpg")

    with pytest.raises(TrainingError, match=r"0\.jpg cannot be read: No such file"):
        data_version(root, silent)
