"""What the log keeps of a sampled picture so that drift can be told: some numbers, never the picture.

Training makes the baseline of the validation pictures by the same code.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from serving.preprocess import RGB

PROJECTIONS = 8
LOOKS = ("brightness", "contrast", "colour", "sharpness")
_EVERY = 4  # rows: a quarter of them tells as much

Numbers = npt.NDArray[np.float32]


def look(pixels: RGB) -> Numbers:
    """LOOKS of the model's input, uint8 [size, size, 3], each in 0..1.

    The mean of the grey levels, their standard deviation, the mean distance of a pixel's channels, and the mean
    difference of neighbours in a row.
    """
    planes = np.ascontiguousarray(np.moveaxis(pixels[::_EVERY], 2, 0))
    grey = planes.sum(axis=0, dtype=np.uint16).astype(np.float32) / (3 * 255)
    colour = (planes.max(axis=0) - planes.min(axis=0)).mean() / 255
    return np.array([grey.mean(), grey.std(), colour, np.abs(np.diff(grey, axis=1)).mean()], dtype=np.float32)


def features(logits: Numbers, looks: Numbers) -> Numbers:
    """Of [pictures, classes] and [pictures, looks]: the largest logit, projections of the logits, the looks."""
    return np.column_stack([logits.max(axis=1), logits @ _waves(logits.shape[1]).T, looks]).astype(np.float32)


def names(classes: int) -> list[str]:
    """What the columns of `features` are called."""
    return ["largest logit", *(f"projection {number + 1}" for number in range(len(_waves(classes)))), *LOOKS]


@cache
def _waves(classes: int) -> Numbers:
    """Unit vectors [projections, classes] at right angles: cosines over the classes, at most PROJECTIONS of them.

    They are the same for every model. Directions that were fitted to the validation pictures, as principal components
    are, would look narrower there than on any other pictures. What all logits have in common is in none of them: it
    changes no answer.
    """
    places = np.pi * (np.arange(classes) + 0.5) / classes
    numbers = np.arange(1, min(PROJECTIONS, classes - 1) + 1)
    return np.asarray(np.cos(numbers[:, None] * places) * (2 / classes) ** 0.5, dtype=np.float32)
