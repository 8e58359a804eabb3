"""Features that were drawn instead of extracted, for the tests of what is trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training.data import Picture
from training.features import Features

CLASSES, WIDTH = 3, 8

torch.set_num_threads(1)  # as the programs do: threads for work this small wait for each other


def features(seed: int, per_class: int, views: int = 1) -> Features:
    """Clouds around one corner a class, overlapping somewhat."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), per_class)
    centres = np.eye(CLASSES, WIDTH, dtype=np.float32)[labels][:, None]
    values = centres + draw.normal(0, 0.6, (len(labels), views, WIDTH)).astype(np.float32)
    pictures = tuple(Picture(f"{seed}/{n}.jpg", Path(), int(label)) for n, label in enumerate(labels))
    return Features(pictures, values, labels.astype(np.int64), (), {}, {})


TRAIN, VALID = features(1, 21, views=2), features(2, 10)
