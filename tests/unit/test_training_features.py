"""Features that were stored: what a head learns from them is what it learns from the pictures, or they are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bad_pictures import encode
from tests.unit.training_world import CLASSES, Job, arguments, draw_data, environment, run_job, shape
from training import extract
from training.errors import TrainingError
from training.features_store import read_features
from training.program import guarded


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set with a bad file and an odd one, and a name that is no text."""
    root = draw_data(tmp_path_factory.mktemp("pictures") / "data")
    (root / "train" / CLASSES[1] / "empty.jpg").write_bytes(b"")
    (root / "valid" / CLASSES[0] / "grey.png").write_bytes(encode(shape(0, "grey").convert("L"), "PNG"))
    (root / "train" / CLASSES[2] / "\udcff.jpg").write_bytes(encode(shape(2, "odd"), "JPEG"))
    return root


def extracted(monkeypatch: pytest.MonkeyPatch, data: Path, folder: Path, **hyperparameters: str) -> Path:
    """What extract.py writes."""
    with monkeypatch.context() as patch:
        for name, value in environment(data, folder, SM_MODEL_DIR=str(folder / "features")).items():
            patch.setenv(name, value)
        assert guarded(extract.main, arguments(**hyperparameters)) == 0
    return folder / "features"


@pytest.fixture(scope="module")
def features(patch: pytest.MonkeyPatch, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extracted(patch, data, tmp_path_factory.mktemp("extract"))


def trained(monkeypatch: pytest.MonkeyPatch, data: Path, folder: Path, features: Path, **changes: str) -> Job:
    return run_job(monkeypatch, data, folder, {"SM_CHANNEL_FEATURES": str(features)}, **changes)


def last_words(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_a_model_of_stored_features_is_that_of_the_pictures_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, data: Path, features: Path, tmp_path: Path
) -> None:
    stored = trained(monkeypatch, data, tmp_path / "stored", features)
    computed = run_job(monkeypatch, data, tmp_path / "computed")

    for name in ("weights.safetensors", "model.bin"):
        assert stored.manifest["files"][name] == computed.manifest["files"][name]
    assert stored.record["data"] == computed.record["data"]
    assert stored.record["data"]["bad_files"][0]["kind"] == "empty"


def test_everything_about_the_files_comes_back(data: Path, features: Path) -> None:
    found = read_features(features, data)

    train, valid = found.splits["train"], found.splits["valid"]
    assert (found.classes, found.origin.views) == (CLASSES, 2)
    assert train.values.shape == (19, 2, 1280)
    assert train.names[-1] == f"train/{CLASSES[2]}/\udcff.jpg"
    assert train.pictures[-1].path.is_file()
    assert np.bincount(train.labels).tolist() == [6, 6, 7]
    assert len(train.content) == 20
    assert valid.notes == {f"valid/{CLASSES[0]}/grey.png": ("grey picture, converted to RGB",)}


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"views": "1"}, "views is 2, not 1"),
        ({"seed": "7"}, "seed is 1, not 7"),
        ({"backbone": "efficientnet_lite1"}, "backbone is efficientnet_lite0, not efficientnet_lite1"),
    ],
)
def test_features_that_were_made_otherwise_are_refused_with_the_difference(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
    features: Path,
    tmp_path: Path,
    changes: dict[str, str],
    difference: str,
) -> None:
    assert trained(monkeypatch, data, tmp_path, features, **changes).status == 1

    words = last_words(capsys)
    assert words.startswith("error: the features cannot be used: they were made otherwise than this job wants them: ")
    assert difference in words


def without_a_class(root: Path) -> None:
    for folder in root.glob(f"*/{CLASSES[2]}"):
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda root: (root / "valid" / CLASSES[0] / "0.jpg").unlink(), "1 files differ, the first is"),
        (lambda root: (root / "train" / CLASSES[0] / "new.jpg").touch(), "1 files differ, the first is"),
        (lambda root: (root / "train" / CLASSES[0] / "0.jpg").write_bytes(b"other"), "1 files differ, the first is"),
        (without_a_class, "the first is"),
    ],
    ids=["a picture gone", "a picture more", "other content", "a class gone"],
)
def test_features_of_other_pictures_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
    features: Path,
    tmp_path: Path,
    change: object,
    what: str,
) -> None:
    shutil.copytree(data, tmp_path / "data")
    change(tmp_path / "data")  # type: ignore[operator]

    assert trained(monkeypatch, tmp_path / "data", tmp_path, features).status == 1

    words = last_words(capsys)
    assert "they are of other pictures than those in the channel 'training': " in words
    assert what in words


@pytest.mark.parametrize("name", ["train-00000.safetensors", "valid-00000.safetensors", "start.safetensors"])
def test_a_file_that_is_not_what_was_written_is_refused(features: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "features"
    shutil.copytree(features, folder)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(TrainingError, match=rf"{name} is not the file that features\.json vouches for"):
        read_features(folder)


@pytest.mark.parametrize(
    ("member", "value", "complaint"),
    [
        ("format", 1, "format 1 is not 2"),
        ("classes", None, "classes"),
        ("classes", ["only one"], "do not fit each other"),
        ("splits", {}, "lacks one of the splits train, valid"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    features: Path, tmp_path: Path, member: str, value: object, complaint: str
) -> None:
    folder = tmp_path / "features"
    shutil.copytree(features, folder)
    manifest = json.loads((folder / "features.json").read_text())
    (folder / "features.json").write_text(json.dumps(manifest | {member: value}))

    with pytest.raises(TrainingError, match=f"the features cannot be used: .*{complaint}"):
        read_features(folder)


def test_a_channel_without_features_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the features cannot be used: features\.json: No such file"):
        read_features(tmp_path)
