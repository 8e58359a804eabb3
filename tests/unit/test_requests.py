"""Forms of a prediction request: what is taken, what is refused, and that refusals name the field."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from kennel import requests
from kennel.errors import ImageTooLarge, InvalidField, RequestError
from kennel.requests import ImageBytes, ImageObject, ImageUrl, PredictionRequest
from kennel.s3uri import S3Uri

from tests.unit.fakes import ENDPOINT, png, proxy_event


def parse(event: object) -> PredictionRequest:
    return requests.parse(event, endpoint_name=ENDPOINT, max_image_bytes=1000)


def test_every_form_is_parsed_to_its_source() -> None:
    assert parse({"url": "https://example.com/a"}).source == ImageUrl("https://example.com/a")
    assert parse({"image": base64.b64encode(png()).decode()}).source == ImageBytes(png())
    assert parse({"s3": "s3://kennel-data/a/b.jpg"}).source == ImageObject(S3Uri("kennel-data", "a/b.jpg"))
    assert parse(proxy_event(png())).source == ImageBytes(png())
    assert isinstance(parse(proxy_event('{"s3": "s3://kennel-data/a"}')).source, ImageObject)


def test_defaults_are_left_to_the_model() -> None:
    assert parse({"url": "x"}) == PredictionRequest(ImageUrl("x"), None, "predictions")


def test_base64_of_more_than_the_cap_is_not_even_decoded() -> None:
    assert parse({"image": base64.b64encode(png(1000)).decode()})
    with pytest.raises(ImageTooLarge):
        parse({"image": "%" * 1337})


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"topk": 1}, "topk: there is no such field; there are url, image, s3, top_k, output"),
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
        ({"\x1b[31m" + "x" * 99: 1}, r"\x1b[31m" + "x" * 35 + ": there is no such field"),
    ],
)
def test_a_wrong_member_is_named(members: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"url": "https://example.com/", **members})
    assert str(caught.value).startswith(message)


def test_whole_numbers_written_as_fractions_are_whole() -> None:
    assert parse({"url": "x", "top_k": 5.0}).top_k == 5


def test_any_event_is_parsed_or_refused_but_nothing_else() -> None:
    """Mutated and random events: whatever a stranger sends, the answer is a request or a RequestError."""
    rng = random.Random(2)
    seeds: list[Any] = [
        {"url": "https://example.com/a.jpg", "top_k": 3},
        {"image": base64.b64encode(png()).decode(), "output": "logits"},
        {"s3": "s3://kennel-data/x.png"},
        {"endpoint_name": ENDPOINT, "request_dict": '{"url": "https://example.com"}'},
        proxy_event(png(), content_type="image/png", query={"top_k": "2"}),
        proxy_event('{"url": "https://example.com"}'),
    ]
    odd: list[Any] = [
        None,
        True,
        -1,
        0,
        1e308,
        float("inf"),
        "",
        "\ud800",
        "\x00",
        "é" * 50,
        [],
        [[]],
        {},
        {"": ""},
        "[" * 100_000,
    ]

    def mutate(value: Any) -> Any:
        if rng.random() < 0.15:
            return rng.choice(odd)
        if isinstance(value, dict):
            return {k if rng.random() > 0.1 else str(rng.choice(odd)): mutate(v) for k, v in value.items()}
        if isinstance(value, str) and value and rng.random() < 0.3:
            position = rng.randrange(len(value))
            return value[:position] + chr(rng.randrange(0x10000)) + value[position + 1 :]
        return value

    refused = 0
    for _ in range(4000):
        event = mutate(rng.choice(seeds))
        try:
            assert isinstance(parse(event), PredictionRequest)
        except RequestError as error:
            assert 400 <= error.problem.status < 500
            json.dumps(str(error))
            refused += 1
    assert 1000 < refused < 4000  # both ways are taken
