"""training/evaluate.py and models that are not as they should be: broken archives, hostile ones, changed files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.unit.evaluate_world import Evaluator, draw_split, model_channel
from training.archive import unpack
from training.errors import TrainingError


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Evaluator:
    return Evaluator(monkeypatch, capsys, tmp_path)


@pytest.fixture
def channels(tmp_path: Path) -> dict[str, Path]:
    """A model that tells eight colours, and two pictures of each."""
    return {"test": draw_split(tmp_path / "test"), "candidate": model_channel(tmp_path, "candidate")}


def break_archive(channel: Path) -> None:
    (channel / "model.tar.gz").write_bytes((channel / "model.tar.gz").read_bytes()[:400])


def remove_archive(channel: Path) -> None:
    (channel / "model.tar.gz").unlink()


def repack(channel: Path, change: str) -> None:
    """Packs the archive again, with one file changed."""
    folder = unpack(channel, channel / "unpacked")
    path = folder / change
    path.write_bytes(path.read_bytes().replace(b"0", b"1"))
    remove_archive(channel)
    with tarfile.open(channel / "model.tar.gz", "w:gz") as archive:
        for one in folder.iterdir():
            archive.add(one, arcname=one.name)


BROKEN = {
    "cut off": (break_archive, "cannot be unpacked"),
    "missing": (remove_archive, "there is no such file"),
    "other graph": (
        lambda channel: repack(channel, "model.xml"),
        "model.xml is not the file that model.json describes",
    ),
    "other manifest": (lambda channel: repack(channel, "model.json"), "model.json"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_candidate_fails_the_job(evaluator: Evaluator, channels: dict[str, Path], how: str) -> None:
    spoil, reason = BROKEN[how]
    spoil(channels["candidate"])

    done = evaluator(channels)

    assert done.status == 1
    assert done.reason.startswith("error: ")
    assert reason in done.reason
    assert not (done.folder / "figures.json").exists()


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_incumbent_never_stands_in_the_candidates_way_but_is_told(
    evaluator: Evaluator, channels: dict[str, Path], tmp_path: Path, how: str
) -> None:
    spoil, reason = BROKEN[how]
    channels["incumbent"] = model_channel(tmp_path, "old")
    spoil(channels["incumbent"])

    done = evaluator(channels)

    assert done.status == 0
    assert done.figures["incumbent"] is None
    assert done.figures["accuracy"] == 1.0
    (problem,) = done.report["problems"]
    assert "no comparison with the model in service" in problem
    assert reason in problem
    assert f"problem: {problem}" in done.out
    assert 'class="warning">There is no comparison with the model in service' in done.page


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("a/../../outside"),
        member("/outside"),
        member("..\\outside"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "../outside"),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda one: f"{one.name} {one.type.decode()}",
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    channel, target = tmp_path / "channel", tmp_path / "deep" / "target"
    channel.mkdir()
    target.mkdir(parents=True)
    with tarfile.open(channel / "model.tar.gz", "w:gz") as archive:
        archive.addfile(bad, io.BytesIO())

    with pytest.raises(TrainingError, match="refused"):
        unpack(channel, target)

    assert not list(target.iterdir())
    assert not list(tmp_path.rglob("outside"))
