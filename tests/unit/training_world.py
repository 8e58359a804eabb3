"""A tiny data set and a way to run the whole training job on it, for the tests of training."""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tests.bad_pictures import encode
from training import train
from training.program import guarded

ROOT = Path(__file__).parents[2]
CLASSES = ("001.Red_disc", "002.Blue_box", "003.Green_tent")
COUNTS = {"train": 6, "valid": 3, "test": 3}
QUICK = {"epochs": "3", "batch_size": "8", "run_name": "tiny", "precision": "f32"}


def shape(label: int, seed: object) -> Image.Image:
    """A shape of its class's kind and colour, 64 to 90 pixels a side; place and size depend on the seed."""
    draw = random.Random(f"{label}/{seed}")
    width, height = draw.randint(64, 90), draw.randint(64, 90)
    picture = Image.new("RGB", (width, height), tuple(draw.randint(150, 255) for _ in range(3)))
    left, top, side = draw.randint(2, 20), draw.randint(2, 20), draw.randint(30, 40)
    pen = ImageDraw.Draw(picture)
    if label == 0:
        pen.ellipse((left, top, left + side, top + side), fill=(200, 20, 20))
    elif label == 1:
        pen.rectangle((left, top, left + side, top + side), fill=(20, 20, 200))
    else:
        pen.polygon(((left, top + side), (left + side // 2, top), (left + side, top + side)), fill=(20, 140, 20))
    return picture


def draw_data(root: Path) -> Path:
    """The tiny data set, drawn below `root`; the same bytes each time."""
    for split, count in COUNTS.items():
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture = shape(label, f"{split}/{number}")
                (folder / f"{number}.jpg").write_bytes(encode(picture, "JPEG", quality=90))
    return root


@dataclass(frozen=True)
class Job:
    """What one run of the job left, and what it said where somebody listened."""

    folder: Path
    status: int
    said: str = ""

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.model / "model.json").read_text())
        return found

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.model / "training.json").read_text())
        return found


def environment(data: Path, folder: Path, **more: str) -> dict[str, str]:
    """What SageMaker sets for the job, on top of this process's environment less what would tell of another job."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "MASTER_"))}
    own = {
        "SM_CHANNEL_TRAINING": str(data),
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DATA_DIR": str(folder / "output"),
    }
    return kept | own | more


def arguments(**hyperparameters: str) -> list[str]:
    """Hyperparameters as SageMaker passes them."""
    return [part for name, value in hyperparameters.items() for part in (f"--{name}", value)]


def command(**hyperparameters: str) -> list[str]:
    """The command SageMaker's toolkit runs."""
    return [sys.executable, str(ROOT / "training" / "train.py"), *arguments(**hyperparameters)]


def run_job(monkeypatch: Any, data: Path, folder: Path, more: dict[str, str] | None = None, **changes: str) -> Job:
    """The whole job in this process: quick, with `changes` to the hyperparameters and `more` environment."""
    with monkeypatch.context() as patch:
        for name, value in environment(data, folder, **(more or {})).items():
            patch.setenv(name, value)
        return Job(folder, guarded(train.main, arguments(**{**QUICK, **changes})))
