"""Features in shards: mapped they are the array that was written, and what was computed once is not computed again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from serving.preprocess import Preprocess
from tests.unit.training_world import CLASSES, draw_data
from training.backbones import Backbone
from training.data import Picture, scan
from training.distributed import Group
from training.features import Extractor, Features
from training.frozen import Files, Outcome, on_cores
from training.shards import ROWS, Shard, mapped, write_shard
from training.shelf import Shelf
from training.tensors import Batch, Floats


def written(folder: Path, values: Floats, rows: int) -> list[Shard]:
    parts = range(0, len(values), rows)
    return [Shard.open(folder / write_shard(folder, values[n : n + rows], f"part-{n:05}")[0]) for n in parts]


@pytest.mark.parametrize(
    ("shape", "rows"), [((2 * ROWS + 5, 2, 8), ROWS), ((7, 1, 3), 3), ((4, 3), 4)], ids=["pages", "odd", "one"]
)
def test_shards_are_read_as_the_one_array_that_was_written(tmp_path: Path, shape: tuple[int, ...], rows: int) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)

    shards = written(tmp_path, values, rows)
    found = mapped(shards)

    assert len(shards) == -(-shape[0] // rows)
    assert np.array_equal(found, values)
    with safe_open(shards[0].path, "np") as file:  # a safetensors file for everybody else, too
        assert np.array_equal(file.get_tensor("values"), values[:rows])


def test_a_mapped_array_is_in_no_memory_until_it_is_used_and_leaves_its_files_alone(tmp_path: Path) -> None:
    values = np.ones((4 * ROWS, 1, 1024), np.float32)
    shards = written(tmp_path, values, ROWS)

    before = resident()
    found = mapped(shards)
    assert resident() - before < values.nbytes / 4
    assert torch.from_numpy(found).sum().item() == values.size
    found[ROWS] = 7

    assert np.array_equal(mapped(shards), values)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 64, (2).to_bytes(8, "little") + b"{}"])
def test_a_file_that_is_no_shard_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.safetensors").write_bytes(content)

    with pytest.raises(ValueError, match=r"odd\.safetensors is no shard of features"):
        Shard.open(tmp_path / "odd.safetensors")


class Means:
    """A network whose features are the means of a view's colours; it counts the pictures and may fail on the way."""

    name = "means"

    def __init__(self, fails_after: int = 1000) -> None:
        self.computed, self._left = 0, fails_after

    def features(self, batch: Batch) -> Floats:
        if self.computed == self._left:
            raise InterruptedError
        self.computed += 1
        found: Floats = batch.mean((1, 2), dtype=np.float32)
        return found

    def run(self, files: Files) -> Iterator[tuple[Outcome, Floats | None]]:
        return on_cores(files, 1, lambda: self.features)


BACKBONE = Backbone("means", torch.nn.Identity(), 3, Preprocess(8, 8), None, "weights", ())


def extracted(network: Means, pictures: Sequence[Picture], folder: Path, told: list[str], code: str = "") -> Features:
    extractor = Extractor(network, BACKBONE, 1, Group(), told.append, folder, code)
    return extractor.extract("train", pictures, 2)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return draw_data(tmp_path / "data")


def test_an_interrupted_job_goes_on_with_what_it_had_computed(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    # given a job that ends at the eleventh picture, and writes a shard of three pictures at a time
    monkeypatch.setattr("training.shelf.ROWS", 3)
    pictures, told = scan(data).splits["train"], list[str]()
    with pytest.raises(InterruptedError):
        extracted(Means(10), pictures, tmp_path / "kept", told)

    again = Means()
    found = extracted(again, pictures, tmp_path / "kept", told)

    assert again.computed == 18 - 9
    assert told[-1] == "features: train: 9 pictures were computed before, 9 now"
    assert np.array_equal(found.values, extracted(Means(), pictures, tmp_path / "other", []).values)


def test_of_data_that_has_grown_only_the_new_and_the_changed_is_computed(data: Path, tmp_path: Path) -> None:
    extracted(Means(), scan(data).splits["train"], tmp_path / "kept", [])
    # given a picture more before all others, one with other content, one renamed, and one that is bad
    folder = data / "train" / CLASSES[0]
    shutil.copy(folder / "0.jpg", folder / ".0.jpg".replace(".0", "00"))
    shutil.copy(folder / "3.jpg", folder / "2.jpg")
    (folder / "4.jpg").rename(folder / "9.jpg")
    (folder / "5.jpg").write_bytes(b"bad")

    network = Means()
    found = extracted(network, scan(data).splits["train"], tmp_path / "kept", [])

    assert network.computed == 3
    assert [file.kind for file in found.bad] == ["not-a-picture"]
    assert np.array_equal(found.values, extracted(Means(), scan(data).splits["train"], tmp_path / "new", []).values)


def test_what_was_made_by_other_code_or_is_not_whole_is_computed_again(data: Path, tmp_path: Path) -> None:
    pictures, told = scan(data).splits["train"], list[str]()
    extracted(Means(), pictures, tmp_path / "kept", [], code="old")
    other = Means()
    extracted(other, pictures, tmp_path / "kept", [], code="new")
    assert other.computed == len(pictures)

    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    again = Means()
    extracted(again, pictures, tmp_path / "kept", told, code="new")

    assert again.computed == len(pictures)
    assert sum("is left aside: it is not whole" in line for line in told) == 2


def test_without_a_folder_nothing_is_kept() -> None:
    shelf = Shelf(None, "", lambda _: None)

    shelf.put(shelf.key("a.jpg", "0"), np.zeros((1, 3), np.float32), ())
    shelf.write()

    assert not len(shelf)
