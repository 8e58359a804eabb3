"""The head, in profile or looking at us: skull, muzzle, markings, ears, eyes, nose, mouth. All in head radii."""

from PIL import Image, ImageDraw

from tools.dogs.breeds import WHITE, Colour
from tools.dogs.pen import Fill, Point
from tools.dogs.subject import Subject
from tools.dogs.texture import furry, jitter, shade, shade_fur

_INK: Colour = (28, 22, 22)
_TONGUE: Colour = (214, 106, 112)
_PINK: Colour = (214, 160, 140)
_UPRIGHT = ("pricked", "bat", "semi")
# ear -> its outline from its root: x outwards (away from the nose in profile), y down
_EARS: dict[str, tuple[Point, ...]] = {
    "pricked": ((-0.32, 0.25), (-0.12, -0.8), (0.08, -0.95), (0.42, 0.2)),
    "bat": ((-0.42, 0.25), (-0.3, -0.7), (0.05, -1.3), (0.38, -0.9), (0.55, 0.25)),
    "semi": ((-0.3, 0.25), (-0.15, -0.5), (0.1, -0.66), (0.55, -0.3), (0.62, 0.05), (0.32, -0.05), (0.38, 0.3)),
    "floppy": ((-0.3, -0.1), (0.05, -0.28), (0.42, -0.05), (0.52, 0.5), (0.3, 0.92), (0.0, 0.85), (-0.2, 0.4)),
    "long": ((-0.3, -0.1), (0.05, -0.25), (0.42, 0.1), (0.6, 0.9), (0.5, 1.5), (0.15, 1.65), (-0.12, 1.2), (-0.2, 0.4)),
}


def draw_head(dog: Subject, picture: Image.Image) -> None:
    """Draws the dog's head over `picture`, RGBA."""
    in_profile = dog.random.random() < 0.62
    outline = Image.new("L", picture.size, 0)
    paint = Image.new("RGB", picture.size, dog.coat.base)
    inside, brush = ImageDraw.Draw(outline), ImageDraw.Draw(paint)
    if in_profile:
        _ear(dog, ImageDraw.Draw(picture), (0.22, -0.62), (*shade(dog.coat.ear, 0.7), 255), side=-1, size=0.9)
        _profile(dog, inside, brush)
    else:
        _front(dog, inside, brush)
    _spots(dog, brush)
    if dog.has("pompons"):
        dog.pen.disc(inside, dog.face(-0.1, -0.75), dog.breed.head * 0.8, 255, dog.breed.head * 0.66)
    outline = furry(outline, dog.breed.fur, dog.pen.scale * 0.7, dog.noise)
    face = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    face.paste(paint, mask=outline)
    shade_fur(face, outline, dog.breed.fur, dog.pen.scale * 0.8, dog.noise)
    picture.alpha_composite(face)
    draw = ImageDraw.Draw(picture)
    (_profile_features if in_profile else _front_features)(dog, draw)


def _ear(dog: Subject, draw: ImageDraw.ImageDraw, root: Point, fill: Fill, *, side: int = 1, size: float = 1.0) -> None:
    """`side` 1: the ear leans towards the back (or our left); -1: the other way."""
    outline = _EARS[dog.breed.ears]
    dog.pen.shape(draw, [dog.face(root[0] - side * x * size, root[1] + y * size) for x, y in outline], fill)


def _near_ear(dog: Subject, draw: ImageDraw.ImageDraw, root: Point, side: int) -> None:
    _ear(dog, draw, root, (*dog.coat.ear, 255), side=side)
    if dog.breed.ears in _UPRIGHT:
        _ear(dog, draw, root, (*shade(_PINK, 0.55 if sum(dog.coat.ear) < 200 else 0.95), 255), side=side, size=0.5)


def _profile(dog: Subject, inside: ImageDraw.ImageDraw, brush: ImageDraw.ImageDraw) -> None:
    pen, at, breed, r = dog.pen, dog.face, dog.breed, dog.breed.head
    pen.disc(inside, dog.place.skull, r, 255)
    pen.limb(inside, ((*at(0.4, 0.2), r * 0.66), (*at(0.72 + breed.muzzle, 0.4), r * breed.snout)), 255)
    white = jitter(WHITE, dog.random, 8)
    if dog.has("white_face"):
        pen.limb(brush, ((*at(0.1, 0.55), r * 0.62), (*at(1.6, 0.4), r * 0.9)), white)
    if dog.has("blaze"):
        pen.limb(brush, ((*at(0.72 + breed.muzzle * 0.45, 0.42), r * 0.62), (*at(2.4, 0.5), r)), white)
        pen.limb(brush, ((*at(0.2, -1.0), r * 0.2), (*at(0.9, -0.2), r * 0.22)), white)
    if dog.has("mask"):
        pen.limb(brush, ((*at(0.85, 0.4), r * 0.55), (*at(2.2, 0.4), r)), dog.coat.marking)
    if dog.has("tan_points"):
        pen.limb(brush, ((*at(0.75, 0.62), r * 0.36), (*at(2.2, 0.8), r * 0.5)), dog.coat.marking)


