"""Checkpoints: an interrupted run ends with the bits of one that was not, and no other run's state is taken over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.harmful import pickle_that_would_make
from tests.unit.features_world import CLASSES, TRAIN, VALID
from training.checkpoint import Checkpoints
from training.distributed import Group
from training.errors import TrainingError
from training.head import Fit, fit, starting_head
from training.loop import Epoch
from training.packed import packed, unpacked
from training.parameters import Recipe

RECIPE = Recipe(epochs=6, batch_size=8, learning_rate=0.05, hidden=4, mixup=0.3, class_balance=0.5)
STEPS = math.ceil(TRAIN.values.shape[0] * TRAIN.values.shape[1] / RECIPE.batch_size)  # of an epoch


class CutOffError(Exception):
    """What ends a run in the middle."""


def kept_in(folder: Path, log: Callable[[str], None] = print, **identity: str) -> Checkpoints:
    return Checkpoints(folder, "head", {"pictures": "p1", "code": "c1", **identity}, Group(), log)


def trained(checkpoints: Checkpoints | None, recipe: Recipe = RECIPE, until: int = 99) -> Fit:
    """A whole run, or one that is cut off after the epoch `until`."""

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == until:
            raise CutOffError

    start = starting_head(TRAIN, CLASSES, None)
    return fit(TRAIN, VALID, start, recipe, Group(), on_epoch=on_epoch, checkpoints=checkpoints)


def same(one: Fit, other: Fit) -> bool:
    weights = zip(one.head.state_dict().values(), other.head.state_dict().values(), strict=True)
    return one.history == other.history and one.best == other.best and all(torch.equal(a, b) for a, b in weights)


@pytest.mark.parametrize("until", [1, 3, 5, 6])
def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(tmp_path: Path, until: int) -> None:
    said: list[str] = []
    with pytest.raises(CutOffError):
        trained(kept_in(tmp_path), until=until)
    torch.manual_seed(until)  # as it would be in a new process

    resumed = trained(kept_in(tmp_path, said.append))

    assert same(resumed, trained(None))
    assert said == [f"checkpoint: head goes on after epoch {until}"]
    assert {path.name for path in tmp_path.iterdir()} == {"head.safetensors"}


@pytest.mark.parametrize("saves", [1, 2, 7, 12])
def test_a_run_interrupted_within_an_epoch_goes_on_at_the_next_batch_to_the_same_bits(
    tmp_path: Path, saves: int
) -> None:
    # given a run that saves after each of an epoch's steps, and is cut off after some
    left = iter(range(saves - 1))

    class CutOff(Checkpoints):
        def save(self, payload: dict[str, Any]) -> None:
            super().save(payload)
            if next(left, None) is None:
                raise CutOffError

    with pytest.raises(CutOffError):
        trained(CutOff(tmp_path, "head", {}, Group(), print, seconds=0))
    # when it is started again
    said: list[str] = []
    resumed = trained(Checkpoints(tmp_path, "head", {}, Group(), said.append))
    # then it goes on there
    epochs, steps = divmod(saves, STEPS + 1)  # one save more at the end of each
    parts = [f"epoch {epochs}"] * (epochs > 0) + [f"{steps} steps of the next"] * (steps > 0)
    assert said == [f"checkpoint: head goes on after {' and '.join(parts)}"]
    assert same(resumed, trained(None))


@pytest.mark.parametrize(("other", "named"), [({"pictures": "p2"}, "pictures"), ({"hosts": "2"}, "hosts")])
def test_a_checkpoint_of_another_job_is_left_and_the_log_says_why(
    tmp_path: Path, other: dict[str, str], named: str
) -> None:
    said: list[str] = []
    trained(kept_in(tmp_path), replace(RECIPE, learning_rate=0.5))

    found = trained(kept_in(tmp_path, said.append, **other))

    assert said == [f"checkpoint: {tmp_path / 'head.safetensors'} was made with other {named}, so head starts afresh"]
    assert same(found, trained(None))


def test_a_damaged_checkpoint_is_left_and_one_with_code_in_it_runs_none(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    for content in (b"", b"PK\x03\x04 nothing", pickle_that_would_make(target)):
        said: list[str] = []
        (tmp_path / "head.safetensors").write_bytes(content)

        found = trained(kept_in(tmp_path, said.append))

        assert "cannot be read" in said[0]
        assert same(found, trained(None))
    assert not target.exists()


def test_what_is_packed_comes_back_with_its_kinds_and_bits() -> None:
    shared = torch.arange(6, dtype=torch.float64)
    tensors = [shared, shared[::2], torch.tensor(2.5), torch.empty(0), torch.tensor([True])]
    plain = {"a": (1, 0.1, None, True), 3: [{}, "b"]}

    found = unpacked(packed({"plain": plain, "tensors": tensors}))

    assert found["plain"] == plain
    for one, other in zip(found["tensors"], tensors, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    with pytest.raises(TypeError, match="Path cannot be kept"):
        packed([Path()])


def test_a_write_that_was_cut_off_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    with pytest.raises(CutOffError):
        trained(kept_in(tmp_path), until=2)
    (tmp_path / ".head.partial").write_bytes((tmp_path / "head.safetensors").read_bytes()[:100])

    assert same(trained(kept_in(tmp_path)), trained(None))


def test_a_checkpoint_that_cannot_be_written_ends_the_job_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(TrainingError, match=r"the checkpoint .*head\.safetensors cannot be written: "):
        trained(kept_in(tmp_path / "file"))
