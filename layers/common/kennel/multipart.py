"""multipart/form-data (RFC 7578), taken apart and put together.

The whole body is in memory anyway, so one split at the boundary does it, in time that grows with the body alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kennel.errors import BadRequest
from kennel.images import Picture

MEDIA_TYPE = "multipart/form-data"
_BOUNDARY = re.compile(r""";\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)""", re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:\s*form-data\b(.*)$", re.IGNORECASE | re.MULTILINE)
_NAME = re.compile(rb"""\bname=(?:"([^"]*)"|([^\s;"]*))""", re.IGNORECASE)
_FILE_NAME = re.compile(rb"\bfilename\*?=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form: its field's name, whether it is a file, and its bytes."""

    name: str
    is_file: bool
    data: bytes


def parse(content_type: str, body: bytes, most: int) -> list[Part]:
    """The parts of a form, in order. Raises BadRequest where it is none, is cut off, or has more than `most` parts."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise BadRequest("the form's content type names no boundary")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "surrogatepass")
    # One piece before the first part, one after the last.
    _, *pieces = (b"\r\n" + body).split(delimiter, most + 2)
    closing = next((at for at, piece in enumerate(pieces[: most + 1]) if piece.startswith(b"--")), None)
    if closing is None:
        many = len(pieces) > most
        raise BadRequest(f"the form has more than {most} parts" if many else "the form is cut off: its end is missing")
    return [_part(piece) for piece in pieces[:closing]]


def _part(piece: bytes) -> Part:
    padding, line_end, rest = piece.partition(b"\r\n")
    head, head_end, data = (line_end + rest).partition(b"\r\n\r\n")
    disposition = _DISPOSITION.search(head)
    if padding.strip(b" \t") or not line_end or not head_end or disposition is None:
        raise BadRequest("a part of the form does not begin with its Content-Disposition")
    name = _NAME.search(disposition[1])
    return Part(
        ((name[1] or name[2] or b"") if name else b"").decode("utf-8", "replace"),
        _FILE_NAME.search(disposition[1]) is not None,
        data,
    )


def build(pictures: Sequence[Picture]) -> tuple[str, bytes]:
    """(content type, body) of a form with `pictures` in their order; the same pictures make the same bytes."""
    # Made of the pictures' own digests, it stands in none of them, and a retry is recognized by its bytes.
    boundary = hashlib.sha256("".join(picture.sha256 for picture in pictures).encode()).hexdigest()
    body = bytearray()
    for picture in pictures:
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="picture"\r\n'
            f"Content-Type: {picture.media_type}\r\n\r\n"
        ).encode()
        body += picture.data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return f"{MEDIA_TYPE}; boundary={boundary}", bytes(body)
