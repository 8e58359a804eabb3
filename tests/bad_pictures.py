"""Pictures made to be difficult, each built here from nothing, so that none needs to be a file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of `picture` as JPEG, PNG or WEBP."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def scenery(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture whose corners differ: red top left, green top right, blue bottom left, dark bottom right."""
    across = np.linspace(0, 1, width)[None, :]
    down = np.linspace(0, 1, height)[:, None]
    channels = ((1 - across) * (1 - down), across * (1 - down), (1 - across) * down)
    return Image.fromarray((np.stack(channels, axis=-1) * 255).astype(np.uint8))


def chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of_size(width: int, height: int, kind: int = 2) -> bytes:
    """A PNG whose header says width x height, and whose data is a short run of zeros."""
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose frame header says width x height."""
    data = encode(scenery(16, 16), "JPEG")
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def webp_of_size(width: int, height: int) -> bytes:
    """A lossless WebP header that says width x height, up to 16384 a side."""
    body = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + bytes(20)
    chunks = b"WEBPVP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def sixteen_bit_rgb_png(colour: tuple[int, int, int], side: int = 16) -> bytes:
    """A PNG of one colour with 16 bits a channel, which Pillow does not write."""
    row = b"\0" + b"".join(struct.pack(">H", part * 257) for part in colour) * side
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(row * side))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def many_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG with its last scan repeated: few bytes, much work."""
    data = encode(Image.new("RGB", (width, height)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"


EXIF_TAG = 0x0112


def turned(picture: Image.Image, orientation: int, kind: str = "JPEG") -> bytes:
    """`picture` stored so that a reader who heeds the EXIF orientation sees it upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[EXIF_TAG] = orientation
    stored = picture.transpose(undo[orientation]) if orientation in undo else picture
    return encode(stored, kind, exif=exif.tobytes(), **({"quality": 95} if kind == "JPEG" else {}))
