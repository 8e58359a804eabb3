"""classify: every input form, every output form, every error, with a fake endpoint and a fake S3."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from kennel import endpoint
from kennel.errors import RefusedByModel
from kennel.settings import classify_settings
from moto import mock_aws

from functions.classify import app
from tests.unit.fakes import (
    BUCKET,
    ENDPOINT,
    LOGITS,
    REQUEST_ID,
    LambdaContext,
    Runtime,
    client_error,
    png,
    proxy_event,
)

PNG64 = base64.b64encode(png()).decode()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """classify in a complete environment, its endpoint replaced by a fake."""
    for name, value in {
        "ENDPOINT_NAME": ENDPOINT,
        "OWN_BUCKETS": f"{BUCKET},kennel-artifacts",
        "MAX_IMAGE_BYTES": "20000",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "Kennel",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(app.metrics, "namespace", "Kennel")
    fake = Runtime()
    monkeypatch.setattr(app, "_runtime", lambda: fake)
    caches = (classify_settings, app._s3, app._session)
    for cached in caches:
        cached.cache_clear()
    yield fake
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What classify logs."""
    stream = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", stream)
    return stream


def invoke(event: Any) -> tuple[int, Any, dict[str, str]]:
    """(status, decoded body, headers) of the answer, after checking what every answer must be."""
    answer: Any = app.handler(event, LambdaContext())
    assert set(answer) == {"statusCode", "headers", "body", "isBase64Encoded"}
    json.dumps(answer)
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"]


def test_picture_as_body_is_sent_on_and_answered(runtime: Runtime) -> None:
    status, body, headers = invoke(proxy_event(png(), content_type="image/png"))

    assert status == 200
    assert [prediction["breed"] for prediction in body["predictions"]] == ["Dalmatian", "Beagle", "Affenpinscher"]
    assert (body["confident"], body["model"], body["request_id"]) == (True, "run-1", REQUEST_ID)
    assert headers["Content-Type"] == "application/json"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Request-Id"] == REQUEST_ID
    assert runtime.calls == [
        {"EndpointName": ENDPOINT, "ContentType": "image/png", "Accept": "application/json", "Body": png()}
    ]


@pytest.mark.parametrize(
    "event",
    [
        {"image": PNG64},
        proxy_event(json.dumps({"image": PNG64})),
        proxy_event(json.dumps({"image": PNG64}).encode()),
        proxy_event(json.dumps({"image": PNG64}).encode(), content_type="application/x-www-form-urlencoded"),
        proxy_event(png(), content_type="application/json"),
        {"endpoint_name": ENDPOINT, "request_dict": json.dumps({"image": PNG64})},
    ],
    ids=["direct", "api text", "api base64", "api called a form", "picture called json", "endpoint and request_dict"],
)
def test_every_form_leads_to_the_same_call(runtime: Runtime, event: dict[str, Any]) -> None:
    status, _, _ = invoke(event)

    assert status == 200
    assert runtime.calls[0]["Body"] == png()
    assert runtime.calls[0]["ContentType"] == "image/png"


def test_direct_invocation_is_answered_with_lambdas_request_id(runtime: Runtime) -> None:
    assert invoke({"image": PNG64})[1]["request_id"] == LambdaContext().aws_request_id


def test_top_k_comes_from_the_query_or_the_body(runtime: Runtime) -> None:
    _, by_query, _ = invoke(proxy_event(png(), query={"top_k": "2"}))
    _, by_body, _ = invoke({"image": PNG64, "top_k": 2})

    assert len(by_query["predictions"]) == len(by_body["predictions"]) == 2
    assert [call["CustomAttributes"] for call in runtime.calls] == ["top_k=2", "top_k=2"]


def test_output_logits_and_argmax_are_the_baselines_answers(runtime: Runtime) -> None:
    assert invoke({"image": PNG64, "output": "logits"})[1] == [LOGITS]
    assert invoke(proxy_event(png(), query={"output": "argmax"}))[1] == [2]


