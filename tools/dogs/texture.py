"""Colours and surfaces: jitter, shade, clouds of noise, fur."""

from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from tools.dogs.breeds import Colour

Field = npt.NDArray[np.float32]
# fur -> how far it ruffles an outline (share of white), how large its locks are (dog units), how much they mottle
_FUR = {"smooth": (0.0, 0.05, 5.0), "fluffy": (0.75, 0.035, 13.0), "curly": (0.95, 0.075, 17.0)}


def jitter(colour: Colour, random: Random, amount: int = 14) -> Colour:
    """`colour` a little lighter or darker, warmer or colder."""
    light = random.randint(-amount, amount)
    red, green, blue = (min(255, max(0, part + light + random.randint(-6, 6))) for part in colour)
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` times `factor`."""
    red, green, blue = (min(255, int(part * factor)) for part in colour)
    return red, green, blue


def clouds(size: tuple[int, int], grain: float, noise: np.random.Generator) -> Field:
    """Smooth noise, mean 0, about -1..1, float32 [height, width]; `grain` is the size of a blot in pixels."""
    width, height = size
    cells = (max(2, int(width / grain)), max(2, int(height / grain)))
    values = noise.random((cells[1], cells[0]), dtype=np.float32) * 2 - 1
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))


def furry(silhouette: Image.Image, fur: str, scale: float, noise: np.random.Generator) -> Image.Image:
    """The silhouette with its outline ruffled by the fur. `scale`: pixels in a dog unit."""
    ruffle, lock, _ = _FUR[fur]
    if not ruffle:
        return silhouette
    soft = np.asarray(silhouette.filter(ImageFilter.BoxBlur(max(1.0, lock * scale * 0.45))), dtype=np.float32)
    ragged = soft / 255 + ruffle * 0.5 * clouds(silhouette.size, max(3.0, lock * scale), noise)
    inside = (ragged > 0.42) & (soft > 20)  # no flecks away from the dog
    return Image.fromarray((inside * np.uint8(255)).astype(np.uint8))


def shade_fur(dog: Image.Image, silhouette: Image.Image, fur: str, scale: float, noise: np.random.Generator) -> None:
    """Puts light from above and the texture of its fur on what lies inside the silhouette. Changes `dog`, RGBA."""
    box = silhouette.getbbox()
    if box is None:
        return
    _, lock, mottle = _FUR[fur]
    part, body = dog.crop(box), silhouette.crop(box)
    small = (max(1, body.width // 4), max(1, body.height // 4))
    body = body.resize(small, Image.Resampling.BOX)
    lifted = Image.new("L", small, 0)
    lifted.paste(body, (0, -max(1, int(scale * 0.03))))
    edge = ImageChops.subtract(body, lifted).filter(ImageFilter.GaussianBlur(max(1.0, scale * 0.018)))
    dark = np.asarray(edge.resize(part.size, Image.Resampling.BILINEAR), dtype=np.float32) * 0.32
    relief = clouds(part.size, max(3.0, lock * scale * 0.6), noise) * mottle - dark
    pixels = np.asarray(part, dtype=np.float32).copy()
    pixels[..., :3] += relief[..., None]
    np.clip(pixels, 0, 255, out=pixels)
    dog.paste(Image.fromarray(pixels.astype(np.uint8)), box[:2])
