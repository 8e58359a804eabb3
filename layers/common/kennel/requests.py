"""What a prediction request may be: one table of fields that parses, refuses and documents (`kennel.reference`)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from kennel import http, images, s3uri
from kennel.errors import (
    BadRequest,
    Forbidden,
    ImageTooLarge,
    InvalidField,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
)
from kennel.fields import Field, shown

PREDICTIONS_ROUTE = "/predictions"
SMOKE_TEST_ROUTE = "/predictions/smoke-test"  # what a deployment asks, signed instead of with a key
ALLOW = "POST, OPTIONS"

TOP_K = Field("top_k", int, "how many breeds to answer at most; without it 5", minimum=1, maximum=1000)
OUTPUT = Field(
    "output",
    str,
    "`logits` answers the raw scores as `[[...]]`, `argmax` the best index as `[56]`",
    default="predictions",
    choices=("predictions", "logits", "argmax"),
)
SOURCE_FIELDS = (
    Field("url", str, "a public http(s) address of a picture", minimum=1, maximum=2048),
    Field("image", str, "the picture's bytes in base64", minimum=1),
    Field("s3", str, "a picture in one of the stack's own buckets, `s3://bucket/key`", minimum=1, maximum=2048),
)
BASELINE_FIELDS = (
    Field("endpoint_name", str, "direct invocation only: must be the stack's own endpoint", minimum=1, maximum=63),
    Field("request_dict", str, "direct invocation only: one of the forms above as JSON text", minimum=1),
)
REQUEST_FIELDS = (*SOURCE_FIELDS, TOP_K, OUTPUT)


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """A picture to be read from a public address."""

    url: str


@dataclass(frozen=True, slots=True)
class ImageObject:
    """A picture to be read from S3."""

    uri: s3uri.S3Uri


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """A picture that came with the request."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """A picture from somewhere, how many breeds (None: the model's default), and the form of the answer."""

    source: ImageUrl | ImageObject | ImageBytes
    top_k: int | None
    output: str


def parse(event: object, *, endpoint_name: str, max_image_bytes: int) -> PredictionRequest:
    """The request in an API Gateway proxy event or a direct invocation's event.

    Raises the RequestError that says what is wrong with it. `endpoint_name` is the only one that the baseline's second
    form may name; `max_image_bytes` bounds what is decoded from base64.
    """
    if isinstance(event, dict) and http.is_proxy_event(event):
        return _parse_proxy(http.to_request(event), max_image_bytes)
    if not isinstance(event, dict):
        raise BadRequest("the event is not a JSON object")
    if "endpoint_name" in event or "request_dict" in event:
        event = _baseline_form(event, endpoint_name)
    return _parse_members(event, max_image_bytes)


def _parse_proxy(request: http.Request, max_image_bytes: int) -> PredictionRequest:
    if request.route not in (PREDICTIONS_ROUTE, SMOKE_TEST_ROUTE):
        raise NotFound("there is no such route; predictions are at POST /predictions")
    if request.method != "POST":
        raise MethodNotAllowed(f"{request.method} is not allowed here; allowed: {ALLOW}")
    query = _query_members(request.query)
    if not request.body:
        raise BadRequest("the body is empty")
    if images.sniff(request.body[: images.HEADER_BYTES]):
        return _request(ImageBytes(request.body), query)
    # Content-Type is a hint at most: curl calls JSON a form unless told otherwise.
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type.endswith("json") or request.body.lstrip()[:1] in (b"{", b"["):
        members = _json_object(request.body, "the body")
        twice = sorted(query.keys() & members.keys())
        if twice:
            raise InvalidField(f"{twice[0]}: is given twice, in the query and in the body")
        return _parse_members({**members, **query}, max_image_bytes)
    raise UnsupportedMediaType(
        "the body is neither a JPEG, PNG or WebP picture (judged by its first bytes) nor a JSON object"
    )


def _query_members(query: Mapping[str, str]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, text in query.items():
        if name not in (TOP_K.path, OUTPUT.path):
            raise InvalidField(f"{shown(name)}: there is no such query parameter; there are top_k and output")
        is_count = name == TOP_K.path and text.isascii() and text.isdigit() and len(text) < 10
        members[name] = int(text) if is_count else text
    return members


def _baseline_form(event: Mapping[str, object], endpoint_name: str) -> dict[str, object]:
    """`{"endpoint_name", "request_dict": "{...}"}` -> the form inside."""
    members = _checked(event, BASELINE_FIELDS)
    for field in BASELINE_FIELDS:
        if field.path not in members:
            raise InvalidField(f"{field.path}: is missing; endpoint_name and request_dict belong together")
    if members["endpoint_name"] != endpoint_name:
        raise Forbidden("endpoint_name: is not this stack's endpoint")
    return _json_object(str(members["request_dict"]).encode("utf-8", "surrogatepass"), "request_dict")


def _parse_members(event: Mapping[str, object], max_image_bytes: int) -> PredictionRequest:
    members = _checked(event, REQUEST_FIELDS)
    sources = [field.path for field in SOURCE_FIELDS if field.path in members]
    if len(sources) != 1:
        found = "none" if not sources else " and ".join(sources)
        raise BadRequest(f"exactly one of url, image and s3 must be given; found {found}")
    text = str(members[sources[0]])
    if sources == ["url"]:
        return _request(ImageUrl(text), members)
    if sources == ["s3"]:
        return _request(ImageObject(_object_uri(text)), members)
    return _request(ImageBytes(_decoded(text, max_image_bytes)), members)


def _request(source: ImageUrl | ImageObject | ImageBytes, members: Mapping[str, object]) -> PredictionRequest:
    known = _checked(
        {name: value for name, value in members.items() if name in (TOP_K.path, OUTPUT.path)}, (TOP_K, OUTPUT)
    )
    top_k = known.get(TOP_K.path)
    return PredictionRequest(
        source, top_k if isinstance(top_k, int) else None, str(known.get(OUTPUT.path, OUTPUT.default))
    )


def _object_uri(text: str) -> s3uri.S3Uri:
    try:
        uri = s3uri.parse(text)
    except ValueError as error:
        raise InvalidField(f"s3: {error}") from None
    if not uri.key or uri.key.endswith("/"):
        raise InvalidField("s3: names no object, only a bucket or a folder")
    return uri


def _decoded(text: str, max_image_bytes: int) -> bytes:
    if len(text) > (max_image_bytes + 2) // 3 * 4:
        raise ImageTooLarge(f"image: the picture has more than {max_image_bytes} bytes")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidField("image: is not base64") from None


def _json_object(body: bytes, name: str) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{name} is not a JSON object")
    return value


def _checked(event: Mapping[str, object], fields: tuple[Field, ...]) -> dict[str, object]:
    """The members of `event`, all known and valid, or InvalidField for the first that is not."""
    by_name = {field.path: field for field in fields}
    members = {}
    for name, value in event.items():
        if name not in by_name:
            raise InvalidField(f"{shown(name)}: there is no such field; there are {', '.join(by_name)}")
        members[name], problem = by_name[name].check(value)
        if problem:
            raise InvalidField(problem)
    return members
