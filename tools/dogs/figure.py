"""One dog: joints from the pose, a silhouette from the joints, a coat painted inside the silhouette, a head on top."""

from random import Random

import numpy as np
from PIL import Image, ImageDraw

from tools.dogs.breeds import WHITE, Breed, Coat
from tools.dogs.coat import paint_coat
from tools.dogs.head import draw_head
from tools.dogs.pen import Bead, Pen
from tools.dogs.pose import POSES, Joints, joints, tail, trunk
from tools.dogs.subject import Subject
from tools.dogs.texture import furry, jitter, shade, shade_fur


def draw_dog(breed: Breed, size: tuple[int, int], random: Random, noise: np.random.Generator) -> Image.Image:
    """A dog of `breed` on a transparent ground: an RGBA picture of `size`."""
    place = joints(breed, random.choice(POSES), random)
    coat = random.choice(breed.coats)
    coat = Coat(*(jitter(colour, random) for colour in (coat.base, coat.marking, coat.ear)))
    dog = Subject(breed, coat, place, _pen(breed, place, size, random), random, noise)
    tail_beads = tail(breed, place, random)

    silhouette = furry(_silhouette(dog, size, tail_beads), breed.fur, dog.pen.scale, noise)
    paint = Image.new("RGB", size, coat.base)
    paint_coat(dog, ImageDraw.Draw(paint), tail_beads)

    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    behind = ImageDraw.Draw(picture)
    dim = shade(WHITE if dog.has("white_legs") else coat.base, 0.72)
    for chain in place.far:
        dog.pen.limb(behind, chain[1:], (*dim, 255))
    picture.paste(paint, mask=silhouette)
    shade_fur(picture, silhouette, breed.fur, dog.pen.scale, noise)
    draw_head(dog, picture)
    return picture


def _pen(breed: Breed, place: Joints, size: tuple[int, int], random: Random) -> Pen:
    """A pen that puts the dog somewhere in the picture, mostly whole, facing either way."""
    tall = -place.skull[1] + breed.head * 2.2
    wide = breed.trunk + breed.depth + breed.neck + breed.head * 2 + 0.35
    scale = min(size[1] * 0.84 / tall, size[0] * 0.84 / wide) * random.uniform(0.84, 1.14)
    slack_x, slack_y = max(0.0, size[0] - wide * scale), max(0.0, size[1] * 0.95 - tall * scale)
    foot = (size[0] / 2 + random.uniform(-0.4, 0.4) * slack_x, size[1] * 0.95 - random.uniform(0.0, 0.5) * slack_y)
    return Pen(foot, scale, random.choice((1, -1)), random.uniform(-0.05, 0.05))


def _silhouette(dog: Subject, size: tuple[int, int], tail_beads: tuple[Bead, ...]) -> Image.Image:
    """All but the head and the far legs, white on black."""
    breed, place, pen = dog.breed, dog.place, dog.pen
    silhouette = Image.new("L", size, 0)
    draw = ImageDraw.Draw(silhouette)
    neck: tuple[Bead, ...] = ((*place.shoulder, breed.depth * 0.8), (*place.skull, breed.head * 0.7))
    for beads in (trunk(breed, place), neck, tail_beads, *place.near):
        pen.limb(draw, beads, 255)
    for chain in place.near:
        x, _, r = chain[-1]
        pen.disc(draw, (x + r * 0.6, -r * 0.7), r * 1.5, 255, r * 0.8)
    return silhouette
