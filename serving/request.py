"""What a request must look like before its picture is worth decoding."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from serving.errors import Problem
from serving.preprocess import MAX_BYTES

ATTRIBUTES_HEADER = "x-amzn-sagemaker-custom-attributes"
DEFAULT_TOP_K = 5
MAX_TOP_K = 1000


@dataclass(frozen=True)
class Attributes:
    """What the caller asked for in the custom-attributes header."""

    top_k: int = DEFAULT_TOP_K
    logits: bool = False


def parse_attributes(text: str, classes: int) -> Attributes:
    """`top_k=5,logits=1`, both optional; a `top_k` above the number of classes means all of them.

    Raises the problem `bad-attributes`.
    """
    values = {"top_k": DEFAULT_TOP_K, "logits": 0}
    limits = {"top_k": (1, MAX_TOP_K), "logits": (0, 1)}
    seen: set[str] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in limits:
            raise Problem("bad-attributes", f"{name[:40]!r} is not known; known are top_k and logits")
        low, high = limits[name]
        if not (value.isascii() and value.isdigit() and len(value) <= 6 and low <= int(value) <= high):
            raise Problem("bad-attributes", f"{name}={value[:40]} is not a number from {low} to {high}")
        if name in seen:
            raise Problem("bad-attributes", f"{name} is given twice")
        seen.add(name)
        values[name] = int(value)
    return Attributes(min(values["top_k"], classes), bool(values["logits"]))


def check_headers(headers: dict[str, str]) -> None:
    """Refuses what says of itself that it is no picture, or too large. The bytes have the last word on the format."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("image/") and kind not in ("application/octet-stream", "application/x-image"):
        raise Problem("unsupported-media-type", f"the content type is {kind[:60]}; send the bytes of a picture")
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


def _too_large(length: int) -> Problem:
    # The connection stays open: closed on a client that is still sending, it would take the answer with it. The HTTP
    # layer throws the rest of the body away as it comes.
    return Problem("image-too-large", f"{length} bytes; at most {MAX_BYTES} are taken")
