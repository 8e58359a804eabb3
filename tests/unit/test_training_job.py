"""The whole job on a tiny data set: what it prints, what it leaves, and what must not influence it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from serving.manifest import read_manifest
from serving.model import Model, softmax
from serving.sampled import look
from tests.bad_pictures import encode, scenery
from tests.unit.training_world import CLASSES, Job, draw_data, run_job, shape
from training import backbones
from training.data.check import data_version
from training.tensors import normalised

LINE = re.compile(r"metric ([a-z_:]+)=([0-9.eE+-]+) epoch=(\d+)")


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("pictures") / "data")


@pytest.fixture(scope="module")
def job(patch: pytest.MonkeyPatch, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """One ordinary run; tests only read what it left."""
    code = "s3://artifacts/code/" + "ab" * 32 + "/source.tar.gz"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        done = run_job(patch, data, tmp_path_factory.mktemp("job"), {"SM_MODULE_DIR": code})
    assert done.status == 0
    return replace(done, said=said.getvalue())


def test_the_model_directory_is_whole_and_serving_takes_it(job: Job) -> None:
    manifest = job.manifest

    assert set(manifest["files"]) == {path.name for path in job.model.iterdir()} - {"model.json", "training.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((job.model / name).read_bytes()).hexdigest() == digest
    assert len({path.stat().st_mode for path in job.model.iterdir()}) == 1  # none for its owner only
    assert manifest["version"] == "tiny"
    assert manifest["classes"][1] == {"index": 1, "folder": CLASSES[1], "name": "Blue box"}
    assert read_manifest(job.model).classes == ("Red disc", "Blue box", "Green tent")


def test_the_served_model_is_the_trained_one(job: Job, data: Path) -> None:
    """From a file's bytes: serving's own path against torch with the stored head."""
    served = Model(read_manifest(job.model), threads=1)
    backbone = backbones.load("efficientnet_lite0", None)
    weights = load_file(job.model / "weights.safetensors")
    temperature = job.manifest["precisions"]["f32"]["temperature"]
    for path in sorted(data.glob("valid/*/*.jpg")):
        picture = np.stack([backbone.preprocess(path.read_bytes())])
        with torch.no_grad():
            features = backbone.module(normalised(picture, backbone.preprocess))
        expected = (features @ weights["head.weight"].T + weights["head.bias"])[0].numpy()

        found = served.run(path.read_bytes())

        gap = np.abs(softmax(found.logits, temperature) - softmax(expected, temperature)).max()
        assert gap < 1e-3
        assert found.logits.argmax() == expected.argmax()
        assert found.logits.max() == pytest.approx(expected.max(), abs=1e-3)


def test_the_baseline_is_what_serving_samples_of_the_validation_pictures(job: Job, data: Path) -> None:
    served = Model(read_manifest(job.model), threads=1)
    baseline = job.manifest["precisions"]["f32"]["drift"]
    samples = []
    for path in sorted(data.glob("valid/*/*.jpg")):
        pixels = served.decode(path.read_bytes())
        samples.append(served.sample(served.logits(pixels[None])[0], look(pixels)))

    assert (baseline["pictures"], sum(baseline["confidence"]["pictures"])) == (9, 9)
    assert baseline["classes"] == [sum(one["index"] == n for one in samples) for n in range(len(CLASSES))]
    found = np.array([one["features"] for one in samples])
    expected = np.array([[one["mean"], one["deviation"]] for one in baseline["features"]])
    np.testing.assert_allclose(found.mean(axis=0), expected[:, 0], atol=2e-3)
    np.testing.assert_allclose(found.std(axis=0), expected[:, 1], atol=2e-3)


def test_the_manifest_says_where_the_model_came_from(job: Job, data: Path) -> None:
    found = job.manifest["provenance"]

    assert found["code_sha256"] == "ab" * 32
    assert found["data_version"] == job.record["data"]["version"] == data_version(data, lambda line: None)
    assert found["parameters"]["backbone"] == "efficientnet_lite0"
    assert found["libraries"]["torch"]
    assert found["created"].endswith("+00:00")


def test_the_record_accounts_for_everything(job: Job) -> None:
    record = job.record

    assert record["data"]["pictures"] == {"train": 18, "valid": 9}
    assert [epoch["number"] for epoch in record["history"]] == [1, 2, 3]
    assert np.array(record["validation"]["confusion"]).sum() == 9
    assert set(record["validation"]["per_class"]) == set(CLASSES)
    exported = record["export"]
    assert (exported["pictures"], exported["precision"], set(exported["precisions"])) == (9, "f32", {"f32"})
    for one in (exported["precisions"]["f32"], exported["onnx"]):
        assert (one["accuracy"], one["label_agreement"]) == (record["validation"]["accuracy"], 1.0)
        assert one["probability_gap"] < 1e-4
    assert set(record["timings_seconds"]) == {"data", "backbone", "features", "head", "export", "validation"}
    assert record["metrics"] == job.manifest["metrics"]
    assert not (job.folder / "output").exists()


def test_metric_lines_tell_every_epoch_and_last_the_one_that_is_shipped(job: Job) -> None:
    lines = [LINE.fullmatch(line) for line in job.said.splitlines() if line.startswith("metric ")]
    found = [(match[1], float(match[2]), int(match[3])) for match in lines if match]
    assert len(found) == len(lines)
    assert {epoch for name, _, epoch in found if name == "validation:accuracy"} == {1, 2, 3}
    shipped = job.manifest["metrics"]
    last = {name: (value, epoch) for name, value, epoch in found}
    assert {epoch for _, epoch in last.values()} == {shipped.pop("epoch")}
    assert {name: value for name, (value, _) in last.items()} == pytest.approx(shipped, abs=1e-6)


def test_the_test_split_is_never_opened(monkeypatch: pytest.MonkeyPatch, job: Job, data: Path, tmp_path: Path) -> None:
    poisoned = tmp_path / "data"
    shutil.copytree(data, poisoned)
    for path in (poisoned / "test").glob("*/*"):
        path.unlink()
        os.mkfifo(path)  # whoever opened it would wait for ever

    other = run_job(monkeypatch, poisoned, tmp_path / "job")

    assert other.manifest["provenance"]["data_version"] == job.manifest["provenance"]["data_version"]
    assert not [name for name in other.manifest["metrics"] if name.startswith("test:")]
    # and, this being a second run with the same seed: the same weights, bit for bit
    for name in ("weights.safetensors", "model.bin", "model.onnx"):
        assert other.manifest["files"][name] == job.manifest["files"][name]
    assert other.manifest["precisions"] == job.manifest["precisions"]


def with_bad_files(data: Path, folder: Path) -> Path:
    """A copy with three bad files among 31 that training opens, and one odd picture."""
    shutil.copytree(data, folder)
    good = encode(scenery(), "JPEG")
    (folder / "train" / CLASSES[0] / "cut.jpg").write_bytes(good[: len(good) // 2])
    (folder / "train" / CLASSES[1] / "empty.jpg").write_bytes(b"")
    (folder / "valid" / CLASSES[2] / "page.jpg").write_bytes(b"<html>")
    (folder / "test" / CLASSES[2] / "other.jpg").write_bytes(b"<html>")  # is no matter of training's
    (folder / "valid" / CLASSES[0] / "grey.png").write_bytes(encode(shape(0, "grey").convert("L"), "PNG"))
    return folder


def test_bad_files_are_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    job = run_job(monkeypatch, with_bad_files(data, tmp_path / "data"), tmp_path / "job", max_bad_share="0.1")

    assert job.status == 0
    named = {file["name"]: file["kind"] for file in job.record["data"]["bad_files"]}
    assert named == {
        f"train/{CLASSES[0]}/cut.jpg": "corrupt",
        f"train/{CLASSES[1]}/empty.jpg": "empty",
        f"valid/{CLASSES[2]}/page.jpg": "not-a-picture",
    }
    assert job.record["data"]["pictures"] == {"train": 18, "valid": 10}
    log = capsys.readouterr().out
    assert f'bad file: "train/{CLASSES[0]}/cut.jpg": corrupt: ' in log
    assert f'note: "valid/{CLASSES[0]}/grey.png": grey picture, converted to RGB' in log


def test_too_many_bad_files_end_the_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    job = run_job(monkeypatch, with_bad_files(data, tmp_path / "data"), tmp_path / "job", max_bad_share="0.05")

    assert job.status == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "error: 3 of 31 files cannot be used, 9.7%, more than max_bad_share 5.0%; the log names them"
    )
    assert not (job.model / "model.json").exists()


def test_a_class_without_a_usable_training_picture_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "data")
    for path in (tmp_path / "data" / "train" / CLASSES[1]).iterdir():
        path.write_bytes(b"")

    job = run_job(monkeypatch, tmp_path / "data", tmp_path / "job", max_bad_share="1")

    assert job.status == 1
    assert capsys.readouterr().err.splitlines()[-1] == f'error: train/ has no usable picture of "{CLASSES[1]}"'
