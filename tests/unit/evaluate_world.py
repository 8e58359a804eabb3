"""Models that tell colours, pictures of one colour, and a way to run the whole evaluation on them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.tiny_model import COLOURS, write_model_directory
from tests.unit.report_world import drawn_record
from training import evaluate
from training.program import guarded

ROOT = Path(__file__).parents[2]
RGB = tuple[int, int, int]


def folders(colours: Mapping[str, RGB] = COLOURS) -> list[str]:
    """The class folders that `write_model_directory` gives these colours."""
    return [f"{n + 1:03}.{name}" for n, name in enumerate(colours)]


def draw_split(root: Path, colours: Mapping[str, RGB] = COLOURS, each: int = 2) -> Path:
    """`each` pictures of every colour, below the folder of its class."""
    for folder, rgb in zip(folders(colours), colours.values(), strict=True):
        for number in range(each):
            draw(root / folder / f"{number}.png", rgb)
    return root


def draw(path: Path, rgb: RGB) -> None:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), rgb).save(path)


def pack(model: Path, channel: Path) -> Path:
    """A channel that holds the model directory as SageMaker packs it."""
    channel.mkdir(parents=True)
    with tarfile.open(channel / "model.tar.gz", "w:gz") as archive:
        archive.add(model, arcname=".")
    return channel


def model_channel(folder: Path, name: str, colours: Mapping[str, RGB] = COLOURS, threshold: float = 0.9) -> Path:
    """A channel with a model that tells `colours`, and its training.json."""
    model = write_model_directory(folder / f"{name}-model", version=name, colours=colours, threshold=threshold)
    (model / "training.json").write_text(json.dumps(drawn_record(folders(colours))))
    channel = pack(model, folder / name)
    shutil.rmtree(model)
    return channel


@dataclass(frozen=True)
class Evaluated:
    """What one evaluation left."""

    status: int
    folder: Path
    out: str
    err: str

    @property
    def figures(self) -> dict[str, Any]:
        """figures.json."""
        found: dict[str, Any] = json.loads((self.folder / "figures.json").read_text())
        return found

    @property
    def report(self) -> dict[str, Any]:
        """report.json."""
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found

    @property
    def page(self) -> str:
        """report.html."""
        return (self.folder / "report.html").read_text(encoding="utf-8")

    @property
    def reason(self) -> str:
        """The last words of a job that failed."""
        return self.err.splitlines()[-1]


def environment(model_dir: Path, channels: Mapping[str, Path]) -> dict[str, str]:
    """What SageMaker sets for an evaluation, and this process's own environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    own = {f"SM_CHANNEL_{name.upper()}": str(place) for name, place in channels.items()}
    return kept | own | {"SM_MODEL_DIR": str(model_dir), "SM_OUTPUT_DATA_DIR": str(model_dir.parent / "output")}


def command(**hyperparameters: str) -> list[str]:
    """The command SageMaker's toolkit runs."""
    pairs = [part for name, value in sorted(hyperparameters.items()) for part in (f"--{name}", value)]
    return [sys.executable, str(ROOT / "training" / "evaluate.py"), *pairs]


@dataclass(frozen=True)
class Evaluator:
    """Runs evaluations in this process, with a folder to work in."""

    patch: Any
    capsys: Any
    folder: Path

    def __call__(
        self, channels: Mapping[str, Path], more: Mapping[str, str] | None = None, **hyperparameters: str
    ) -> Evaluated:
        """The whole job; `more`: environment beside what the channels make of it."""
        result = self.folder / "result"
        with self.patch.context() as patch:
            for name in [name for name in os.environ if name.startswith("SM_")]:
                patch.delenv(name)
            for name, value in (environment(result, channels) | dict(more or {})).items():
                patch.setenv(name, value)
            self.capsys.readouterr()
            status = guarded(evaluate.main, command(**hyperparameters)[2:])
        told = self.capsys.readouterr()
        return Evaluated(status, result, told.out, told.err)
