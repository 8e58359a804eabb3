"""One file of the data set to pixels, or to the reason why it cannot be used."""

import hashlib
import io
import os
import random
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.preprocess import BadImage, ImageTooLarge, Preprocess, UnsupportedImage
from training.data import Picture

Pixels = npt.NDArray[np.uint8]

MIN_SIDE = 16  # pixels: below this there is nothing to learn from
MAX_BYTES = 64 * 1024 * 1024  # of a file: more than serving takes, because cameras' originals are good to train on
_SUFFIXES = {"JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"}, "PNG": {".png"}, "WEBP": {".webp"}}
_ODD_MODES = {
    "L": "grey",
    "1": "black and white",
    "CMYK": "CMYK",
    "YCCK": "CMYK",
    "P": "palette",
    "LA": "grey with alpha",
    "RGBA": "alpha",
    "PA": "palette with alpha",
}
THUMBNAIL_SIDE = 240  # pixels: the longer side, sharp on screens of twice the density at the size they are shown
THUMBNAIL_BYTES = 30_000
# Of an augmented view: its share of the picture's area, and its width to its height.
CROP_AREA = (0.25, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Reading:
    """What became of one file.

    pixels   uint8 RGB [height, width, 3], upright, or None when the file is bad
    kind     of badness, in a word: empty, corrupt, not-a-picture, huge, tiny, unreadable; "" when it is good
    reason   the same in a sentence
    notes    what is odd about a good picture: converted colours, a misleading extension
    size     (width, height) in pixels as the picture is stored, which `pixels` may be a half or less of; None when bad
    """

    sha256: str
    pixels: Pixels | None = None
    kind: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


def read(picture: Picture, preprocess: Preprocess) -> Reading:
    """Reads and decodes one file. Never raises for what a file may hold."""
    try:
        size = picture.path.stat().st_size
        if size > MAX_BYTES:
            return Reading(sha256_of(picture), kind="huge", reason=f"{size} bytes; at most {MAX_BYTES} are taken")
        data = picture.path.read_bytes()
    except OSError as error:
        return Reading("", kind="unreadable", reason=error.strerror or type(error).__name__)
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return Reading(digest, kind="empty", reason="the file has no bytes")
    try:
        pixels = preprocess.decode(data, max_bytes=MAX_BYTES)
    except BadImage as error:
        return Reading(digest, kind=_kind_of(error), reason=str(error))
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        reason = f"{width} x {height} pixels; at least {MIN_SIDE} on each side are wanted"
        return Reading(digest, kind="tiny", reason=reason)
    # The header is read once more, without its pixels: decoding gives neither the stored size nor the colours.
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as header:
        return Reading(digest, pixels, notes=_oddities(picture, header), size=header.size)


def views(picture: Picture, pixels: Pixels, preprocess: Preprocess, count: int, seed: int) -> Pixels:
    """`count` views uint8 [count, size, size, 3]: the first as serving sees the picture, the others augmented.

    What is drawn depends on the seed, the picture's name and the view's number alone, never on the order of work.
    """
    image = Image.fromarray(pixels)
    drawn = [_augmented(image, preprocess, _chance_of(picture, number, seed)) for number in range(1, count)]
    return np.stack([preprocess.to_input(pixels), *drawn])


def augmented(picture: Picture, pixels: Pixels, preprocess: Preprocess, number: int, seed: int) -> Pixels:
    """The augmented view `number` (from 1) of a picture, uint8 [size, size, 3]; drawn as `views` says."""
    return _augmented(Image.fromarray(pixels), preprocess, _chance_of(picture, number, seed))


def thumbnail(picture: Picture, preprocess: Preprocess) -> Thumbnail | None:
    """`picture` as a small JPEG; None when it cannot be read. Nothing but pixels goes in: no place, time or camera."""
    pixels = read(picture, preprocess).pixels
    if pixels is None:
        return None
    small = Image.fromarray(pixels)
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    for quality in (82, 60, 35, 10):
        target = io.BytesIO()
        small.save(target, "JPEG", quality=quality, optimize=True)
        if target.tell() <= THUMBNAIL_BYTES:
            break
    return Thumbnail(target.getvalue(), *small.size)


def _chance_of(picture: Picture, number: int, seed: int) -> random.Random:
    key = os.fsencode(f"{seed}/{picture.name}/{number}")  # file names may hold any bytes
    return random.Random(key)  # noqa: S311 - augmentation, no secret


def _augmented(image: Image.Image, preprocess: Preprocess, draw: random.Random) -> Pixels:
    """A crop of random size, shape and place, resized to the model's input, every other time mirrored."""
    width, height = image.size
    for _ in range(10):
        area = height * width * draw.uniform(*CROP_AREA)
        ratio = exp(draw.uniform(log(CROP_RATIO[0]), log(CROP_RATIO[1])))
        crop_width, crop_height = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if crop_width <= width and crop_height <= height:
            break
    else:  # a very long or very high picture: the largest square
        crop_width = crop_height = min(height, width)
    left, top = draw.randint(0, width - crop_width), draw.randint(0, height - crop_height)
    view = image.resize(
        (preprocess.size, preprocess.size),
        Image.Resampling[preprocess.interpolation.upper()],
        box=(left, top, left + crop_width, top + crop_height),
    )
    mirrored = draw.random() < 0.5
    return np.asarray(view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else view)


def _kind_of(error: BadImage) -> str:
    if isinstance(error, ImageTooLarge):
        return "huge"
    return "not-a-picture" if isinstance(error, UnsupportedImage) else "corrupt"


def _oddities(picture: Picture, header: Image.Image) -> tuple[str, ...]:
    """Notes on a picture that has been decoded."""
    notes = []
    mode, kind = header.mode, str(header.format)
    colours = "16-bit" if mode.startswith("I") else _ODD_MODES.get(mode)
    if colours:
        notes.append(f"{colours} picture, converted to RGB")
    suffix = picture.path.suffix.lower()
    if suffix not in _SUFFIXES.get("JPEG" if kind == "MPO" else kind, {suffix}):
        notes.append(f"misnamed: its bytes are {kind}, its name ends in {suffix or 'nothing'}")
    return tuple(notes)


def sha256_of(picture: Picture) -> str:
    """The SHA-256 of the file's bytes, without holding them all. Raises OSError."""
    with picture.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
