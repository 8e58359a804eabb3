"""Bytes to the model's input. The one module that training and serving share, so that both see the same pixels.

`Preprocess` is stored beside the weights as `preprocess.json` and loaded from there. Turning the picture upright,
making it RGB, resizing and cropping happen here; mean, standard deviation and scale are recorded here and applied
inside the model's graph. Colour profiles and PNG gamma are not applied. Everything is deterministic.
"""

import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from serving.sniff import (
    BadImage,
    Header,
    ImageTooLarge,
    UnreadableImage,
    UnsupportedImage,
    exif_orientation,
    read_header,
)

__all__ = ["BadImage", "ImageTooLarge", "Preprocess", "UnreadableImage", "UnsupportedImage"]

RGB = npt.NDArray[np.uint8]

FORMAT = 1
MAX_BYTES = 6 * 1024 * 1024  # what a SageMaker endpoint takes
MAX_PIXELS = 50_000_000
# A progressive JPEG may hold thousands of tiny scans, each of which makes the decoder walk the whole picture.
MAX_SCANNED_PIXELS = 1_000_000_000
TWO_WAYS = "its header can be read in two ways"  # the pixel cap must not be led astray
# A JPEG decoded at half size and resized from there differs from one decoded whole. With 1.5 times the wanted side
# left, the mean difference is about half a level of 255; with 1.0 times it is over one.
SCALE_MARGIN = 1.5

