"""Forms of a prediction request: what is taken, what is refused, and that refusals name the field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from kennel import requests
from kennel.errors import BadRequest, ImageTooLarge, InvalidField, RequestError
from kennel.requests import ImageBytes, ImageObject, ImageUrl, PredictionRequest, Source
from kennel.s3uri import S3Uri

from tests.unit.fakes import ENDPOINT, form, png, proxy_event


def parse(event: object) -> PredictionRequest:
    return requests.parse(event, endpoint_name=ENDPOINT, max_image_bytes=1000)


def source(event: object) -> Source | RequestError:
    """The one source of a request for one picture."""
    asked = parse(event)
    assert not asked.several
    (found,) = asked.sources
    return found


def test_every_form_is_parsed_to_its_source() -> None:
    assert source({"url": "https://example.com/a"}) == ImageUrl("https://example.com/a")
    assert source({"image": base64.b64encode(png()).decode()}) == ImageBytes(png())
    assert source({"s3": "s3://kennel-data/a/b.jpg"}) == ImageObject(S3Uri("kennel-data", "a/b.jpg"))
    assert source(proxy_event(png())) == ImageBytes(png())
    assert isinstance(source(proxy_event('{"s3": "s3://kennel-data/a"}')), ImageObject)


def test_defaults_are_left_to_the_model() -> None:
    assert parse({"url": "x"}) == PredictionRequest((ImageUrl("x"),), False, None, "predictions", False, False)


def test_options_are_the_same_in_the_query_and_in_the_json() -> None:
    options = {"top_k": 2, "output": "predictions", "timing": True, "explain": False}
    query = {"top_k": "2", "output": "predictions", "timing": "true", "explain": "false"}
    text = json.dumps({"url": "x"})

    assert parse(proxy_event(text, query=query)) == parse({"url": "x", **options})
    assert parse({"url": "x", **options}) == PredictionRequest((ImageUrl("x"),), False, 2, "predictions", True, False)


def test_several_pictures_keep_their_order_and_a_list_of_one_is_still_several() -> None:
    asked = parse(
        {"pictures": [{"s3": "s3://kennel-data/a"}, {"url": "https://example.com/b"}, {"image": "aGk="}], "top_k": 1}
    )

    assert asked.several
    assert asked.sources == (
        ImageObject(S3Uri("kennel-data", "a")),
        ImageUrl("https://example.com/b"),
        ImageBytes(b"hi"),
    )
    assert parse({"pictures": [{"url": "x"}]}).several


def test_among_several_what_is_wrong_inside_of_one_is_its_own() -> None:
    asked = parse(
        {"pictures": [{"image": "%%%"}, {"s3": "nonsense"}, {"url": "x"}, {"image": "A" * 2000}, {"s3": "s3://data/"}]}
    )

    assert [one.problem.slug if isinstance(one, RequestError) else one for one in asked.sources] == [
        "invalid-field",
        "invalid-field",
        ImageUrl("x"),
        "image-too-large",
        "invalid-field",
    ]


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "pictures: 0 entries is below 1"),
        ([{"url": "x"}] * 17, "pictures: 17 entries is above 16"),
        ({"url": "x"}, "pictures: is not a list"),
        (["https://example.com/a"], "pictures[0]: is not an object"),
        ([{"url": "x"}, {}], "pictures[1]: exactly one of url, image and s3 must be given; found none"),
        ([{"url": "x", "s3": "y"}], "pictures[0]: exactly one of url, image and s3 must be given; found url and s3"),
        ([{"uri": "x"}], "pictures[0].uri: there is no such field; there are url, image, s3"),
        ([{"url": "x", "top_k": 1}], "pictures[0].top_k: there is no such field"),
        ([{"url": 1}], "pictures[0].url: is not text"),
        ([{"pictures": [{"url": "x"}]}], "pictures[0].pictures: there is no such field"),
    ],
)
def test_a_list_of_another_form_is_refused_whole_and_the_entry_is_named(pictures: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse({"pictures": pictures})
    assert str(caught.value).startswith(message)


def form_event(content_type: str, body: bytes, **query: str) -> dict[str, Any]:
    return proxy_event(body, content_type=content_type, query=query)


def test_every_file_of_a_form_is_a_picture_in_its_order() -> None:
    pictures = [b"", png(), b"\r\n--", b"ends with a line\r\n", b"\r\n\r\n", png() + b"\r", bytes(range(256))]

    asked = parse(form_event(*form(*pictures), top_k="2"))

    assert asked.several
    assert asked.sources == tuple(map(ImageBytes, pictures))
    assert asked.top_k == 2


@pytest.mark.parametrize(
    "content_type", ['Multipart/Form-Data; charset=x; BOUNDARY="b"', "multipart/form-data;boundary=b "]
)
def test_the_boundary_is_found_however_it_is_written(content_type: str) -> None:
    assert parse(form_event(content_type, form(png())[1])).sources == (ImageBytes(png()),)


def test_text_around_a_form_and_blanks_behind_a_boundary_are_passed_over() -> None:
    content_type, body = form(png())
    body = b"preamble\r\n" + body.replace(b"--b\r\n", b"--b \t\r\n") + b"epilogue"

    assert parse(form_event(content_type, body)).sources == (ImageBytes(png()),)


FORM = form(png())[1]


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("multipart/form-data", FORM, "names no boundary"),
        ("multipart/form-data; boundary=", FORM, "names no boundary"),
        (f"multipart/form-data; boundary={'x' * 71}", FORM, "names no boundary"),
        ("multipart/form-data; boundary=other", FORM, "its end is missing"),
        ("multipart/form-data; boundary=b", FORM.removesuffix(b"--\r\n"), "does not begin|its end is missing"),
        ("multipart/form-data; boundary=b", FORM[:40], "its end is missing"),
        ("multipart/form-data; boundary=b", b"x" + FORM, "its end is missing|the form has no picture"),
        ("multipart/form-data; boundary=b", b"--b--", "the form has no picture"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--", "Content-Disposition"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--", "Content-Disposition"),
        ("multipart/form-data; boundary=b", FORM.replace(b"--b\r\n", b"--b\r\n\r\n"), "Content-Disposition"),
        ("multipart/form-data; boundary=b", b"--bx\r\n" + FORM, "Content-Disposition"),
        ("multipart/form-data; boundary=b", form(*[png()] * 17)[1], "more than 16 parts"),
        ("multipart/form-data; boundary=b", b"--b\r\n" * 100_000, "more than 16 parts"),
        (*form(png(), top_k="3"), "top_k: is a field of the form, not a file; options are given in the query"),
    ],
)
def test_a_form_that_is_none_is_refused_and_the_reason_told(content_type: str, body: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse(form_event(content_type, body))


def test_base64_of_more_than_the_cap_is_not_even_decoded() -> None:
    assert parse({"image": base64.b64encode(png(1000)).decode()})
    with pytest.raises(ImageTooLarge):
        parse({"image": "%" * 1337})


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"topk": 1}, "topk: there is no such field; there are url, image, s3, pictures, top_k, output"),
        ({"top_k": 0}, "top_k: 0 is below 1"),
        ({"top_k": 1001}, "top_k: 1001 is above 1000"),
        ({"top_k": "5"}, "top_k: is not a whole number"),
        ({"top_k": 1.5}, "top_k: is not a whole number"),
        ({"top_k": True}, "top_k: is not a whole number"),
        ({"top_k": None}, "top_k: is not a whole number"),
        ({"top_k": float("nan")}, "top_k: is not a whole number"),
        ({"top_k": 10**400}, "top_k: is not a whole number"),
        ({"output": "x"}, "output: is not one of predictions, logits, argmax"),
        ({"output": ["argmax"]}, "output: is not text"),
        ({"timing": 1}, "timing: is not true or false"),
        ({"explain": "yes"}, "explain: is not true or false"),
        ({"timing": True, "output": "logits"}, "timing: goes with output predictions only"),
        ({"explain": True, "output": "argmax"}, "explain: goes with output predictions only"),
        ({"\x1b[31m" + "x" * 99: 1}, r"\x1b[31m" + "x" * 35 + ": there is no such field"),
    ],
)
def test_a_wrong_member_is_named(members: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"url": "https://example.com/", **members})
    assert str(caught.value).startswith(message)


def test_several_pictures_are_not_explained() -> None:
    with pytest.raises(InvalidField, match="explain: is for one picture"):
        parse({"pictures": [{"url": "x"}], "explain": True})
    with pytest.raises(InvalidField, match="explain: is for one picture"):
        parse(form_event(*form(png()), explain="true"))


@pytest.mark.parametrize("query", [{"timing": "yes"}, {"timing": "1"}, {"explain": ""}, {"explain": "TRUE"}])
def test_in_the_query_true_and_false_are_spelled_out(query: dict[str, str]) -> None:
    with pytest.raises(InvalidField, match="is not true or false"):
        parse(proxy_event(png(), query=query))


def test_whole_numbers_written_as_fractions_are_whole() -> None:
    assert parse({"url": "x", "top_k": 5.0}).top_k == 5
