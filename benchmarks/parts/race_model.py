"""What `benchmarks.serving` races with: `python -m benchmarks.parts.race_model OUT`, the same weights for everybody.

OUT/model is a model directory by training's own export, of a ResNet-50 with random weights (drawn by a seed; no package
carries pretrained ones) and a last layer fitted to the pictures; in it also `resnet50.pth`, the same as torchvision's
state dict, and `model.pth`, the baseline's network on the same backbone. OUT/pictures holds the JPEGs to send and
OUT/labels.json what torch answers for each.

The pictures are drawn dogs of about 500 x 400 pixels with the noise of a camera, so that they weigh what photographs
do; with DATA=folder, photographs of the test split there.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from benchmarks.baseline import networks
from benchmarks.claims import ROOT
from benchmarks.parts.pictures import Pictures
from training import backbones
from training.backbones import Backbone
from training.data import Picture, scan
from training.export import Classifier, export, write
from training.features import Features
from training.parameters import Parameters
from training.tensors import normalised
from training.usage import Timings

EACH = 4  # pictures of each class to fit, to quantize and to judge with
SENT = 16
NOISE, QUALITY = 10.0, 90
CORES = len(os.sched_getaffinity(0))


def pictures(out: Path) -> Pictures:
    """Those of DATA, or drawn ones."""
    if named := os.environ.get("DATA"):
        folder = Path(named).resolve()
        return Pictures(scan(folder), folder, drawn=False)
    few = ["--train", str(EACH), "--valid", "1", "--test", "2", "--short-side", "380", "420"]
    subprocess.run([sys.executable, "-m", "tools.draw_dogs", str(out / "dogs"), *few], cwd=ROOT, check=True)
    return Pictures(scan(out / "dogs"), out / "dogs", drawn=True)


def photographed(data: bytes, seed: int) -> bytes:
    """A drawn picture with a camera's noise, which a JPEG has to keep."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, NOISE, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def inputs(backbone: Backbone, some: list[Picture]) -> torch.Tensor:
    """float32 [n, features] of pictures, by torch."""
    seen = np.stack([backbone.preprocess(picture.path.read_bytes()) for picture in some])
    with torch.inference_mode():
        return torch.cat(
            [backbone.module(normalised(part, backbone.preprocess)) for part in np.array_split(seen, len(some) // 8)]
        )


def fitted(backbone: Backbone, some: list[Picture], classes: int) -> nn.Linear:
    """A last layer that tells `some` apart: least squares, with a weight on small coefficients."""
    seen = inputs(backbone, some).double()
    middle, spread = seen.mean(0), seen.std()
    centred = (seen - middle) / spread
    wanted = nn.functional.one_hot(torch.tensor([picture.label for picture in some]), classes).double() * 8
    kernel = centred @ centred.T + 1e-2 * len(some) * torch.eye(len(some), dtype=torch.double)
    weights = (centred.T @ torch.linalg.solve(kernel, wanted)).T / spread
    head = nn.Linear(backbone.features, classes).requires_grad_(False)
    head.weight.copy_(weights)
    head.bias.copy_(-(weights @ middle))
    return head


def split(some: list[Picture]) -> Features:
    """As export wants a split."""
    labels: npt.NDArray[np.int64] = np.array([picture.label for picture in some])
    return Features(tuple(some), np.zeros((0, 1, 0), np.float32), labels, (), {}, {})


def main(out: Path) -> None:
    """Make it."""
    model, sent = out / "model", out / "pictures"
    model.mkdir(parents=True)
    sent.mkdir()
    found = pictures(out)
    classes = found.found.classes
    whole = networks.random_resnet50()
    torch.save(whole.state_dict(), model / "resnet50.pth")
    backbone = backbones.load("resnet50", model)
    some = found.first("train", EACH)
    head = fitted(backbone, some, len(classes))
    torch.save(whole.state_dict() | {"fc.weight": head.weight, "fc.bias": head.bias}, model / "resnet50.pth")
    torch.save(networks.build("resnet50", len(classes)).state_dict(), model / "model.pth")
    made = Classifier(backbone, head, classes)
    # Judged on what it was fitted to: which precisions may serve is not what is raced here.
    exported = export(
        made,
        {"train": split(some), "valid": split(some)},
        Parameters(precision="auto"),
        threads=CORES,
        timings=Timings(lambda _: None),
        log=lambda line: print(line, flush=True),
    )
    write(model, made, exported, {"version": "race", "metrics": {}, "provenance": {}})
    labels = {}
    for number, picture in enumerate(found.first("test", 2)[:SENT]):
        data = picture.path.read_bytes()
        data = photographed(data, number) if found.drawn else data
        (sent / f"{number:02}.jpg").write_bytes(data)
        with torch.inference_mode():
            one = normalised(backbone.preprocess(data)[None], backbone.preprocess)
            labels[f"{number:02}.jpg"] = int(made.network()(one).argmax())
    about = {"labels": labels, "judged": exported.figures(), "pictures": str(found)}
    (out / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
