"""What a picture's own bytes say before anything is decoded: format, size, orientation, whether it is whole.

The point of reading headers here, by hand, is order: a picture of 20,000 x 20,000 pixels must be refused before a
decoder reserves memory for it, and some decoders do that as soon as they are opened. Nothing here trusts a length
field: every read is a slice, and a slice past the end is an unreadable picture, not an exception of another kind.
"""

import re
import struct
import zlib
from dataclasses import dataclass

ORIENTATION_TAG = 0x0112
# Each costs a step here and in the decoders, with the interpreter held, however short it is: of 500,000 empty chunks
# the server would know nothing else for seconds. libpng writes chunks of 8 KB.
MAX_JPEG_SEGMENTS = 4096
MAX_PNG_CHUNKS = 8192
_NO_FILL_BYTE = re.compile(rb"[^\xff]")
# Start-of-frame markers: C0-CF without DHT (C4), JPG (C8) and DAC (CC).
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_OTHERS = (
    (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"%PDF", "PDF"), (b"PK\3\4", "ZIP"),
    (b"<svg", "SVG"), (b"<?xml", "XML"), (b"{", "JSON"), (b"<", "HTML or XML"), (b"\x00\x00\x01\x00", "ICO"),
)  # fmt: skip


class BadImage(ValueError):  # noqa: N818 - a kind of picture, named so in answers and reports
    """A picture that is refused. `slug` and `status` name the problem in the HTTP answer and in reports."""

    slug = "unreadable-image"
    status = 400


class UnreadableImage(BadImage):
    """Empty, truncated or corrupt."""


class ImageTooLarge(BadImage):
    """Too many bytes, or too many pixels by the header."""

    slug = "image-too-large"
    status = 413


class UnsupportedImage(BadImage):
    """Not JPEG, PNG or WebP."""

    slug = "unsupported-media-type"
    status = 415


@dataclass(frozen=True)
class Header:
    """What the header says. `components` and `orientation` (EXIF, 1 to 8) are filled for JPEG only."""

    kind: str
    width: int
    height: int
    components: int = 0
    orientation: int = 1


def read_header(data: bytes) -> Header:
    """Format and size in pixels, from the magic bytes and the header alone. Raises `BadImage` of the right kind."""
    if not data:
        raise UnreadableImage("there are no bytes in it")
    if data[:3] == b"\xff\xd8\xff":
        header = _jpeg(data)
    elif data[:8] == _PNG_MAGIC:
        header = _png(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        header = _webp(data)
    else:
        raise UnsupportedImage(_name_of_other(data))
    if header.width < 1 or header.height < 1:
        raise UnreadableImage(f"its header says {header.width} x {header.height} pixels")
    return header


def _name_of_other(data: bytes) -> str:
    start = data[:64].lstrip()
    if data[4:8] == b"ftyp":
        return f"this looks like {_shown(data[8:12].strip().upper())} (HEIC, AVIF or video)"
    for magic, name in _OTHERS:
        if start.startswith(magic):
            return f"this looks like {name}"
    return "the bytes are of no picture format known here"


def _shown(name: bytes) -> str:
    """A name in a stranger's picture, fit for a line of text."""
    return ascii(name.decode("latin-1"))[1:-1]


def _jpeg(data: bytes) -> Header:
    """Walks the marker segments as far as the first scan."""
    position, orientation = 2, 1
    frame: tuple[int, int, int] | None = None
    for _ in range(MAX_JPEG_SEGMENTS):
        position = data.find(b"\xff", position)
        if position < 0:
            break
        after = _NO_FILL_BYTE.search(data, position)  # any number of fill bytes may stand before a marker
        position = after.start() if after else len(data)
        marker = data[position : position + 1]
        length = int.from_bytes(data[position + 1 : position + 3], "big")
        body = data[position + 3 : position + 1 + length]
        if not marker or marker == b"\xd9":
            break
        code = marker[0]
        if code in (0x00, 0x01) or 0xD0 <= code <= 0xD8:  # stuffing and markers that stand alone
            position += 1
            continue
        if length < 2 or len(body) != length - 2:
            break
        if code in _SOF and frame is None and len(body) >= 6:
            height, width = struct.unpack(">HH", body[1:5])
            frame = (width, height, body[5])
        elif code == 0xE1 and orientation == 1 and body[:6] == b"Exif\0\0":
            orientation = exif_orientation(body[6:])
        elif code == 0xDA:
            if frame is None:
                break
            return Header("JPEG", frame[0], frame[1], frame[2], orientation)
        position += 1 + length
    raise UnreadableImage("the JPEG ends, or breaks off, before its picture begins")


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1 to 8, in an EXIF block less its `Exif` prefix; 1 where there is none or it makes no sense."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, offset)
        for index in range(min(entries, 512)):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, offset + 2 + 12 * index)
            if tag == ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _png(data: bytes) -> Header:
    """Walks the chunks to the end mark, checking the checksums of those that make the picture."""
    position = 8
    size: tuple[int, int] | None = None
    for _ in range(MAX_PNG_CHUNKS):
        head = data[position : position + 8]
        if len(head) < 8:
            break
        length, name = struct.unpack(">I4s", head)
        body = memoryview(data)[position + 8 : position + 8 + length]
        checksum = data[position + 8 + length : position + 12 + length]
        if len(body) != length or len(checksum) != 4:
            break
        critical = not name[0] & 0x20  # a capital first letter
        if critical and zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(checksum, "big"):
            raise UnreadableImage(f"the PNG's {_shown(name)} chunk is damaged")
        if size is None:
            if name != b"IHDR" or length != 13:
                break
            size = struct.unpack_from(">II", body)
        if name == b"IEND":
            return Header("PNG", *size)
        position += 12 + length
    else:
        raise UnreadableImage(f"the PNG has more than {MAX_PNG_CHUNKS} chunks")
    raise UnreadableImage("the PNG is truncated: it has no end mark")


def _webp(data: bytes) -> Header:
    """The canvas of an extended file, else the frame of a plain one."""
    if int.from_bytes(data[4:8], "little") + 8 > len(data) or len(data) < 30:
        raise UnreadableImage("the WebP is truncated")
    name, body = data[12:16], data[20:30]
    if name == b"VP8X":
        return Header("WEBP", 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little"))
    if name == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return Header("WEBP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if name == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return Header("WEBP", width & 0x3FFF, height & 0x3FFF)
    raise UnreadableImage("the WebP's header makes no sense")
