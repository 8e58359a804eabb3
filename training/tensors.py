"""Pictures as arrays, and as the tensors that a network takes."""

import numpy as np
import numpy.typing as npt
import torch

from serving.preprocess import Preprocess

Batch = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def normalised(batch: Batch | torch.Tensor, preprocess: Preprocess, device: torch.device | None = None) -> torch.Tensor:
    """What the served graph computes first: uint8 [n, size, size, 3] -> float32 [n, 3, size, size] on `device`.

    The bytes travel, not the floats. A batch in pinned memory is sent while the device still works on the one before.
    """
    pixels = torch.as_tensor(batch).to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1).to(device, non_blocking=True)
        for values in (preprocess.mean, preprocess.std)
    )
    return (pixels / preprocess.scale - mean) / std
