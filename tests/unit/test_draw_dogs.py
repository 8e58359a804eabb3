"""The drawn data set: its layout, that it is reproducible, and that colour alone does not tell the breeds apart."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.preprocess import Preprocess
from tools.dogs.breeds import BREEDS, UNKNOWN
from tools.draw_dogs import draw_picture, draw_set, main, plan


def test_the_layout_is_that_of_dog_images(tmp_path: Path) -> None:
    # when
    assert (
        main([str(tmp_path / "dogs"), "--breeds", "3", "--train", "2", "--valid", "1", "--test", "1", "--unknown", "2"])
        == 0
    )
    # then
    names = sorted(breed.folder for breed in BREEDS[:3])
    for split, count in (("train", 2), ("valid", 1), ("test", 1)):
        folders = sorted((tmp_path / "dogs" / split).iterdir())
        assert [folder.name for folder in folders] == names
        for folder in folders:
            files = list(folder.iterdir())
            assert len(files) == count
            assert all(file.name.startswith(folder.name.partition(".")[2]) for file in files)
    assert len(list((tmp_path / "dogs-unknown" / "Carolina_dog").iterdir())) == 2


def test_every_picture_can_be_read_by_what_serves_it(tmp_path: Path) -> None:
    for breed in (*BREEDS, UNKNOWN):
        assert Preprocess()(draw_picture(breed, "any")).shape == (224, 224, 3)


def test_the_same_seed_draws_the_same_bytes_and_another_seed_others() -> None:
    jobs = {seed: plan(Path("out"), 2, {"train": 1}, 0, seed) for seed in (0, 1)}
    first = [draw_picture(job.breed, job.key) for job in jobs[0]]
    assert first == [draw_picture(job.breed, job.key) for job in jobs[0]]
    assert not set(first) & {draw_picture(job.breed, job.key) for job in jobs[1]}


def test_pictures_can_be_drawn_as_large_as_photographs() -> None:
    header = Image.open(io.BytesIO(draw_picture(BREEDS[0], "large", (380, 380))))
    assert min(header.size) == 380


@pytest.mark.parametrize("sides", [(400, 300), (10, 300)])
def test_sides_that_cannot_be_drawn_are_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="--short-side"):
        plan(Path("out"), 2, {"train": 1}, 0, 0, sides=sides)


def test_no_picture_is_in_two_splits() -> None:
    jobs = plan(Path("out"), 4, {"train": 3, "valid": 3, "test": 3}, 0, 0)
    assert len({draw_picture(job.breed, job.key) for job in jobs}) == len(jobs) == 36


def test_folders_are_of_the_133_and_pictures_are_small() -> None:
    folders = [breed.folder for breed in BREEDS]
    assert len(set(folders)) == len(folders) >= 12
    assert all(1 <= int(folder[:3]) <= 133 and folder[3] == "." for folder in folders)
    assert UNKNOWN.folder not in {folder.partition(".")[2] for folder in folders}
    size = np.mean([len(draw_picture(breed, "size")) for breed in BREEDS])
    assert size < 60_000


def test_more_breeds_than_there_are_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["out", "--breeds", "99"])
    assert "--breeds 99" in capsys.readouterr().err


@pytest.mark.slow
def test_a_colour_histogram_does_not_tell_the_breeds_apart(tmp_path: Path) -> None:
    """Nearest class mean of colour histograms: near chance (1 in 12), where frozen features reach over 90 %."""
    draw_set(plan(tmp_path / "dogs", 12, {"train": 12, "test": 6}, 0, 0))

    def histograms(split: str) -> tuple[np.ndarray, np.ndarray]:
        rows, labels = [], []
        for label, folder in enumerate(sorted((tmp_path / "dogs" / split).iterdir())):
            for file in sorted(folder.iterdir()):
                pixels = np.asarray(Image.open(io.BytesIO(file.read_bytes())).resize((64, 64))).reshape(-1, 3) // 32
                bins = np.bincount(pixels.astype(int) @ [64, 8, 1], minlength=512)
                rows.append(np.sqrt(bins / bins.sum()))
                labels.append(label)
        return np.array(rows), np.array(labels)

    train, train_labels = histograms("train")
    test, test_labels = histograms("test")
    means = np.array([train[train_labels == label].mean(axis=0) for label in range(12)])
    nearest = ((test[:, None, :] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == test_labels).mean() < 0.4
