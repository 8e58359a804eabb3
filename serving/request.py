"""What a request must look like before its pictures are worth decoding, and the pictures in it."""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.errors import Problem
from serving.preprocess import MAX_BYTES
from serving.settings import MAX_TOP_K

ATTRIBUTES_HEADER = "x-amzn-sagemaker-custom-attributes"
INFERENCE_ID_HEADER = "x-amzn-sagemaker-inference-id"
MAX_PICTURES = 32
_NUMBERS = {"top_k": (1, MAX_TOP_K), "logits": (0, 1), "timing": (0, 1), "explain": (0, 1)}
_TRACE = re.compile(r"[A-Za-z0-9=;:_-]{1,128}")
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")
_PICTURE_TYPES = ("application/octet-stream", "application/x-image")


@dataclass(frozen=True)
class Attributes:
    """What the caller wants to know."""

    top_k: int
    logits: bool = False
    timing: bool = False
    explain: bool = False


def parse_attributes(text: str, default_top_k: int, classes: int) -> tuple[Attributes, str]:
    """`top_k=5,logits=1,timing=1,explain=1,trace=...`, all optional; more than there are `classes` means all of them.

    The trace is for the log alone and comes by itself. Raises the problem `bad-attributes`.
    """
    numbers = {"top_k": default_top_k, "logits": 0, "timing": 0, "explain": 0}
    trace = ""
    seen: set[str] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name in seen:
            raise Problem("bad-attributes", f"{name} is given twice")
        seen.add(name)
        if name == "trace":
            if not _TRACE.fullmatch(value):
                raise Problem("bad-attributes", "trace is not 1 to 128 of A-Z a-z 0-9 = ; : _ -")
            trace = value
            continue
        if name not in _NUMBERS:
            raise Problem("bad-attributes", f"{name[:40]!r} is not known; known are {', '.join(_NUMBERS)} and trace")
        low, high = _NUMBERS[name]
        if not (value.isascii() and value.isdigit() and len(value) <= 6 and low <= int(value) <= high):
            raise Problem("bad-attributes", f"{name}={value[:40]} is not a number from {low} to {high}")
        numbers[name] = int(value)
    logits, timing, explain = (bool(numbers[name]) for name in ("logits", "timing", "explain"))
    return Attributes(min(numbers["top_k"], classes), logits, timing, explain), trace


def inference_id(headers: Mapping[str, str]) -> str:
    """What InvokeEndpoint's InferenceId says, fit for a log line; "" without one."""
    return _NOT_PRINTABLE.sub("?", headers.get(INFERENCE_ID_HEADER, ""))[:64]


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuses what says of itself that it is no picture, or too large. The bytes have the last word on the format."""
    kind = _media_type(headers)
    known = ("", "application/json", "multipart/form-data", *_PICTURE_TYPES)
    if kind not in known and not kind.startswith("image/"):
        detail = f"the content type is {kind[:60]}; send a picture's bytes, or several as multipart/form-data or JSON"
        raise Problem("unsupported-media-type", detail)
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BYTES:
        raise _too_large(int(length))


async def read_body(receive: Callable[[], Awaitable[Any]], seconds: float) -> bytes:
    """The whole body, within `seconds`. Raises `Problem`, or ConnectionError when the client leaves."""
    chunks: list[bytes] = []
    total = 0
    try:
        async with asyncio.timeout(seconds):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError("the client went away")
                chunk = message.get("body", b"")
                total += len(chunk)
                if total > MAX_BYTES:
                    raise _too_large(total)
                chunks.append(chunk)
                more = message.get("more_body", False)
    except TimeoutError:
        raise Problem("request-timeout", f"no whole body within {seconds:g} seconds", {"connection": "close"}) from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def several(headers: Mapping[str, str], body: bytes) -> list[bytes] | None:
    """The pictures of a request that may hold several, in their order; None where the body itself is the picture.

    Raises the problem `bad-body`.
    """
    match _media_type(headers):
        case "application/json":
            found = _listed(body)
        case "multipart/form-data":
            found = _parts(headers["content-type"], body)
        case _:
            return None
    _check_count(len(found), 1)
    return found


def _check_count(pictures: int, least: int = 0) -> None:
    """Asked as early as can be: 6 MB hold hundreds of thousands of empty ones, and this is the thread that answers."""
    if not least <= pictures <= MAX_PICTURES:
        found = "none" if not pictures else f"more than {MAX_PICTURES}"
        raise Problem("bad-body", f"1 to {MAX_PICTURES} pictures are taken at a time, and in the body are {found}")


def _listed(body: bytes) -> list[bytes]:
    try:
        texts = json.loads(body)
        if isinstance(texts, list):
            _check_count(len(texts))
            return [base64.b64decode(text, validate=True) for text in texts]
    except (ValueError, TypeError, RecursionError, binascii.Error):
        pass
    raise Problem("bad-body", "the JSON is not a list of pictures in base64")


def _parts(content_type: str, body: bytes) -> list[bytes]:
    parts: list[list[bytes]] = []
    ended: list[bool] = []

    def begin() -> None:
        parts.append([])
        _check_count(len(parts))

    def data(chunk: bytes, start: int, end: int) -> None:
        parts[-1].append(chunk[start:end])

    _, options = parse_options_header(content_type)
    try:
        parser = MultipartParser(
            options.get(b"boundary", b""),
            {
                "on_part_begin": begin,
                "on_part_data": data,
                "on_end": lambda: ended.append(True),
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Problem("bad-body", f"the multipart body cannot be read: {error}"[:200]) from None
    if not ended:
        raise Problem("bad-body", "the multipart body breaks off before its closing boundary")
    return [b"".join(chunks) for chunks in parts]


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(length: int) -> Problem:
    # The connection stays open: closed on a client that is still sending, it would take the answer with it. The HTTP
    # layer throws the rest of the body away as it comes.
    return Problem("image-too-large", f"{length} bytes; at most {MAX_BYTES} are taken")
