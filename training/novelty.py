"""Knowing what is none of the known classes: how far a picture's features lie from those of every class.

The score and why it is this one: docs/decisions/0008-out-of-set.md.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from training.features import Features

SHRINKAGE = 0.2  # of the covariance towards the same variance everywhere: features may outnumber pictures


class Novelty(nn.Module):
    """float32 features [n, features] -> novelty float32 [n]: Mahalanobis distance to the nearest class.

    Of features scaled to length 1, squared, per feature; the classes share one covariance.

    whitening   [features, features]: takes that covariance to the identity
    centres     [classes, features]: the classes' means, whitened
    """

    whitening: torch.Tensor
    centres: torch.Tensor

    def __init__(self, whitening: torch.Tensor, centres: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("whitening", whitening)
        self.register_buffer("centres", centres)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        white = functional.normalize(features, dim=1) @ self.whitening
        # |a - b|^2 as |a|^2 - 2ab + |b|^2: no array of [n, classes, features]
        squares = white.square().sum(1, keepdim=True) - 2 * white @ self.centres.T + self.centres.square().sum(1)
        return squares.amin(1) / self.whitening.shape[0]


def fit_novelty(train: Features) -> Novelty:
    """The novelty by the plain views of training pictures; every class has one at least."""
    values, labels = train.values[:, 0].astype(np.float64), train.labels
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    means = np.stack([values[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    spread = values - means[labels]
    covariance = spread.T @ spread / len(values)
    variance = max(np.trace(covariance) / len(covariance), 1e-12)  # pictures that are all the same have none
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * variance * np.eye(len(covariance))
    whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    constants = (whitening, means @ whitening)
    return Novelty(*(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for array in constants))


def novelty_of(novelty: Novelty, features: Features) -> npt.NDArray[np.float64]:
    """float64 [pictures] for the first, plain view of each picture."""
    with torch.no_grad():
        found: torch.Tensor = novelty(torch.from_numpy(features.values[:, 0]))
    return found.double().numpy()
