"""Fine-tuning: the whole network learns, from the head on frozen features on, alone or together with others."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from serving.manifest import read_manifest
from serving.model import Model
from serving.preprocess import Preprocess
from tests.unit.training_world import ROOT, arguments, draw_data, environment, run_job
from training import backbones, data, loop
from training.backbones import Backbone
from training.checkpoint import Checkpoints
from training.distributed import Group, joined
from training.errors import TrainingError
from training.extracted import Extracted, extract
from training.finetune import BACKBONE_RATE, Machine, Tuned, finetune
from training.head import Fit, fit, judged
from training.host import Host
from training.loop import Epoch
from training.parameters import Extraction, FineTuning, Recipe
from training.program import quiet_torch

RECIPE = FineTuning(epochs=3, batch_size=5, learning_rate=0.02)
FASTER = replace(RECIPE, learning_rate=0.2)
AVERAGED = replace(RECIPE, unfreeze=2, layer_decay=0.5, ema=0.9, accumulate=2)
ALONE = Machine(torch.device("cpu"), 1, Group())
descend, compiled = loop.descend, nn.Module.compile


class CutOffError(Exception):
    """What ends a run in the middle."""


def tiny_backbone() -> Backbone:
    torch.manual_seed(3)
    start = (nn.Conv2d(3, 8, 5, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, groups=8), nn.ReLU())
    end = (nn.Conv2d(16, 64, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    module = nn.Sequential(*start, *end).eval().requires_grad_(False)
    stages = tuple(tuple(map(str, layers)) for layers in (range(3), range(3, 5), range(5, 9)))
    return Backbone("tiny", module, 256, Preprocess(32, 36, "bilinear"), None, "0" * 64, stages)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("pictures") / "data")


World = tuple[Backbone, Extracted, Fit]


def learnt(pictures: Path, group: Group) -> World:
    """A tiny network, its features and a head on them."""
    backbone = tiny_backbone()
    found = extract(data.scan(pictures), backbone, Extraction(), 1, group=group, log=lambda _: None)
    train, valid = found.splits.values()
    return backbone, found, fit(train, valid, found.start, Recipe(epochs=5), group, on_epoch=lambda _: None)


@pytest.fixture(scope="module")
def world(pictures: Path) -> World:
    return learnt(pictures, Group())


def tuned(
    world: World,
    recipe: FineTuning = RECIPE,
    kept_in: Path | None = None,
    until: int = 99,
    told: list[Epoch] | None = None,
    machine: Machine = ALONE,
    seconds: float = 60.0,
) -> Tuned:
    backbone, found, probe = world

    def on_epoch(epoch: Epoch) -> None:
        if told is not None:
            told.append(epoch)
        if epoch.number == until:
            raise CutOffError

    checkpoints = Checkpoints(kept_in, "finetune", {}, machine.group, print, seconds) if kept_in else None
    return finetune(found.splits, backbone, probe, recipe, machine, on_epoch=on_epoch, checkpoints=checkpoints)


def kept(module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights as they are now."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_every_epoch_is_measured_and_the_head_it_began_with_is_epoch_0(world: World) -> None:
    told: list[Epoch] = []

    found = tuned(world, told=told)

    assert [epoch.number for epoch in told] == [0, 1, 2, 3]
    # torch sees in the pictures what OpenVINO saw in them
    assert told[0].validation_loss == pytest.approx(world[2].best.validation_loss, abs=1e-4)
    assert found.fit.history == tuple(told)
    assert found.valid.values.shape == (9, 1, 256)


def test_the_backbone_learns_but_its_statistics_and_the_one_it_was_copied_from_stay(
    world: World,
) -> None:
    before = {name: value.clone() for name, value in world[0].module.state_dict().items()}
    told: list[Epoch] = []

    found = tuned(world, replace(RECIPE, epochs=6, learning_rate=0.2), told=told)

    assert min(epoch.train_loss for epoch in told[1:]) < told[1].train_loss
    assert found.fit.best.number > 0
    after = found.backbone.state_dict()
    assert not torch.equal(after["0.weight"], before["0.weight"])
    assert not torch.equal(after["1.weight"], before["1.weight"])
    assert torch.equal(after["1.running_mean"], before["1.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in world[0].module.state_dict().items())


def test_the_head_it_began_with_is_kept_when_nothing_is_better(world: World) -> None:
    found = tuned(world, replace(RECIPE, learning_rate=10.0, epochs=1))

    if found.fit.best.number == 0:
        assert same(found.backbone, world[0].module)
        assert same(found.fit.head, world[2].head)
    assert found.fit.best.validation_accuracy >= found.fit.history[0].validation_accuracy


@pytest.mark.parametrize("unfreeze", [1, 2, 3])
def test_stages_that_do_not_learn_keep_their_bits(world: World, unfreeze: int) -> None:
    backbone = world[0]

    found = tuned(world, replace(FASTER, unfreeze=unfreeze))

    assert found.fit.best.number > 0
    before, after = backbone.module.state_dict(), found.backbone.state_dict()
    for place, stage in enumerate(backbone.stages):
        names = [f"{layer}.{kind}" for layer in stage for kind in ("weight", "bias") if f"{layer}.{kind}" in before]
        kept = [torch.equal(before[name], after[name]) for name in names]
        assert kept == [place < 3 - unfreeze] * len(names)
    assert torch.equal(after["1.running_mean"], before["1.running_mean"])


def test_a_stage_learns_slower_than_the_one_after_it(world: World) -> None:
    backbone = world[0]
    recipe = replace(FASTER, epochs=1, batch_size=99, weight_decay=0, layer_decay=0.5)  # one step

    found = tuned(world, recipe)

    # the first step of AdamW is as long as the learning rate, whatever the gradient
    before, after = backbone.module.state_dict(), found.backbone.state_dict()
    moved = [float((after[name] - before[name]).abs().max()) for name in ("0.weight", "3.weight", "5.weight")]
    assert moved == pytest.approx([moved[2] / 4, moved[2] / 2, recipe.learning_rate * BACKBONE_RATE], rel=1e-3)


@pytest.mark.parametrize("accumulate", [2, 3, 99])
def test_a_batch_in_parts_is_the_step_of_the_whole_batch(world: World, accumulate: int) -> None:
    whole, in_parts = (tuned(world, replace(FASTER, ema=0.5, accumulate=parts)) for parts in (1, accumulate))

    for one, other in zip(in_parts.fit.history, whole.fit.history, strict=True):
        assert astuple(one) == pytest.approx(astuple(other), abs=1e-4)
    for value, expected in zip(in_parts.backbone.parameters(), whole.backbone.parameters(), strict=True):
        assert torch.allclose(value, expected, atol=1e-4)


def test_the_average_of_the_weights_is_what_is_measured_and_shipped(world: World) -> None:
    # given two steps: after the first the average is 8/11 of the way there, after the second 3/4 of what is left
    recipe = replace(FASTER, epochs=2, batch_size=99)
    steps: list[dict[str, torch.Tensor]] = []

    def noting(task: loop.Task, *rest: Any) -> float:
        loss = descend(task, *rest)
        steps.append(kept(task.module))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "descend", noting)
        found = tuned(world, replace(recipe, ema=0.999))

    start = world[0].module.state_dict()["0.weight"]
    first = torch.lerp(start, steps[0]["0.0.weight"], 1 - 2 / 11)
    average = {1: first, 2: torch.lerp(first, steps[1]["0.0.weight"], 1 - 3 / 12)}
    assert found.fit.best.number > 0
    assert torch.allclose(found.backbone.state_dict()["0.weight"], average[found.fit.best.number], atol=1e-6)
    # and the measure is that of these weights
    with torch.no_grad():
        logits = found.fit.head(torch.from_numpy(found.valid.values[:, 0]))
    best = found.fit.best
    measured = best.validation_accuracy, best.validation_loss
    assert measured == pytest.approx(judged(logits, torch.from_numpy(found.valid.labels)), abs=1e-5)


def test_a_compiled_step_learns_what_an_eager_one_does(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's own compiler takes a minute; what is captured for it is the same with a backend that compiles nothing
    asked: list[nn.Module] = []

    def captured(module: nn.Module) -> None:
        asked.append(module)
        compiled(module, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", captured)

    found, eager = (tuned(world, replace(FASTER, epochs=1, compile=switch)) for switch in ("on", "off"))

    assert len(asked) == 1
    assert found.fit.best.validation_loss == pytest.approx(eager.fit.best.validation_loss, abs=1e-4)


@pytest.mark.parametrize("recipe", [RECIPE, AVERAGED])
@pytest.mark.parametrize("until", [0, 1, 2, None])
def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(
    world: World, tmp_path: Path, until: int | None, recipe: FineTuning
) -> None:
    if until is None:
        with pytest.raises(CutOffError), within_an_epoch():
            tuned(world, recipe, kept_in=tmp_path, seconds=0)
    else:
        with pytest.raises(CutOffError):
            tuned(world, recipe, kept_in=tmp_path, until=until)

    resumed, whole = tuned(world, recipe, kept_in=tmp_path), tuned(world, recipe)

    assert same(resumed.backbone, whole.backbone)
    assert same(resumed.fit.head, whole.fit.head)
    assert resumed.fit.history == whole.fit.history
    assert np.array_equal(resumed.valid.values, whole.valid.values)


def test_a_picture_that_is_gone_ends_the_job_with_its_name(world: World) -> None:
    backbone, found, probe = world
    train = found.splits["train"]
    gone = replace(train.pictures[3], path=train.pictures[3].path.with_name("gone.jpg"))
    splits = {**found.splits, "train": replace(train, pictures=(*train.pictures[:3], gone, *train.pictures[4:]))}

    with pytest.raises(TrainingError, match=r"3\.jpg\" cannot be read any more: No such file"):
        finetune(splits, backbone, probe, RECIPE, ALONE, on_epoch=lambda _: None)


@pytest.mark.slow
def test_the_job_fine_tunes_and_what_is_served_is_what_was_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    job = run_job(monkeypatch, pictures, tmp_path, {"SM_NUM_CPUS": "1"}, method="finetune", epochs="2", views="1")

    assert job.status == 0
    assert [epoch["number"] for epoch in job.record["history"]] == [0, 1, 2]
    assert job.record["export"]["precisions"]["f32"]["label_agreement"] == 1.0
    assert "finetune on cpu: effective batch size 8, 1 hosts x up to 8 pictures" in capsys.readouterr().out
    assert (
        len(Model(read_manifest(job.model), threads=1).run(next(pictures.glob("valid/*/*")).read_bytes()).logits) == 3
    )
    weights = load_file(job.model / "weights.safetensors")
    network = backbones.load("efficientnet_lite0", None).module
    own = dict([*network.named_parameters(), *network.named_buffers()])
    assert {name.removeprefix("backbone.") for name in weights if name.startswith("backbone.")} == set(own)


@pytest.mark.slow
def test_two_processes_learn_together_what_one_learns_alone(pictures: Path, tmp_path: Path) -> None:
    """The last batch is of one picture, so one of the two has nothing to do in it."""
    settings = {"method": "finetune", "epochs": "1", "views": "1", "batch_size": "17", "ema": "0.9", "unfreeze": "3"}
    settings |= {"precision": "f32"}
    script = [str(ROOT / "training" / "train.py"), *arguments(**settings)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    outs = {}
    for name, before in (("together", launcher), ("alone", [])):
        environ = environment(pictures, tmp_path / name, SM_NUM_CPUS="2" if before else "1")
        in_parts = arguments(accumulate="3" if before else "1")
        done = subprocess.run(
            [sys.executable, *before, *script, *in_parts],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        outs[name] = done.stdout

    # the job itself has compared the ranks' weights by hash
    assert "finetune on cpu: effective batch size 17, 2 hosts x up to 9 pictures" in outs["together"]
    losses = [
        [float(value) for value in re.findall(r"metric (?:train|validation):loss=(\S+)", out)] for out in outs.values()
    ]
    assert len(losses[0]) == 6
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def at_the_end_of_an_epoch() -> contextlib.AbstractContextManager[None]:
    """Nothing but what `until` does."""
    return contextlib.nullcontext()


@contextlib.contextmanager
def within_an_epoch() -> Iterator[None]:
    """Cut off by the third save, which is after a step of the first epoch."""
    left = iter(range(2))

    def save(self: Checkpoints, payload: dict[str, Any]) -> None:
        original(self, payload)
        if next(left, None) is None:
            raise CutOffError

    original = Checkpoints.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        yield


def on_this_rank(pictures: Path, folder: Path) -> None:
    """What each of the processes of the next test does."""
    with joined(Host.of({**os.environ, "SM_MODEL_DIR": "unused"})) as group:
        quiet_torch(1)
        machine = Machine(torch.device("cpu"), 1, group)
        world = learnt(pictures, group)
        whole = tuned(world, AVERAGED, machine=machine)
        for place, cut_off in (("between", at_the_end_of_an_epoch), ("within", within_an_epoch)):
            with contextlib.suppress(CutOffError), cut_off():
                tuned(world, AVERAGED, kept_in=folder / place, until=2, machine=machine, seconds=0)
            resumed = tuned(world, AVERAGED, kept_in=folder / place, machine=machine)
            assert same(resumed.backbone, whole.backbone)
            assert resumed.fit.history == whole.fit.history


@pytest.mark.slow
def test_three_processes_resume_exactly_though_three_numbers_can_be_added_in_more_than_one_order(
    pictures: Path, tmp_path: Path
) -> None:
    call = f"on_this_rank(Path({str(pictures)!r}), Path({str(tmp_path / 'kept')!r}))"
    script = tmp_path / "rank.py"
    script.write_text(f"from pathlib import Path\nfrom tests.unit.test_training_finetune import on_this_rank\n{call}\n")

    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=3", str(script)],
        env={**environment(pictures, tmp_path), "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint: finetune goes on after epoch 2\n") == 1
    assert done.stdout.count("checkpoint: finetune goes on after epoch 0 and 3 steps of the next\n") == 1
