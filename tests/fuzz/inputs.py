"""Inputs to begin with, and ways to change them that leave enough whole to get past the first check."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bad_pictures import (
    encode,
    jpeg_of_size,
    many_scans,
    png_of_size,
    scenery,
    sixteen_bit_rgb_png,
    turned,
    webp_of_size,
)

EVENTS = Path(__file__).parents[2] / "events"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Where programs err: nothing, signs, the ends of 8, 16 and 32 bits.
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NAMES = ("url", "image", "s3", "pictures", "top_k", "output", "timing", "explain", "endpoint_name", "request_dict",
         "httpMethod", "requestContext", "requestId", "headers", "queryStringParameters", "body", "isBase64Encoded",
         "resource", "path", "content-type", "X-Request-Id", "X-Amzn-Trace-Id")  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 5, 1e308, 10**400, float("nan"), "", "\ud800", "\x00", "é" * 50, [], [[]], {}, {"": ""},
    "[" * 5000, "POST", "/predictions", "logits", "5", "true", "application/json", "multipart/form-data; boundary=b",
    '{"image": "iVBORw0KGgo="}', "iVBORw0KGgo=", [{"image": "iVBORw0KGgo="}, {"url": "http://dogs.example/a"}],
    "http://[::1", "http://dogs.example/a", "https://127.1/", "s3://kennel-data/a.jpg", "s3://x",
)  # fmt: skip


def pictures() -> list[bytes]:
    """Small pictures of every kind, and what is nearly one."""
    rgb, clear = scenery(24, 16), Image.new("RGBA", (16, 16), (255, 0, 0, 90))
    frames: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (24, 16))], "duration": 100}
    return [
        *(encode(rgb, kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP")),
        *(encode(rgb, "JPEG", **{name: True}) for name in ("progressive", "optimize")),
        *(encode(rgb, "JPEG", subsampling=subsampling, restart_marker_rows=1) for subsampling in (0, 1, 2)),
        *(encode(rgb.convert(mode), "JPEG") for mode in ("L", "CMYK", "YCbCr")),
        *(turned(rgb, 6, kind) for kind in ("JPEG", "PNG", "WEBP")),
        *(encode(rgb.convert(mode), "PNG") for mode in ("L", "LA", "P", "1", "RGBA")),
        encode(clear.quantize(4), "PNG"),
        encode(rgb.quantize(4), "PNG", transparency=1, dpi=(72, 72)),
        encode(Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16)), "PNG"),
        sixteen_bit_rgb_png((200, 100, 50)),
        encode(rgb, "WEBP", lossless=True),
        *(encode(clear, "WEBP", lossless=lossless) for lossless in (True, False)),
        *(encode(rgb, kind, **frames) for kind in ("PNG", "WEBP")),
        jpeg_of_size(600, 500),
        png_of_size(600, 500),
        webp_of_size(600, 500),
        many_scans(24, 16, 4),
        encode(rgb, "JPEG") + b"PK\x03\x04",
        b"",
    ]


def events() -> list[bytes]:
    """Every event of events/, as text."""
    return [path.read_bytes() for path in sorted(EVENTS.glob("*.json"))]


def bodies() -> list[bytes]:
    """What the container takes when it takes several pictures: the content type, a line feed, the body."""
    pictures = [encode(Image.new("RGB", (2, 2)), kind) for kind in ("PNG", "WEBP")]
    parts = b"".join(
        b'--limit\r\nContent-Disposition: form-data; name="a"; filename="b.png"\r\n\r\n%s\r\n' % picture
        for picture in pictures
    )
    listed = json.dumps([base64.b64encode(picture).decode() for picture in pictures]).encode()
    return [
        b"application/json\n" + listed,
        b"application/json; charset=utf-8\n[]",
        b"multipart/form-data; boundary=limit\n" + parts + b"--limit--\r\n",
        b'multipart/form-data; charset="utf-8"; boundary="limit"\n' + parts.replace(b'"b.png"', b"") + b"--limit--",
        b"multipart/form-data\n" + parts,
        b"image/png\n" + pictures[0],
    ]


def changed_picture(data: bytes, rng: random.Random) -> bytes:
    """`data` with a few bytes, numbers or stretches changed; of a PNG mostly with checksums that are right again."""
    data = changed_bytes(data, rng)
    return with_checksums(data) if data.startswith(PNG_MAGIC) and rng.random() < 0.8 else data


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """`data` after one to six changes."""
    changed = bytearray(data or b"\xff")
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(changed) or 1)
        end = at + rng.choice((1, 2, 4, 8, 32, 300))
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes([(changed[at] if at < len(changed) else 0) ^ 1 << rng.randrange(8)])
            case 2:
                order, width = rng.choice("<>"), rng.choice("BHI")
                value = rng.choice(NUMBERS) & (1 << 8 * struct.calcsize(width)) - 1
                changed[at : at + struct.calcsize(width)] = struct.pack(order + width, value)
            case 3:
                del changed[at:end]
            case 4:
                changed[at:at] = changed[at:end] * rng.choice((1, 1, 2, 50))
            case _:
                other = rng.randrange(len(changed) or 1)
                changed[at:end] = changed[other : other + end - at]
    return bytes(changed)


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks, as far as there are any, have the checksums that they should have."""
    fixed, at = bytearray(data), len(PNG_MAGIC)
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def changed_event(data: bytes, rng: random.Random) -> bytes:
    """An event's text with values, names and texts changed, also within JSON in a text, and bytes within its body."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return changed_bytes(data, rng)
    if isinstance(event, dict) and event.get("isBase64Encoded") is True and rng.random() < 0.5:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # no body, or one that was changed before
            event["body"] = base64.b64encode(changed_bytes(base64.b64decode(event["body"]), rng)).decode()
    return json.dumps(_changed(event, rng, rng.choice((0.02, 0.1, 0.3)))).encode()


def _changed(value: Any, rng: random.Random, share: float) -> Any:
    if rng.random() < share:
        return rng.choice(VALUES)
    if isinstance(value, dict):
        members = {
            (rng.choice(NAMES) if rng.random() < share else k): _changed(v, rng, share) for k, v in value.items()
        }
        if members and rng.random() < share:
            del members[rng.choice(list(members))]
        return members | ({rng.choice(NAMES): rng.choice(VALUES)} if rng.random() < share else {})
    if isinstance(value, list):
        return [_changed(one, rng, share) for one in value]
    if isinstance(value, str) and value and rng.random() < 0.3:
        if re.match(r"\s*[{[]", value) and len(value) < 5000:
            return changed_event(value.encode("utf-8", "replace"), rng).decode("utf-8", "replace")
        at = rng.randrange(len(value))
        return value[:at] + rng.choice(("", "=", "%", "@", "\\", chr(rng.randrange(0x10000)))) + value[at + 1 :]
    return value
