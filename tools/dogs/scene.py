"""Where the dog is: grass, sand, snow, a room, a street; and the camera that took the picture."""

import io
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from tools.dogs.breeds import Colour
from tools.dogs.texture import clouds, jitter, shade

_GROUND: dict[str, tuple[Colour, Colour]] = {  # scene -> above the horizon, below it
    "grass": ((168, 200, 222), (104, 142, 66)),
    "sand": ((150, 190, 206), (214, 190, 144)),
    "snow": ((186, 200, 214), (232, 236, 242)),
    "room": ((206, 192, 172), (150, 110, 76)),
    "street": ((150, 142, 138), (126, 124, 122)),
    "autumn": ((120, 104, 84), (158, 100, 54)),
}


def background(size: tuple[int, int], random: Random, noise: np.random.Generator) -> Image.Image:
    """A place for a dog: an RGB picture of `size`."""
    name = random.choice(sorted(_GROUND))
    above, below = (jitter(colour, random, 34) for colour in _GROUND[name])
    width, height = size
    horizon = int(height * random.uniform(0.3, 0.68))
    picture = Image.new("RGB", size, above)
    draw = ImageDraw.Draw(picture)
    if name in ("grass", "snow", "autumn"):
        _trees(draw, size, horizon, random, name)
    draw.rectangle((0, horizon, width, height), fill=below)
    if name == "sand":
        draw.rectangle((0, horizon - height // 12, width, horizon), fill=jitter((92, 144, 168), random))
    if name == "room":
        _furniture(draw, size, horizon, random)
    if name == "street":
        for x in range(random.randint(-60, 0), width, random.randint(40, 80)):
            draw.line((x, 0, x, horizon), fill=shade(above, 0.85), width=3)
        draw.line((0, horizon, width, horizon), fill=shade(below, 0.6), width=7)
    _clutter(draw, size, horizon, random)
    grain = clouds(size, 5, noise) * 13 + clouds(size, 90, noise) * 9
    pixels = np.asarray(picture, dtype=np.float32) + grain[..., None]
    np.clip(pixels, 0, 255, out=pixels)
    picture = Image.fromarray(pixels.astype(np.uint8))
    if name in ("grass", "autumn"):
        _blades(ImageDraw.Draw(picture), size, horizon, below, random)
    return picture


def _trees(draw: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, random: Random, name: str) -> None:
    leaf = {"grass": (66, 104, 58), "snow": (122, 134, 138), "autumn": (172, 92, 44)}[name]
    for _ in range(random.randint(2, 6)):
        x, tall = random.uniform(0, size[0]), random.uniform(0.4, 1.1) * horizon
        wide = random.uniform(0.3, 0.8) * tall
        draw.rectangle((x - wide / 14, horizon - tall * 0.6, x + wide / 14, horizon), fill=(96, 74, 58))
        box = (x - wide / 2, horizon - tall, x + wide / 2, horizon - tall * 0.25)
        draw.ellipse(box, fill=jitter(leaf, random, 26))


def _furniture(draw: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, random: Random) -> None:
    width, height = size
    draw.rectangle((0, horizon - height // 40, width, horizon), fill=(236, 232, 224))
    x, y = random.randint(0, width * 2 // 3), random.randint(0, max(1, horizon // 3))
    box = (x, y, x + width // 4, y + max(8, horizon // 2))
    draw.rectangle(box, fill=jitter((150, 180, 206), random, 50), outline=(110, 84, 60), width=6)
    left = random.choice((-width // 5, width * 2 // 3))
    sofa = jitter(random.choice(((120, 62, 62), (74, 92, 122), (188, 170, 140), (60, 60, 64))), random, 20)
    draw.rounded_rectangle((left, horizon - height // 4, left + width // 2, horizon + height // 12), 26, fill=sofa)
    middle, low = random.randint(0, width), random.randint(horizon, height)
    rug = jitter((170, 130, 110), random, 60)
    draw.ellipse((middle - width // 3, low - height // 9, middle + width // 3, low + height // 9), fill=rug)


def _clutter(draw: ImageDraw.ImageDraw, size: tuple[int, int], horizon: int, random: Random) -> None:
    """Toys, stones, bowls, posts: things of any colour, a dog's colours among them."""
    for _ in range(random.randint(0, 5)):
        x, y = random.uniform(0, size[0]), random.uniform(horizon - 30, size[1])
        a = random.uniform(6, 40)
        colour = random.choice(
            ((200, 60, 50), (60, 90, 180), (240, 200, 60), (40, 36, 36), (240, 236, 230), (170, 110, 60))
        )
        kind = random.randrange(3)
        if kind == 0:
            draw.ellipse((x - a, y - a, x + a, y + a), fill=jitter(colour, random))
        elif kind == 1:
            draw.rectangle((x - a, y - a * 0.6, x + a, y + a * 0.6), fill=jitter(colour, random))
        else:
            draw.line((x, y, x + random.uniform(-90, 90), y - a * 3), fill=jitter(colour, random), width=int(3 + a / 6))


def _blades(draw: ImageDraw.ImageDraw, size: tuple[int, int], top: float, colour: Colour, random: Random) -> None:
    for _ in range(250):
        x, y = random.uniform(0, size[0]), random.uniform(top, size[1] + 10)
        tall = random.uniform(5, 16)
        draw.line((x, y, x + random.uniform(-5, 5), y - tall), fill=jitter(colour, random, 30), width=2)


def compose(dog: Image.Image, place: Image.Image, random: Random) -> Image.Image:
    """The dog in its place, with its shadow, and at times something before its feet."""
    box = dog.getbbox() or (0, 0, 1, 1)
    shadow = Image.new("L", place.size, 0)
    height = max(6, (box[3] - box[1]) // 14)
    ImageDraw.Draw(shadow).ellipse((box[0], box[3] - height, box[2], box[3] + height), fill=random.randint(50, 120))
    shadow = shadow.filter(ImageFilter.BoxBlur(6))
    place.paste((24, 22, 30), mask=shadow)
    place.paste(dog, mask=dog.getchannel("A"))
    if random.random() < 0.25:
        ground = place.getpixel((2, place.height - 3))
        assert isinstance(ground, tuple)
        colour = (int(ground[0]), int(ground[1]), int(ground[2]))
        _blades(ImageDraw.Draw(place), place.size, box[3] - 6, colour, random)
    return place


def photograph(scene: Image.Image, size: tuple[int, int], random: Random, noise: np.random.Generator) -> bytes:
    """The JPEG a middling camera makes of the scene: light, tint, blur, noise, compression."""
    picture = scene.resize(size, Image.Resampling.BILINEAR)
    picture = ImageEnhance.Color(picture).enhance(random.uniform(0.45, 1.25))
    pixels = np.asarray(picture, dtype=np.float32)
    tint = np.array([random.uniform(0.89, 1.11) for _ in range(3)], dtype=np.float32)
    pixels = (pixels - 128) * random.uniform(0.7, 1.15) + 128 + random.uniform(-28, 26)
    across = np.linspace(random.uniform(0.76, 1.1), random.uniform(0.76, 1.1), size[0], dtype=np.float32)
    grain = noise.standard_normal((size[1], size[0], 1), dtype=np.float32) * random.choice((2.0, 5.0, 9.0))
    pixels = pixels * tint * across[None, :, None] + grain
    np.clip(pixels, 0, 255, out=pixels)
    picture = Image.fromarray(pixels.astype(np.uint8))
    if random.random() < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.3)))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=random.randint(45, 92))
    return buffer.getvalue()
