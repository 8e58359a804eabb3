"""Telling what a picture is by its first bytes, whatever it is called. Decoding is the container's work."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from kennel.errors import BadRequest, ImageTooLarge, UnsupportedMediaType

HEADER_BYTES = 12  # as many as `sniff` looks at


def sniff(head: bytes) -> str | None:
    """The media type that the first HEADER_BYTES bytes announce: image/jpeg, image/png, image/webp, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


class Picture(NamedTuple):
    """The bytes of a picture, the media type that they announce, and their SHA-256 in hex digits."""

    data: bytes
    media_type: str
    sha256: str


def check(image: bytes, max_bytes: int) -> Picture:
    """`image` as a Picture. Raises BadRequest (empty), ImageTooLarge (over `max_bytes`), UnsupportedMediaType."""
    if not image:
        raise BadRequest("the picture is empty: 0 bytes")
    if len(image) > max_bytes:
        raise ImageTooLarge(f"the picture has more than {max_bytes} bytes")
    media_type = sniff(image[:HEADER_BYTES])
    if media_type is None:
        raise UnsupportedMediaType("the first bytes are not those of a JPEG, PNG or WebP picture")
    return Picture(image, media_type, hashlib.sha256(image).hexdigest())
