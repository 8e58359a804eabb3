"""Knowing what is none of the known classes: how far a picture's features point away from those of every class.

Why it is this score: docs/decisions/0008-out-of-set.md.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.calibrate import Novelties
from training.features import Features


class Novelty(nn.Module):
    """float32 features [n, features] -> novelty float32 [n]: 1 less the cosine to the nearest class's mean, 0 to 2.

    directions   [classes, features]: the classes' means, scaled to length 1
    """

    directions: torch.Tensor

    def __init__(self, directions: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("directions", directions)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        cosines = functional.normalize(features, dim=1) @ self.directions.T
        return 1 - cosines.amax(1)


def fit_novelty(train: Features) -> Novelty:
    """The novelty by the plain views of training pictures; every class has one at least."""
    values, labels = train.values[:, 0].astype(np.float64), train.labels
    means = np.stack([values[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    return Novelty(functional.normalize(torch.from_numpy(means), dim=1).float())


def novelty_of(novelty: Novelty, features: Features) -> Novelties:
    """float64 [pictures] for the first, plain view of each picture."""
    with torch.no_grad():
        found: torch.Tensor = novelty(torch.from_numpy(features.values[:, 0]))
    return found.double().numpy()