def test_doubt_is_passed_on(runtime: Runtime) -> None:
    """The baseline called a Carolina dog, which is none of the breeds, a Dalmatian without a hint of doubt."""
    runtime.confident = False
    assert invoke({"image": PNG64})[1]["confident"] is False


def test_url_is_fetched_within_the_limits_of_the_settings(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def fetch_image(url: str, **limits: Any) -> bytes:
        asked.append((url, limits))
        return png()

    monkeypatch.setattr("kennel.fetch.fetch_image", fetch_image)

    assert invoke({"url": "https://example.com/dog.png?token=secret"})[0] == 200
    expected = {"max_bytes": 20000, "timeout_seconds": 5.0}
    assert asked == [("https://example.com/dog.png?token=secret", expected)]


def test_s3_picture_is_read_from_an_own_bucket(runtime: Runtime) -> None:
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="dog.png", Body=png())
        s3.put_object(Bucket=BUCKET, Key="huge.png", Body=png(30_000))
        s3.put_object(Bucket=BUCKET, Key="empty.png", Body=b"")

        assert invoke({"s3": f"s3://{BUCKET}/dog.png"})[0] == 200
        assert runtime.calls[0]["Body"] == png()
        assert problem({"s3": f"s3://{BUCKET}/huge.png"}) == (413, "image-too-large")
        assert problem({"s3": f"s3://{BUCKET}/empty.png"}) == (400, "bad-request")
        assert problem({"s3": f"s3://{BUCKET}/missing.png"}) == (404, "not-found")
        assert problem({"s3": "s3://kennel-artifacts/missing.png"}) == (404, "not-found")


