"""Drawing in dog units."""

import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import ImageDraw

Point = tuple[float, float]
Bead = tuple[float, float, float]  # x, y, radius
Fill = int | tuple[int, ...]


class Pen:
    """Puts dog units on a picture. `foot`: where (0, 0), the ground below the trunk's middle, lies in pixels.

    `scale`: pixels in a dog unit; `facing`: 1 for a dog looking right, -1 for left; `tilt`: radians.
    """

    def __init__(self, foot: Point, scale: float, facing: int, tilt: float) -> None:
        self.scale = scale
        self._foot = foot
        self._facing = facing
        self._cos, self._sin = math.cos(tilt), math.sin(tilt)

    def at(self, x: float, y: float) -> Point:
        """Pixels for a place in dog units."""
        x, y = x * self._cos - y * self._sin, x * self._sin + y * self._cos
        return self._foot[0] + self._facing * x * self.scale, self._foot[1] + y * self.scale

    def disc(self, draw: ImageDraw.ImageDraw, centre: Point, rx: float, fill: Fill, ry: float = 0) -> None:
        """An ellipse; a circle where `ry` is 0."""
        px, py = self.at(*centre)
        a, b = rx * self.scale, (ry or rx) * self.scale
        draw.ellipse((px - a, py - b, px + a, py + b), fill=fill)

    def limb(self, draw: ImageDraw.ImageDraw, beads: Sequence[Bead], fill: Fill) -> None:
        """A rounded, tapering stroke through the beads."""
        for (x0, y0, r0), (x1, y1, r1) in pairwise(beads):
            steps = max(2, math.ceil(3 * math.hypot(x1 - x0, y1 - y0) / max(min(r0, r1), 0.02)))
            for step in range(steps + 1):
                t = step / steps
                self.disc(draw, (x0 + t * (x1 - x0), y0 + t * (y1 - y0)), r0 + t * (r1 - r0), fill)

    def shape(self, draw: ImageDraw.ImageDraw, points: Sequence[Point], fill: Fill) -> None:
        """A polygon."""
        draw.polygon([self.at(x, y) for x, y in points], fill=fill)