# What is converted at a time: a copy of 50 million pixels in four channels would take 200 MB.
BAND_PIXELS = 1_000_000

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# EXIF orientation -> the array turned upright.
_UPRIGHT: dict[int, Callable[[RGB], RGB]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the input of one model.

    size           side of the square the model takes, pixels
    resize         the short side before the centre crop, pixels; at least `size`
    interpolation  antialiased filter: nearest, bilinear, bicubic, lanczos
    mean, std      per channel R, G, B; scale: the model computes (pixel / scale - mean) / std from 0..255
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 255.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.resize <= 4096:
            raise ValueError(f"preprocess: need 1 <= size <= resize <= 4096, got {self.size} and {self.resize}")
        if self.interpolation not in _FILTERS:
            raise ValueError(f"preprocess: interpolation {self.interpolation!r} is none of {', '.join(_FILTERS)}")
        for name in ("mean", "std"):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ValueError(f"preprocess: {name} must be three numbers")
            object.__setattr__(self, name, values)
        if not (math.isfinite(self.scale) and self.scale > 0 and all(value > 0 for value in self.std)):
            raise ValueError("preprocess: scale and std must be above zero")

    @classmethod
    def load(cls, path: str | Path) -> "Preprocess":
        """Reads preprocess.json. Raises ValueError, in one line, when it is not one of ours."""
        try:
            document: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            found = document.pop("format", None)
            if found != FORMAT:
                raise ValueError(f"preprocess: format {found!r} is not {FORMAT}")
            names = {field.name for field in fields(cls)}
            if set(document) != names:
                raise ValueError(f"preprocess: fields differ from what is known: {sorted(set(document) ^ names)}")
            return cls(**document)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"preprocess: {error}") from error

    def save(self, path: str | Path) -> None:
        """Writes preprocess.json; the same fields give the same bytes."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def decode(self, data: bytes, *, short_side: int | None = None, max_bytes: int = MAX_BYTES) -> RGB:
        """The picture in `data` (JPEG, PNG or WebP by its own bytes), upright, as RGB uint8 [height, width, 3].

        A large JPEG comes at 1/2, 1/4 or 1/8 of its size so long as its short side keeps 1.5 times `short_side`
        (default: `resize`); pass a larger value where small crops are cut from the picture.
        Raises UnreadableImage, ImageTooLarge or UnsupportedImage; a truncated picture is never accepted.
        """
        if len(data) > max_bytes:
            raise ImageTooLarge(f"{len(data)} bytes; at most {max_bytes} are taken")
        header = read_header(data)
        if header.width * header.height > MAX_PIXELS:
            raise ImageTooLarge(f"{header.width} x {header.height} pixels; at most {MAX_PIXELS} in all are taken")
        try:
            if header.kind == "JPEG":
                return _decode_jpeg(data, header, SCALE_MARGIN * (short_side or self.resize))
            return _decode_other(data, header)
        except BadImage:
            raise
        # The decoders raise what they like for bytes made to hurt them: OSError, SyntaxError, struct.error...
        except Exception as error:
            raise UnreadableImage(_one_line(error)) from error

    def to_input(self, rgb: RGB) -> RGB:
        """The model's input, uint8 [size, size, 3], from `rgb` [height, width, 3] of any size.

        The short side is resized to `resize`, antialiased, and the centre cropped.
        """
        height, width = rgb.shape[:2]
        side = min(height, width) * self.size / self.resize  # of the centre square, in source pixels
        left, top = (width - side) / 2, (height - side) / 2
        # Only the crop is computed; pixels beside it still count where the filter reaches them, as in resize-then-crop.
        box = (left, top, left + side, top + side)
        picture = Image.fromarray(rgb).resize((self.size, self.size), _FILTERS[self.interpolation], box=box)
        return np.asarray(picture)

    def __call__(self, data: bytes) -> RGB:
        """`to_input(decode(data))`: what the model is given for these bytes."""
        return self.to_input(self.decode(data))


def _decode_jpeg(data: bytes, header: Header, keep: float) -> RGB:
    """`keep`: the least short side, pixels, that must be left by decoding at a reduced scale."""
    scans = data.count(b"\xff\xda")  # never inside entropy-coded data; a thumbnail adds one
    if scans > 8 and scans * header.width * header.height > MAX_SCANNED_PIXELS:
        raise UnreadableImage(f"the JPEG has {scans} scans of {header.width} x {header.height} pixels")
    if simplejpeg.decode_jpeg_header(data)[:2] != (header.height, header.width):
        raise UnreadableImage(TWO_WAYS)
    # strict: what libjpeg only warns about (a premature end above all, filled with grey) is refused.
    if header.components not in (1, 3):
        simplejpeg.decode_jpeg(data, "CMYK", strict=True)  # Pillow knows Adobe's inverted inks, but is not strict
        return _decode_other(data, header)
    factor = _factor(header, keep)
    rgb = simplejpeg.decode_jpeg(
        data,
        "RGB",
        min_height=header.height // factor,
        min_width=header.width // factor,
        min_factor=factor,
        strict=True,
    )
    return _upright(rgb, header.orientation)


def _factor(header: Header, keep: float) -> int:
    """By how much the decoder may shrink: 8, 4, 2 or 1.

    Only by whole halves: libjpeg's other scales are up to four times less exact, and so is a half of an odd size, whose
    centre moves.
    """
    for factor in (8, 4, 2):
        divides = header.width % factor == 0 and header.height % factor == 0
        if divides and min(header.width, header.height) >= keep * factor:
            return factor
    return 1


def _decode_other(data: bytes, header: Header) -> RGB:
    """PNG, WebP and CMYK JPEG, through Pillow: the first frame, 16 bits brought to 8, alpha laid over white."""
    with Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "JPEG")) as picture:
        if picture.size != (header.width, header.height):  # of two PNG headers Pillow takes the last
            raise UnreadableImage(TWO_WAYS)
        picture.load()
        exif = picture.info.get("exif")  # text, where a PNG has a remark of this name
        if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip it to white
            grey = (np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            rgb = np.stack([grey] * 3, axis=-1)
        else:
            rgb = _on_white(picture)
    return _upright(rgb, exif_orientation(exif.removeprefix(b"Exif\0\0")) if isinstance(exif, bytes) else 1)


def _on_white(picture: Image.Image) -> RGB:
    """`picture` as RGB, what is transparent laid on white, a band at a time."""
    rgb = np.empty((picture.height, picture.width, 3), dtype=np.uint8)
    rows = max(1, BAND_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        band = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        rgb[top : top + rows] = np.asarray(_without_alpha(band))
    return rgb


def _without_alpha(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    coloured = picture.convert("RGBA")
    white = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(white, coloured).convert("RGB")


def _upright(rgb: RGB, orientation: int) -> RGB:
    turn = _UPRIGHT.get(orientation)
    return rgb if turn is None else np.ascontiguousarray(turn(rgb))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
