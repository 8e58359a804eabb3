"""The markings of a coat, painted larger than the dog: the silhouette cuts them out."""

import math
from collections.abc import Sequence

from PIL import ImageDraw

from tools.dogs.breeds import WHITE
from tools.dogs.pen import Bead
from tools.dogs.pose import trunk
from tools.dogs.subject import Subject
from tools.dogs.texture import jitter, shade


def paint_coat(dog: Subject, draw: ImageDraw.ImageDraw, tail: Sequence[Bead]) -> None:
    """Paints the breed's markings over the dog's whole place; `draw` starts filled with the coat's colour."""
    _colour(dog, draw, tail)
    _white(dog, draw, tail)
    if dog.has("spots"):
        (hip_x, hip_y), (shoulder_x, shoulder_y) = dog.place.hip, dog.place.shoulder
        random = dog.random
        for _ in range(random.randint(70, 110)):
            x = random.uniform(hip_x - 0.75, shoulder_x + 0.6)
            y = random.uniform(min(shoulder_y, hip_y) - dog.breed.depth * 2.2, 0)
            r = random.uniform(0.016, 0.05)
            dog.pen.disc(draw, (x, y), r, dog.coat.marking, r * random.uniform(0.7, 1.2))


def _strip(dog: Subject, offset: float, width: float) -> list[Bead]:
    """A strip along the trunk. `offset`: from the spine (-1) to the belly (1); `width`: a share of the trunk's."""
    (hip_x, hip_y), (shoulder_x, shoulder_y) = dog.place.hip, dog.place.shoulder
    along = math.hypot(shoulder_x - hip_x, shoulder_y - hip_y)
    # Square to the trunk, whichever way it points: a sitting dog's belly looks forwards.
    x_step = offset * dog.breed.depth * (hip_y - shoulder_y) / along
    y_step = offset * dog.breed.depth * (shoulder_x - hip_x) / along
    return [(x + x_step, y + y_step, r * width) for x, y, r in trunk(dog.breed, dog.place)]


def _colour(dog: Subject, draw: ImageDraw.ImageDraw, tail: Sequence[Bead]) -> None:
    pen, coat, random, depth = dog.pen, dog.coat, dog.random, dog.breed.depth
    (hip_x, hip_y), (shoulder_x, shoulder_y) = dog.place.hip, dog.place.shoulder
    if dog.has("saddle"):
        pen.limb(draw, _strip(dog, -0.42, 0.8), coat.marking)
        pen.limb(draw, tail[:-1], coat.marking)
    if dog.has("patches"):
        for _ in range(random.randint(3, 5)):
            t = random.random()
            x, y = hip_x + t * (shoulder_x - hip_x), hip_y + t * (shoulder_y - hip_y) - depth * random.uniform(0, 0.6)
            wide, high = depth * random.uniform(0.45, 0.95), depth * random.uniform(0.4, 0.8)
            pen.disc(draw, (x, y), wide, coat.marking, high)
    if dog.has("brindle") and random.random() < 0.4:
        for _ in range(16):
            x = random.uniform(hip_x - depth, shoulder_x + depth)
            middle = hip_y + (shoulder_y - hip_y) * (x - hip_x) / max(0.2, shoulder_x - hip_x)
            top = middle - depth * random.uniform(0.4, 1.0)
            stripe = ((x, top, 0.011), (x + random.uniform(-0.07, 0.07), top + depth * 1.3, 0.006))
            pen.limb(draw, stripe, shade(coat.base, 0.62))
    if dog.has("feathers"):
        pen.limb(draw, _strip(dog, 0.8, 0.4), shade(coat.base, 1.14))
    if dog.has("tan_points"):
        chest = (shoulder_x + depth * 0.78, shoulder_y + depth * 0.12)
        pen.disc(draw, chest, depth * 0.3, coat.marking, depth * 0.34)
        limb = dog.breed.limb
        for chain in dog.place.near:
            (x0, y0, _), (x1, y1, _) = chain[-2], chain[-1]
            shin = ((x0 + x1) / 2, (y0 + y1) / 2, limb * 1.5)
            pen.limb(draw, (shin, (x1 + limb, y1, limb * 2.2)), coat.marking)


def _white(dog: Subject, draw: ImageDraw.ImageDraw, tail: Sequence[Bead]) -> None:
    pen, depth = dog.pen, dog.breed.depth
    x, y = dog.place.shoulder
    white = jitter(WHITE, dog.random, 8)
    if dog.has("white_belly"):
        pen.limb(draw, _strip(dog, 0.92, 0.5), white)
    if dog.has("white_chest"):
        pen.disc(draw, (x + depth * 0.75, y + depth * 0.2), depth * 0.62, white, depth * 0.85)
    if dog.has("collar"):
        pen.limb(draw, ((x + 0.05, y - depth, depth * 0.34), (x + depth * 0.7, y, depth * 0.5)), white)
    if dog.has("white_legs"):
        for chain in dog.place.near:
            pen.limb(draw, [(x, y, r * 1.5) for x, y, r in chain[-2:]], white)
    if dog.has("white_tip"):
        pen.disc(draw, tail[-1][:2], 0.1, white)
