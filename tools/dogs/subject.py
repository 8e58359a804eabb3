"""The dog being drawn, and what it is drawn with: passed to every drawing function."""

from dataclasses import dataclass
from random import Random

import numpy as np

from tools.dogs.breeds import Breed, Coat
from tools.dogs.pen import Pen, Point
from tools.dogs.pose import Joints


@dataclass(frozen=True)
class Subject:
    """One dog: its breed, its own coat, how it stands; the pen for its place and size; its share of chance."""

    breed: Breed
    coat: Coat
    place: Joints
    pen: Pen
    random: Random
    noise: np.random.Generator

    def has(self, mark: str) -> bool:
        """Whether the breed has this marking. Tan points in the colour of the coat are none."""
        return mark in self.breed.marks and not (mark == "tan_points" and self.coat.marking == self.coat.base)

    def face(self, x: float, y: float) -> Point:
        """A place on the head, given in head radii from its middle, in dog units."""
        return self.place.skull[0] + x * self.breed.head, self.place.skull[1] + y * self.breed.head
