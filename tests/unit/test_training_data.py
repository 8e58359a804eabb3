"""The data set's layout, and what becomes of every kind of file in it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.preprocess import Preprocess
from tests.bad_pictures import encode, png_of_size, scenery, turned
from tests.unit.training_world import CLASSES, COUNTS, draw_data
from training.data import Picture, display_name, quoted, scan, version
from training.errors import TrainingError
from training.pictures import read, views

SMALL = Preprocess(size=32, resize=32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_data(tmp_path / "data")


def stored(tmp_path: Path, name: str, data: bytes) -> Picture:
    path = tmp_path / name
    path.write_bytes(data)
    return Picture(f"train/001.A/{name}", path, 0)


# --- the layout


def test_classes_are_the_sorted_folders_of_train(root: Path) -> None:
    found = scan(root)

    assert found.classes == CLASSES
    assert {split: len(pictures) for split, pictures in found.splits.items()} == {s: n * 3 for s, n in COUNTS.items()}
    assert [picture.label for picture in found.splits["valid"]] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_missing_split_is_named_with_what_is_there_instead(root: Path, split: str) -> None:
    (root / split).rename(root / "other")

    with pytest.raises(TrainingError, match=rf'no folder {split}/ \(it holds "other/"'):
        scan(root)


def test_a_missing_test_split_is_allowed(root: Path) -> None:
    (root / "test").rename(root / "elsewhere")

    assert scan(root).splits["test"] == ()


def test_a_folder_too_high_is_pointed_down(tmp_path: Path) -> None:
    draw_data(tmp_path / "dogImages")

    with pytest.raises(TrainingError, match='did you mean the folder "dogImages/"'):
        scan(tmp_path)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_class_folders_that_disagree_are_named(root: Path, split: str) -> None:
    (root / split / CLASSES[1]).rename(root / split / "004.New")

    with pytest.raises(TrainingError, match=rf'{split}/ differ.*lacks "{CLASSES[1]}"; it has beyond train/ "004.New"'):
        scan(root)


def test_files_of_the_operating_system_and_strays_are_left_aside_and_named(root: Path) -> None:
    for name in (f"train/{CLASSES[0]}/.DS_Store", f"train/{CLASSES[0]}/Thumbs.db", "train/README.txt"):
        (root / name).write_text("not a picture")

    found = scan(root)

    assert found.ignored == (f"train/{CLASSES[0]}/.DS_Store", f"train/{CLASSES[0]}/Thumbs.db", "train/README.txt")
    assert len(found.splits["train"]) == 18


@pytest.mark.parametrize(
    ("folder", "name"),
    [("001.Affenpinscher", "Affenpinscher"), ("002.Afghan_hound", "Afghan hound"), ("cats", "cats"), ("7.", "7.")],
)
def test_what_people_read_for_a_folder(folder: str, name: str) -> None:
    assert display_name(folder) == name


def test_a_file_name_cannot_forge_a_metric_or_a_line() -> None:
    assert quoted("a\nmetric test:accuracy=1.0") == '"a\\nmetric test:accuracy\\u003d1.0"'


def test_the_data_version_depends_on_names_and_bytes_only() -> None:
    one = version({"train/a.jpg": "11", "train/b.jpg": "22"})

    assert one == version({"train/b.jpg": "22", "train/a.jpg": "11"})
    assert one != version({"train/a.jpg": "22", "train/b.jpg": "11"})
    assert one != version({"train/a.jpg": "11"})


# --- single files


@pytest.mark.parametrize(
    ("name", "data", "kind", "reason"),
    [
        ("empty.jpg", b"", "empty", "no bytes"),
        ("cut.jpg", encode(scenery(), "JPEG")[:-400], "corrupt", ""),
        ("cut.png", encode(scenery(), "PNG")[:-40], "corrupt", ""),
        ("page.jpg", b"<html>404</html>", "not-a-picture", "HTML"),
        ("still.jpg", encode(scenery(), "GIF"), "not-a-picture", "GIF"),
        ("notes.txt", b"a few words", "not-a-picture", "no picture format"),
        ("small.png", encode(scenery(40, 15), "PNG"), "tiny", "40 x 15 pixels"),
        ("bomb.png", png_of_size(20_000, 20_000), "huge", "20000 x 20000 pixels"),
    ],
)
def test_a_bad_file_is_told_by_kind_and_reason(tmp_path: Path, name: str, data: bytes, kind: str, reason: str) -> None:
    found = read(stored(tmp_path, name, data), SMALL)

    assert found.pixels is None
    assert found.kind == kind
    assert reason in found.reason
    assert found.reason
    assert len(found.sha256) == 64


def test_a_file_that_cannot_be_opened_is_bad_not_fatal(tmp_path: Path) -> None:
    gone = Picture("train/001.A/gone.jpg", tmp_path / "gone.jpg", 0)

    assert read(gone, SMALL).kind == "unreadable"


def grey(mode: str) -> Callable[[], bytes]:
    return lambda: encode(scenery().convert(mode), "PNG")


@pytest.mark.parametrize(
    ("name", "make", "note"),
    [
        ("a.png", grey("L"), "grey"),
        ("b.png", grey("P"), "palette"),
        ("c.png", grey("RGBA"), "alpha"),
        ("d.png", lambda: encode(Image.new("I;16", (40, 40), 30_000), "PNG"), "16-bit"),
        ("e.jpg", lambda: encode(scenery().convert("CMYK"), "JPEG"), "CMYK"),
        ("f.jpg", lambda: encode(scenery(), "PNG"), "misnamed: its bytes are PNG, its name ends in .jpg"),
        ("g", lambda: encode(scenery(), "JPEG"), "misnamed: its bytes are JPEG, its name ends in nothing"),
    ],
)
def test_an_odd_picture_is_used_as_rgb_and_noted(
    tmp_path: Path, name: str, make: Callable[[], bytes], note: str
) -> None:
    found = read(stored(tmp_path, name, make()), SMALL)

    assert found.pixels is not None
    assert found.pixels.shape[2] == 3
    assert [line for line in found.notes if note in line]


def test_an_ordinary_picture_gives_no_note(tmp_path: Path) -> None:
    assert read(stored(tmp_path, "a.JPG", encode(scenery(), "JPEG")), SMALL).notes == ()


def test_the_size_is_the_stored_one_however_small_it_was_decoded(tmp_path: Path) -> None:
    found = read(stored(tmp_path, "a.jpg", encode(scenery(400, 320), "JPEG")), SMALL)

    assert found.size == (400, 320)
    assert found.pixels is not None
    assert found.pixels.shape == (80, 100, 3)


def test_the_orientation_a_camera_notes_is_heeded(tmp_path: Path) -> None:
    upright = read(stored(tmp_path, "a.jpg", encode(scenery(), "JPEG", quality=95)), SMALL).pixels
    found = read(stored(tmp_path, "b.jpg", turned(scenery(), 6)), SMALL).pixels

    assert upright is not None
    assert found is not None
    assert np.abs(upright.astype(int) - found).mean() < 3


# --- views


def test_the_first_view_is_what_serving_sees(tmp_path: Path) -> None:
    data = encode(scenery(), "JPEG")
    picture = stored(tmp_path, "a.jpg", data)
    pixels = read(picture, SMALL).pixels

    assert pixels is not None
    assert np.array_equal(views(picture, pixels, SMALL, 3, seed=1)[0], SMALL(data))


def test_augmented_views_depend_on_seed_name_and_number_alone(tmp_path: Path) -> None:
    picture = stored(tmp_path, "a.jpg", encode(scenery(), "JPEG"))
    pixels = read(picture, SMALL).pixels
    assert pixels is not None
    first = views(picture, pixels, SMALL, 4, seed=1)

    assert np.array_equal(first, views(picture, pixels, SMALL, 4, seed=1))
    assert np.array_equal(first[:2], views(picture, pixels, SMALL, 2, seed=1))
    assert not np.array_equal(first[1:], views(picture, pixels, SMALL, 4, seed=2)[1:])
    assert not np.array_equal(first[1], first[2])
    other = Picture("train/001.A/b.jpg", picture.path, 0)
    assert not np.array_equal(first[1:], views(other, pixels, SMALL, 4, seed=1)[1:])


def test_a_file_name_may_hold_any_bytes(tmp_path: Path) -> None:
    picture = stored(tmp_path, os.fsdecode(b"caf\xe9.jpg"), encode(scenery(), "JPEG"))
    pixels = read(picture, SMALL).pixels

    assert pixels is not None
    assert views(picture, pixels, SMALL, 2, seed=1).shape == (2, 32, 32, 3)
    assert quoted(picture.name).isascii()
    assert len(version({picture.name: "11"})) == 64


def test_a_very_long_picture_can_be_augmented(tmp_path: Path) -> None:
    picture = stored(tmp_path, "a.png", encode(scenery(1600, 16), "PNG"))
    pixels = np.asarray(Image.open(io.BytesIO(picture.path.read_bytes())))

    assert views(picture, pixels, SMALL, 5, seed=1).shape == (5, 32, 32, 3)
