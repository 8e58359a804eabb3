"""Pictures that show the same although their bytes differ: another size, another quality, mirrored."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Link = tuple[int, int, float]  # two positions, and the correlation of what they show

CELLS = 17  # on each side of the grid that a picture is looked at through
DIFFERENCES = 2 * CELLS * (CELLS - 1)
FLAT = 0.5  # levels of 255: a picture whose cells differ from their neighbours by less has nothing to be told by
ALIKE = 0.9  # correlation
BLOCK = 1 << 24  # correlations held at a time: 64 MB


def fingerprint(pixels: npt.NDArray[np.uint8]) -> Floats:
    """What a picture uint8 [height, width, 3] is told by: float32 [DIFFERENCES], of length 1, or 0 for a flat picture.

    As in a difference hash, these are the differences between neighbours in a small grey picture; but they are not
    rounded to bits, so the product of two fingerprints is the correlation of what the pictures show. Size, compression,
    brightness and contrast hardly change it. Grey levels themselves would correlate in pictures that merely are light
    and dark in the same places; their differences do not.
    """
    small = Image.fromarray(pixels).resize((CELLS, CELLS), Image.Resampling.BILINEAR)
    grey = np.asarray(small, dtype=np.float32).mean(axis=2)
    found: Floats = np.concatenate([np.diff(grey, axis=1).ravel(), np.diff(grey, axis=0).ravel()])
    length = float(np.linalg.norm(found))
    return found / np.float32(length) if length >= FLAT * DIFFERENCES**0.5 else np.zeros_like(found)


def mirrored(fingerprints: Floats) -> Floats:
    """The fingerprints [n, DIFFERENCES] of the same pictures, seen in a mirror."""
    half = DIFFERENCES // 2
    across = fingerprints[:, :half].reshape(-1, CELLS, CELLS - 1)
    down = fingerprints[:, half:].reshape(-1, CELLS - 1, CELLS)
    return np.concatenate([-across[:, :, ::-1].reshape(-1, half), down[:, :, ::-1].reshape(-1, half)], axis=1)


def pairs(fingerprints: Floats, least: float, advance: Callable[[int], None]) -> Iterator[Link]:
    """Any two of `fingerprints` [n, DIFFERENCES] that correlate by `least` or more.

    Every picture is compared with every other, as one matrix product: ten thousand take seconds. `advance` is told of
    so many pictures more that have been compared with all.
    """
    rows = max(1, BLOCK // max(1, len(fingerprints)))
    for first in range(0, len(fingerprints), rows):
        block, rest = fingerprints[first : first + rows], fingerprints[first:]
        likeness = np.maximum(block @ rest.T, mirrored(block) @ rest.T)
        for row, column in np.argwhere(np.triu(likeness >= least, k=1)).tolist():
            yield first + row, first + column, float(likeness[row, column])
        advance(len(block))


def groups(count: int, links: Iterator[Link]) -> dict[tuple[int, ...], float]:
    """Which of the positions 0 to `count` - 1 hang together by `links`, each with its weakest link; none is alone."""
    leader = list(range(count))

    def lead(position: int) -> int:
        while leader[position] != position:
            leader[position] = leader[leader[position]]
            position = leader[position]
        return position

    weakest: dict[int, float] = {}
    for one, other, likeness in links:
        first, second = sorted((lead(one), lead(other)))
        leader[second] = first
        weakest[first] = min(likeness, weakest.get(first, 1.0), weakest.get(second, 1.0))
    members: dict[int, list[int]] = {}
    for position in range(count):
        members.setdefault(lead(position), []).append(position)
    return {tuple(found): weakest[first] for first, found in members.items() if len(found) > 1}