def _front(dog: Subject, inside: ImageDraw.ImageDraw, brush: ImageDraw.ImageDraw) -> None:
    pen, at, r, reach = dog.pen, dog.face, dog.breed.head, _reach(dog)
    pen.disc(inside, dog.place.skull, r, 255)
    pen.limb(inside, ((*at(0, 0.3), r * 0.78), (*at(0, 0.3 + reach), r * (dog.breed.snout + 0.08))), 255)
    white = jitter(WHITE, dog.random, 8)
    if dog.has("white_face"):
        pen.limb(brush, ((*at(-0.45, 0.35), r * 0.42), (*at(0.45, 0.35), r * 0.42)), white)
        pen.disc(brush, at(0, 0.8), r * 0.7, white)
    if dog.has("blaze"):
        pen.limb(brush, ((*at(0, -1), r * 0.14), (*at(0, 0.1), r * 0.2), (*at(0, 0.35 + reach), r * 0.6)), white)
    if dog.has("mask"):
        pen.disc(brush, at(0, 0.3 + reach), r * 0.68, dog.coat.marking, r * 0.6)
    if dog.has("tan_points"):
        for x in (-0.34, 0.34):
            pen.disc(brush, at(x, 0.5 + reach * 0.6), r * 0.32, dog.coat.marking)


def _spots(dog: Subject, brush: ImageDraw.ImageDraw) -> None:
    if not dog.has("spots"):
        return
    for _ in range(14):
        x, y = dog.random.uniform(-1, 1.3), dog.random.uniform(-1, 0.8)
        dog.pen.disc(brush, dog.face(x, y), dog.breed.head * dog.random.uniform(0.05, 0.14), dog.coat.marking)


def _reach(dog: Subject) -> float:
    """How far below the eyes the muzzle of a head looking at us ends."""
    return 0.34 + dog.breed.muzzle * 0.24


def _profile_features(dog: Subject, draw: ImageDraw.ImageDraw) -> None:
    tip, snout = 0.72 + dog.breed.muzzle, dog.breed.snout
    _near_ear(dog, draw, (-0.3, -0.62) if dog.breed.ears in _UPRIGHT else (-0.22, -0.5), 1)
    _tongue(dog, draw, (tip - 0.05, 0.4 + snout * 0.95))
    _mouth(dog, draw, (tip + snout * 0.5, 0.4 + snout * 0.55), (0.62, 0.56))
    _eye(dog, draw, (0.46, -0.16))
    _nose(dog, draw, (tip + snout * 0.72, 0.4 - snout * 0.45))


def _front_features(dog: Subject, draw: ImageDraw.ImageDraw) -> None:
    reach = _reach(dog)
    for side in (1, -1):
        _near_ear(dog, draw, (-0.6 * side, -0.6) if dog.breed.ears in _UPRIGHT else (-0.74 * side, -0.52), side)
    _tongue(dog, draw, (0, 0.72 + reach))
    _mouth(dog, draw, (-0.24, 0.56 + reach), (0.24, 0.56 + reach))
    _eye(dog, draw, (-0.4, -0.06))
    _eye(dog, draw, (0.4, -0.06))
    _nose(dog, draw, (0, 0.2 + reach))


def _tongue(dog: Subject, draw: ImageDraw.ImageDraw, place: Point) -> None:
    if dog.random.random() < 0.35:
        dog.pen.disc(draw, dog.face(*place), dog.breed.head * 0.15, _TONGUE, dog.breed.head * 0.27)


def _mouth(dog: Subject, draw: ImageDraw.ImageDraw, start: Point, end: Point) -> None:
    line = shade(dog.coat.base, 0.5) if sum(dog.coat.base) > 260 else (92, 84, 84)
    width = dog.breed.head * 0.035
    dog.pen.limb(draw, ((*dog.face(*start), width), (*dog.face(*end), width)), line)


def _eye(dog: Subject, draw: ImageDraw.ImageDraw, place: Point) -> None:
    (x, y), pen, r = place, dog.pen, dog.breed.head
    if dog.has("tan_points"):
        pen.disc(draw, dog.face(x, y - 0.34), r * 0.12, dog.coat.marking)
    if sum(dog.coat.base) < 260:
        pen.disc(draw, dog.face(x, y), r * 0.17, (126, 88, 56))
    pen.disc(draw, dog.face(x, y), r * 0.12, _INK)
    pen.disc(draw, dog.face(x + 0.04, y - 0.05), r * 0.04, (250, 250, 250))


def _nose(dog: Subject, draw: ImageDraw.ImageDraw, place: Point) -> None:
    dog.pen.disc(draw, dog.face(*place), dog.breed.head * 0.19, _INK, dog.breed.head * 0.15)
