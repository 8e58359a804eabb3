"""A real OpenVINO model directory in a few kilobytes: classes are colours, logits their nearness to the mean."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ops

from serving.manifest import FORMAT
from serving.preprocess import Preprocess
from serving.sampled import look
from training.calibrate import softmax
from training.drift import drift_baseline

COLOURS = {
    "Red": (255, 0, 0),
    "Green": (0, 255, 0),
    "Blue": (0, 0, 255),
    "Yellow": (255, 255, 0),
    "Cyan": (0, 255, 255),
    "Magenta": (255, 0, 255),
    "White": (255, 255, 255),
    "Black": (0, 0, 0),
}
SHARPNESS = 8.0


RGB = tuple[int, int, int]


def shades(colours: Mapping[str, RGB], each: int, seed: int) -> list[RGB]:
    """`each` shades of every colour, by chance: what validation pictures of one colour, and callers', look like."""
    near = np.random.default_rng(seed).normal(np.repeat(list(colours.values()), each, axis=0), 50)
    return [(red, green, blue) for red, green, blue in near.clip(0, 255).round().astype(int).tolist()]


def expected_logits(rgb: tuple[float, float, float], colours: Mapping[str, RGB] = COLOURS) -> np.ndarray:
    """What the model computes for a picture of one colour: -SHARPNESS * squared distance to each class's colour."""
    palette = np.array(list(colours.values())) / 255
    return np.asarray(-SHARPNESS * ((np.array(rgb) / 255 - palette) ** 2).sum(axis=1))


def write_model_directory(
    folder: Path,
    *,
    version: str = "tiny-1",
    size: int = 32,
    threshold: float = 0.9,
    logit_threshold: float = -SHARPNESS,
    colours: Mapping[str, RGB] = COLOURS,
) -> Path:
    """Writes model.xml, model.bin, preprocess.json and a model.json with their hashes into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    palette = (np.array(list(colours.values()), dtype=np.float32) / 255)[None]  # [1, classes, 3]
    pixels = ops.parameter([-1, size, size, 3], np.uint8, name="pixels")
    mean = ops.reduce_mean(ops.convert(pixels, np.float32), np.array([1, 2]), keep_dims=False)
    mean = ops.unsqueeze(ops.divide(mean, np.float32(255)), np.array([1]))  # [n, 1, 3]
    distance = ops.reduce_sum(ops.power(ops.subtract(mean, palette), np.float32(2)), np.array([2]), keep_dims=False)
    logits = ops.multiply(distance, np.float32(-SHARPNESS))
    logits.output(0).get_tensor().set_names({"logits"})
    openvino.save_model(openvino.Model([logits], [pixels], "colours"), folder / "model.xml", compress_to_fp16=False)
    Preprocess(size=size, resize=size + 4).save(folder / "preprocess.json")
    write_model_json(folder, version=version, threshold=threshold, logit_threshold=logit_threshold, colours=colours)
    return folder


def write_model_json(
    folder: Path,
    *,
    version: str = "tiny-1",
    threshold: float = 0.9,
    logit_threshold: float = -SHARPNESS,
    colours: Mapping[str, RGB] = COLOURS,
) -> None:
    """Writes model.json for the files that lie in `folder` now."""
    names = ("model.xml", "model.bin", "preprocess.json")
    seen = shades(colours, 12, seed=1)
    logits = np.array([expected_logits(rgb, colours) for rgb in seen], dtype=np.float32)
    looks = np.array([look(np.full((4, 4, 3), rgb, dtype=np.uint8)) for rgb in seen])
    document = {
        "format": FORMAT,
        "version": version,
        "backbone": "none",
        "classes": [{"index": i, "folder": f"{i + 1:03}.{name}", "name": name} for i, name in enumerate(colours)],
        "precision": "f32",
        "precisions": {
            "f32": {
                "temperature": 1.0,
                "threshold": threshold,
                "logit_threshold": logit_threshold,
                "drift": drift_baseline(logits, softmax(logits), looks),
            }
        },
        "metrics": {},
        "provenance": {},
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    (folder / "model.json").write_text(json.dumps(document), encoding="utf-8")
