"""What is tried, and what must hold of it whatever the bytes are."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from kennel import fetch, requests
from kennel.errors import RequestError
from kennel.settings import classify_settings

from functions.classify import app
from serving.errors import Problem
from serving.preprocess import BadImage, ImageTooLarge, Preprocess, UnreadableImage, UnsupportedImage
from serving.request import MAX_PICTURES, check_headers, several
from tests.unit.fakes import BUCKET, ENDPOINT, LambdaContext, Runtime, client_error, proxy_event

PREPROCESS = Preprocess(size=32, resize=36)
REFUSALS = (UnreadableImage, ImageTooLarge, UnsupportedImage)
MAX_IMAGE_BYTES = 20_000
LOG: Any = app.logger.registered_handler


def decoder(data: bytes) -> bool:
    """The model's input, or a refusal by its name in one line. Whether there was an input."""
    try:
        found = PREPROCESS(data)
    except BadImage as refusal:
        assert type(refusal) in REFUSALS, type(refusal)
        assert str(refusal).isprintable(), str(refusal)
        return False
    assert found.shape == (32, 32, 3), found.shape
    assert found.dtype == np.uint8
    return True


def event(data: bytes) -> bool:
    """A request or a RequestError; and of the whole function an answer that is not its own fault. Whether it is a 200.

    What is not JSON comes as the body of a POST, as API Gateway would send it.
    """
    try:
        asked = json.loads(data)
    except (ValueError, RecursionError):
        asked = proxy_event(data)
    with contextlib.suppress(RequestError):
        requests.parse(asked, endpoint_name=ENDPOINT, max_image_bytes=MAX_IMAGE_BYTES)
    with contextlib.redirect_stdout(io.StringIO()):  # the metrics
        answer: Any = app.handler(asked, LambdaContext())
    assert answer["statusCode"] < 500, LOG.stream.getvalue()[-3000:]
    json.dumps(answer).encode()
    if answer["statusCode"] >= 400:
        assert json.loads(answer["body"])["status"] == answer["statusCode"]
    LOG.stream.seek(0)
    LOG.stream.truncate()
    return bool(answer["statusCode"] == 200)


def body(data: bytes) -> bool:
    """What the container makes of a body: 1 to 32 pictures, one picture, or a problem that is the caller's."""
    content_type, _, rest = data.partition(b"\n")
    headers = {"content-type": content_type.decode("latin-1")}
    try:
        check_headers(headers)
        found = several(headers, rest)
    except Problem as problem:
        assert 400 <= problem.status < 500, problem.slug
        json.dumps(problem.document())
        return False
    assert found is None or (1 <= len(found) <= MAX_PICTURES and all(type(one) is bytes for one in found))
    return True


class _NoObjects:
    """An S3 in which nothing is."""

    def get_object(self, **_: object) -> None:
        raise client_error("NoSuchKey")


class _Model(Runtime):
    """A model that forgets what it was asked."""

    def invoke_endpoint(self, **parameters: Any) -> dict[str, Any]:
        self.calls.clear()
        return super().invoke_endpoint(**parameters)


@contextlib.contextmanager
def outside_world() -> Iterator[None]:
    """classify with a model that answers, an S3 without objects, and a resolver that leads every name inside."""
    nowhere = fetch.Network(resolve=lambda host, port: ["127.0.0.1"])
    fetch_image: Callable[..., bytes] = fetch.fetch_image
    model, kept = _Model(), (app._runtime, app._s3, LOG.stream)
    settings = {
        "ENDPOINT_NAME": ENDPOINT,
        "OWN_BUCKETS": BUCKET,
        "MAX_IMAGE_BYTES": str(MAX_IMAGE_BYTES),
        "POWERTOOLS_METRICS_NAMESPACE": "Kennel",
    }
    environment = dict(os.environ)
    os.environ.update(settings)
    classify_settings.cache_clear()
    app.metrics.namespace = "Kennel"
    app._runtime, app._s3, LOG.stream = lambda: model, _NoObjects, io.StringIO()  # type: ignore[assignment]
    fetch.fetch_image = lambda url, **limits: fetch_image(url, network=nowhere, **limits)
    try:
        yield
    finally:
        app._runtime, app._s3, LOG.stream = kept
        fetch.fetch_image = fetch_image
        os.environ.clear()
        os.environ.update(environment)
        classify_settings.cache_clear()


TARGETS: dict[str, Callable[[bytes], bool]] = {"decoder": decoder, "event": event, "body": body}
