"""What a prediction request may be: one table of fields that parses, refuses and documents (`kennel.reference`)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import NamedTuple

from kennel import http, images, s3uri
from kennel.errors import (
    BadRequest,
    Forbidden,
    ImageTooLarge,
    InvalidField,
    MethodNotAllowed,
    NotFound,
    RequestError,
    UnsupportedMediaType,
)
from kennel.fields import Field, shown

PREDICTIONS_ROUTE = "/predictions"
SMOKE_TEST_ROUTE = "/predictions/smoke-test"  # what a deployment asks, signed instead of with a key
ALLOW = "POST, OPTIONS"
MOST_PICTURES = 16

TOP_K = Field("top_k", int, "how many breeds to answer at most; without it 5", minimum=1, maximum=1000)
OUTPUT = Field(
    "output",
    str,
    "`logits` answers the raw scores as `[[...]]`, `argmax` the best index as `[56]`",
    default="predictions",
    choices=("predictions", "logits", "argmax"),
)
TIMING = Field("timing", bool, "adds `timing_ms`: where the time went; only with output `predictions`", default=False)
EXPLAIN = Field(
    "explain",
    bool,
    "adds `explanation`: a PNG that shows which part of the picture decided; one picture, output `predictions`",
    default=False,
)
OPTION_FIELDS = (TOP_K, OUTPUT, TIMING, EXPLAIN)
SOURCE_FIELDS = (
    Field("url", str, "a public http(s) address of a picture", minimum=1, maximum=2048),
    Field("image", str, "the picture's bytes in base64", minimum=1),
    Field("s3", str, "a picture in one of the stack's own buckets, `s3://bucket/key`", minimum=1, maximum=2048),
)
PICTURES = Field(
    "pictures",
    list,
    "several pictures at once, each an object with one of `url`, `image` and `s3`",
    minimum=1,
    maximum=MOST_PICTURES,
)
BASELINE_FIELDS = (
    Field("endpoint_name", str, "direct invocation only: must be the stack's own endpoint", minimum=1, maximum=63),
    Field("request_dict", str, "direct invocation only: one of the forms above as JSON text", minimum=1),
)
REQUEST_FIELDS = (*SOURCE_FIELDS, PICTURES, *OPTION_FIELDS)


class ImageUrl(NamedTuple):
    """A picture to be read from a public address."""

    url: str


class ImageObject(NamedTuple):
    """A picture to be read from S3."""

    uri: s3uri.S3Uri


class ImageBytes(NamedTuple):
    """A picture that came with the request."""

    data: bytes


Source = ImageUrl | ImageObject | ImageBytes


class PredictionRequest(NamedTuple):
    """Pictures from somewhere, how many breeds (None: the model's default), and the form of the answer.

    `several` says that the answer is a list, be it of one. Among several, one whose address or base64 makes no sense is
    the RequestError that says so: it spoils no other.
    """

    sources: tuple[Source | RequestError, ...]
    several: bool
    top_k: int | None
    output: str
    timing: bool
    explain: bool


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
        return _request((ImageBytes(request.body),), query)
    # Content-Type is a hint at most: curl calls JSON a form unless told otherwise. Only multipart cannot do without.
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return _request(_files(content_type, request.body), query, several=True)
    if media_type.endswith("json") or request.body.lstrip()[:1] in (b"{", b"["):
        members = _json_object(request.body, "the body")
        twice = sorted(query.keys() & members.keys())
        if twice:
            raise InvalidField(f"{twice[0]}: is given twice, in the query and in the body")
        return _parse_members({**members, **query}, max_image_bytes)
    raise UnsupportedMediaType(
        "the body is neither a JPEG, PNG or WebP picture (judged by its first bytes) nor a JSON object nor a form"
    )


def _files(content_type: str, body: bytes) -> tuple[Source, ...]:
    """The files of a multipart form, in order; its fields are refused, because options are given in the query."""
    from kennel import multipart  # noqa: PLC0415 - the cold start of the other forms does not pay for it

    parts = multipart.parse(content_type, body, MOST_PICTURES)
    field = next((part for part in parts if not part.is_file), None)
    if field is not None:
        raise InvalidField(f"{shown(field.name)}: is a field of the form, not a file; options are given in the query")
    if not parts:
        raise BadRequest("the form has no picture")
    return tuple(ImageBytes(part.data) for part in parts)


def _query_members(query: Mapping[str, str]) -> dict[str, object]:
    kinds = {field.path: field.kind for field in OPTION_FIELDS}
    members: dict[str, object] = {}
    for name, text in query.items():
        if name not in kinds:
            raise InvalidField(f"{shown(name)}: there is no such query parameter; there are {', '.join(kinds)}")
        if kinds[name] is int and text.isascii() and text.isdigit() and len(text) < 10:
            members[name] = int(text)
        elif kinds[name] is bool:
            members[name] = {"true": True, "false": False}.get(text, text)
        else:
            members[name] = text
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
    name = _only_one((*SOURCE_FIELDS, PICTURES), members)
    if name != PICTURES.path:
        return _request((_source(name, str(members[name]), max_image_bytes),), members)
    pictures = members[name]
    assert isinstance(pictures, list)  # as the field's kind is
    sources = tuple(_one_of_several(at, picture, max_image_bytes) for at, picture in enumerate(pictures))
    return _request(sources, members, several=True)


def _one_of_several(at: int, picture: object, max_image_bytes: int) -> Source | RequestError:
    """One entry of `pictures`. Raises for what has not an entry's form; what is wrong inside of one is returned."""
    where = f"{PICTURES.path}[{at}]"
    if not isinstance(picture, dict):
        raise InvalidField(f"{where}: is not an object")
    members = _checked(picture, SOURCE_FIELDS, f"{where}.")
    name = _only_one(SOURCE_FIELDS, members, f"{where}: ")
    try:
        return _source(name, str(members[name]), max_image_bytes)
    except RequestError as error:
        return error


def _only_one(fields: tuple[Field, ...], members: Mapping[str, object], where: str = "") -> str:
    """The name of the one field of `fields` that is given."""
    given = [field.path for field in fields if field.path in members]
    if len(given) != 1:
        *names, last = (field.path for field in fields)
        found = " and ".join(given) or "none"
        raise BadRequest(f"{where}exactly one of {', '.join(names)} and {last} must be given; found {found}")
    return given[0]


def _source(name: str, text: str, max_image_bytes: int) -> Source:
    if name == "url":
        return ImageUrl(text)
    return ImageObject(_object_uri(text)) if name == "s3" else ImageBytes(_decoded(text, max_image_bytes))


def _request(
    sources: tuple[Source | RequestError, ...], members: Mapping[str, object], *, several: bool = False
) -> PredictionRequest:
    names = {field.path for field in OPTION_FIELDS}
    known = _checked({name: value for name, value in members.items() if name in names}, OPTION_FIELDS)
    top_k, output = known.get(TOP_K.path), str(known.get(OUTPUT.path, OUTPUT.default))
    timing, explain = bool(known.get(TIMING.path)), bool(known.get(EXPLAIN.path))
    if output != OUTPUT.default and (timing or explain):
        raise InvalidField(f"{(TIMING if timing else EXPLAIN).path}: goes with output {OUTPUT.default} only")
    if explain and several:
        raise InvalidField(f"{EXPLAIN.path}: is for one picture, not for several")
    return PredictionRequest(sources, several, top_k if isinstance(top_k, int) else None, output, timing, explain)


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


def _checked(event: Mapping[str, object], fields: tuple[Field, ...], where: str = "") -> dict[str, object]:
    """The members of `event`, all known and valid, or InvalidField for the first that is not; `where` they stand."""
    by_name = {field.path: field for field in fields}
    members = {}
    for name, value in event.items():
        if name not in by_name:
            raise InvalidField(f"{where}{shown(name)}: there is no such field; there are {', '.join(by_name)}")
        members[name], problem = by_name[name].check(value)
        if problem:
            raise InvalidField(where + problem)
    return members
