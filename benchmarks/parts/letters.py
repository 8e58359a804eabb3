"""A data set far from any photograph: letters, drawn at random sizes, places, angles and colours on speckled ground."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = "ABCDEFGHJKLMNPRSTUXY"  # 20 that stay apart however they are turned
EACH = {"train": 40, "valid": 10}
SIDE = 256  # pixels
TURN, SLANT = 30, 0.3  # degrees, and the sideways shift of a height of 1, at most


def draw_letters(folder: Path) -> Path:
    """The data set, drawn into `folder`: train/ and valid/, a folder for each letter; the same bytes each time."""
    for split, each in EACH.items():
        for number, letter in enumerate(LETTERS):
            target = folder / split / f"{number + 1:03}.Letter_{letter}"
            target.mkdir(parents=True)
            for n in range(each):
                letter_picture(letter, f"{split}/{letter}/{n}").save(target / f"{n:03}.jpg", quality=90)
    return folder


def letter_picture(letter: str, key: str) -> Image.Image:
    """One picture, which depends on its arguments alone."""
    draw = Random(key)
    ground, ink = colours(draw)
    stencil = Image.new("L", (SIDE, SIDE))
    at = SIDE * draw.uniform(0.35, 0.65), SIDE * draw.uniform(0.35, 0.65)
    font = ImageFont.load_default(draw.uniform(0.4, 0.7) * SIDE)
    ImageDraw.Draw(stencil).text(at, letter, fill=255, font=font, anchor="mm", stroke_width=draw.randint(0, 6))
    slant = draw.uniform(-SLANT, SLANT)
    bilinear = Image.Resampling.BILINEAR
    stencil = stencil.transform(
        stencil.size, Image.Transform.AFFINE, (1, slant, -slant * SIDE / 2, 0, 1, 0), resample=bilinear
    ).rotate(draw.uniform(-TURN, TURN), resample=bilinear)
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    picture.paste(ink, mask=stencil)
    speckle = np.random.default_rng(draw.getrandbits(32)).normal(0, draw.uniform(4, 24), (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + speckle, 0, 255).astype(np.uint8))


def colours(draw: Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of ground and ink, far enough from each other to read."""
    while True:
        ground, ink = (tuple(draw.randint(0, 255) for _ in range(3)) for _ in range(2))
        if sum(abs(a - b) for a, b in zip(ground, ink, strict=True)) > 200:
            return ground, ink