def test_s3_of_a_foreign_bucket_is_refused_before_anything_is_asked(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_s3", object)  # any use would be an AttributeError, hence a 500

    assert problem({"s3": "s3://somebody-elses-bucket/dog.png"}) == (403, "forbidden")


def problem(event: Any) -> tuple[int, str]:
    """(status, slug) of a refusal, after checking that it is a whole problem document."""
    status, body, headers = invoke(event)
    assert headers["Content-Type"] == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == headers["X-Request-Id"]
    assert "Traceback" not in json.dumps(body)
    return status, body["type"].removeprefix("about:blank#")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ModelError", OriginalStatusCode=500, OriginalMessage="boom"), (502, "endpoint-failed")),
        (client_error("ModelError", OriginalStatusCode=503, OriginalMessage="full"), (503, "endpoint-busy")),
        (client_error("ValidationError", "Endpoint kennel of account 1 not found."), (503, "endpoint-unavailable")),
        (client_error("ServiceUnavailable"), (503, "endpoint-unavailable")),
        (client_error("ModelNotReadyException"), (503, "endpoint-unavailable")),
        (client_error("ThrottlingException"), (503, "endpoint-busy")),
        (client_error("InternalFailure"), (502, "endpoint-failed")),
        (client_error("AccessDeniedException", "arn:aws:iam::123:role/secret"), (502, "endpoint-failed")),
        (EndpointConnectionError(endpoint_url="http://internal"), (503, "endpoint-unavailable")),
        (ZeroDivisionError("a defect of ours"), (500, "internal")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_endpoint_errors_become_problems(runtime: Runtime, error: Exception, expected: tuple[int, str]) -> None:
    runtime.error = error

    assert problem({"image": PNG64}) == expected


def test_unavailable_and_busy_say_when_to_come_back(runtime: Runtime) -> None:
    runtime.error = client_error("ValidationError", "Endpoint kennel of account 1 not found.")
    assert invoke({"image": PNG64})[2]["Retry-After"] == "30"
    runtime.error = client_error("ThrottlingException")
    assert invoke({"image": PNG64})[2]["Retry-After"] == "1"


def test_the_containers_own_problem_is_passed_on(runtime: Runtime) -> None:
    document = {"type": "about:blank#unreadable-image", "title": "Unreadable", "status": 400, "detail": "truncated"}
    runtime.error = client_error("ModelError", OriginalStatusCode=400, OriginalMessage=json.dumps(document))

    status, body, _ = invoke({"image": PNG64})

    assert (status, body["type"], body["detail"]) == (400, "about:blank#unreadable-image", "truncated")


@pytest.mark.parametrize("message", ["", "<html>", "[]", '{"type": "javascript:alert(1)#<b>"}'])
def test_a_refusal_without_a_proper_problem_still_has_one(runtime: Runtime, message: str) -> None:
    runtime.error = client_error("ModelError", OriginalStatusCode=415, OriginalMessage=message)

    assert problem({"image": PNG64}) == (415, "unsupported-media-type")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"predictions": []}', b'{"predictions": [{"breed": "x"}]}'])
def test_an_answer_that_makes_no_sense_is_the_endpoints_fault(runtime: Runtime, body: bytes) -> None:
    runtime.body = body

    assert problem({"image": PNG64}) == (502, "endpoint-failed")


def test_nothing_internal_reaches_the_caller(runtime: Runtime) -> None:
    runtime.error = client_error("AccessDeniedException", "User arn:aws:sts::123456789012:role/classify may not")

    answer = json.dumps(invoke({"image": PNG64}))

    assert "123456789012" not in answer
    assert "AccessDenied" not in answer
    assert LambdaContext().function_name not in answer  # the baseline gave its context away


def test_a_missing_setting_is_named_in_the_log_but_not_to_the_caller(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.delenv("ENDPOINT_NAME")

    assert problem({"image": PNG64}) == (500, "internal")
    assert "environment variable ENDPOINT_NAME is not set" in log.getvalue()


def test_browsers_preflight_is_answered_without_touching_the_model(runtime: Runtime) -> None:
    answer: Any = app.handler(proxy_event(None, method="OPTIONS"), LambdaContext())

    assert answer["statusCode"] == 204
    assert "X-Api-Key" in answer["headers"]["Access-Control-Allow-Headers"]
    assert not runtime.calls


def test_method_not_allowed_says_what_is(runtime: Runtime) -> None:
    status, _, headers = invoke(proxy_event(None, method="GET"))

    assert (status, headers["Allow"]) == (405, "POST, OPTIONS")


def test_logs_hold_no_query_no_key_and_no_picture(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    secret_url = "https://example.com/private/path.png?X-Amz-Signature=deadbeef"

    with monkeypatch.context() as patch:
        patch.setattr("kennel.fetch.fetch_image", lambda url, **_: png())
        invoke(proxy_event(json.dumps({"url": secret_url})))
    invoke(proxy_event(png(), content_type="image/png"))
    invoke({"url": "http://user:hunter2@example.com/?token=deadbeef"})

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["predicted", "predicted", "refused"]
    assert lines[0]["host"] == "example.com"
    assert lines[0]["request_id"] == REQUEST_ID
    for secret in ("deadbeef", "private/path", "hunter2", "the-secret-key", PNG64[:24]):
        assert secret not in log.getvalue()


def test_clients_are_built_once(runtime: Runtime) -> None:
    assert app._s3() is app._s3()


class _RefusingEndpoint(BaseHTTPRequestHandler):
    """SageMaker's wire answer when the container says 400."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        refusal = {"type": "about:blank#unreadable-image", "title": "Unreadable", "status": 400, "detail": "truncated"}
        error = {
            "Message": "Received client error (400)",
            "OriginalStatusCode": 400,
            "OriginalMessage": json.dumps(refusal),
        }
        body = json.dumps(error).encode()
        self.send_response(424)
        self.send_header("x-amzn-ErrorType", "ModelError")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def test_a_real_client_raises_what_the_fake_raises() -> None:
    """The fake's errors are only worth something if botocore's look the same."""
    server = HTTPServer(("127.0.0.1", 0), _RefusingEndpoint)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = botocore.session.get_session().create_client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        with pytest.raises(RefusedByModel, match="truncated") as caught:
            endpoint.invoke(client, ENDPOINT, png(), "image/png", top_k=None, logits=False)
    finally:
        server.shutdown()
        server.server_close()
    assert (caught.value.problem.status, caught.value.problem.slug) == (400, "unreadable-image")
