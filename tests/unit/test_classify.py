"""classify: every input form, every output form, every error, with a fake endpoint and a fake S3."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from kennel import endpoint
from kennel.errors import UrlUnreadable
from kennel.settings import classify_settings
from moto import mock_aws

from functions.classify import app
from tests.unit.fakes import (
    BUCKET,
    ENDPOINT,
    EXPLANATION,
    LOGITS,
    REQUEST_ID,
    LambdaContext,
    Runtime,
    client_error,
    form,
    form_files,
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
    monkeypatch.setattr(app.metrics, "service", "classify")
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


def test_in_a_private_network_a_url_is_refused_at_once_and_other_pictures_are_not(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAS_INTERNET", "false")
    url = {"url": "https://example.com/dog.jpg"}

    status, problem, _ = invoke(url)
    _, several, _ = invoke({"pictures": [url, {"image": PNG64}]})

    assert (status, problem["type"]) == (403, "about:blank#urls-not-read")
    assert "no way to the internet" in problem["detail"]
    assert ["problem" in one for one in several["results"]] == [True, False]


def test_picture_as_body_is_sent_on_and_answered(runtime: Runtime) -> None:
    status, body, headers = invoke(proxy_event(png(), content_type="image/png"))

    assert status == 200
    assert [prediction["breed"] for prediction in body["predictions"]] == ["Dalmatian", "Beagle", "Affenpinscher"]
    assert (body["confident"], body["model"], body["request_id"]) == (True, "run-1", REQUEST_ID)
    assert headers["Content-Type"] == "application/json"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Request-Id"] == REQUEST_ID
    assert runtime.calls == [
        {
            "EndpointName": ENDPOINT,
            "ContentType": "image/png",
            "Accept": "application/json",
            "InferenceId": REQUEST_ID,
            "Body": png(),
        }
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


def test_timing_says_where_the_time_went(runtime: Runtime) -> None:
    _, body, _ = invoke(proxy_event(png(), query={"timing": "true"}))

    assert runtime.calls[0]["CustomAttributes"] == "timing=1"
    assert list(body["timing_ms"]) == ["read", "endpoint", "queue", "decode", "model"]
    assert min(body["timing_ms"].values()) >= 0
    assert "timing_ms" not in invoke({"image": PNG64, "timing": False})[1]


def test_an_explanation_is_the_models(runtime: Runtime) -> None:
    _, body, _ = invoke({"image": PNG64, "explain": True, "top_k": 1})

    assert runtime.calls[0]["CustomAttributes"] == "top_k=1,explain=1"
    assert body["explanation"] == EXPLANATION
    assert "explanation" not in invoke({"image": PNG64})[1]


def test_several_pictures_are_read_at_once_asked_about_in_one_request_and_answered_in_order(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {"https://example.com/1": png(100), "https://example.com/2": png(200)}
    both_there = threading.Barrier(2, timeout=5)

    def fetch_image(url: str, **_: Any) -> bytes:
        both_there.wait()
        return pictures[url]

    monkeypatch.setattr("kennel.fetch.fetch_image", fetch_image)
    urls = [{"url": url} for url in pictures]

    status, body, _ = invoke({"pictures": [urls[1], {"image": PNG64}, urls[0]], "top_k": 2, "timing": True})

    assert status == 200
    (call,) = runtime.calls
    assert form_files(call["ContentType"], call["Body"]) == [png(200), png(), png(100)]
    assert call["CustomAttributes"] == "top_k=2,timing=1"
    assert [len(result["predictions"]) for result in body["results"]] == [2, 2, 2]
    assert [result["confident"] for result in body["results"]] == [True] * 3
    assert [set(result["timing_ms"]) for result in body["results"]] == [{"queue", "decode", "model"}] * 3
    assert set(body["timing_ms"]) == {"read", "endpoint"}
    assert (body["model"], body["request_id"]) == ("run-1", LambdaContext().aws_request_id)


def test_a_form_of_files_is_answered_as_a_list_is(runtime: Runtime) -> None:
    content_type, body = form(png(), png(99), boundary="theirs")

    status, answer, _ = invoke(proxy_event(body, content_type=content_type, query={"top_k": "1"}))

    assert status == 200
    assert [result["predictions"][0]["breed"] for result in answer["results"]] == ["Dalmatian", "Dalmatian"]
    assert form_files(runtime.calls[0]["ContentType"], runtime.calls[0]["Body"]) == [png(), png(99)]


def test_a_retry_of_several_pictures_is_the_same_request_byte_for_byte(runtime: Runtime) -> None:
    for boundary in ("one", "two"):
        content_type, body = form(png(), png(99), boundary=boundary)
        invoke(proxy_event(body, content_type=content_type))

    assert runtime.calls[0] == runtime.calls[1]


SPOILT = {
    "no base64": ({"image": "%%%"}, "invalid-field"),
    "no picture": ({"image": base64.b64encode(b"GIF89a").decode()}, "unsupported-media-type"),
    "too large in base64": ({"image": base64.b64encode(png(30_000)).decode()}, "image-too-large"),
    "url that is none": ({"url": "http://["}, "bad-url"),
    "url to an internal address": ({"url": "http://127.0.0.1/"}, "address-not-allowed"),
    "no s3 address": ({"s3": "dog.png"}, "invalid-field"),
    "somebody else's bucket": ({"s3": "s3://somebody-elses-bucket/dog.png"}, "forbidden"),
    "refused by the model": ({"image": base64.b64encode(png() + b"UNREADABLE").decode()}, "unreadable-image"),
}


def test_a_picture_that_cannot_be_read_is_its_own_problem_and_spoils_no_other(runtime: Runtime) -> None:
    pictures = [{"image": PNG64}, *(picture for picture, _ in SPOILT.values()), {"image": PNG64}]

    status, body, _ = invoke({"pictures": pictures})

    assert status == 200
    first, *spoilt, last = body["results"]
    assert first["predictions"][0]["breed"] == last["predictions"][0]["breed"] == "Dalmatian"
    for found, (name, (_, slug)) in zip(spoilt, SPOILT.items(), strict=True):
        assert set(found) == {"problem"}, name
        assert set(found["problem"]) == {"type", "title", "status", "detail"}
        assert found["problem"]["type"] == f"about:blank#{slug}", name


def test_an_empty_file_of_a_form_is_its_own_problem(runtime: Runtime) -> None:
    content_type, body = form(b"", png())

    _, answer, _ = invoke(proxy_event(body, content_type=content_type))

    assert answer["results"][0]["problem"]["detail"] == "the picture is empty: 0 bytes"
    assert answer["results"][1]["predictions"]


def test_where_no_picture_can_be_read_no_model_is_asked(runtime: Runtime) -> None:
    status, body, _ = invoke({"pictures": [{"image": "%%%"}, {"url": "file:///etc/passwd"}]})

    assert (status, body["model"]) == (200, None)
    assert [result["problem"]["status"] for result in body["results"]] == [400, 400]
    assert not runtime.calls


def test_logits_and_argmax_of_several_have_null_for_a_picture_that_cannot_be_read(runtime: Runtime) -> None:
    pictures = [{"image": PNG64}, {"image": "%%%"}, {"image": base64.b64encode(png() + b"UNREADABLE").decode()}]

    assert invoke({"pictures": pictures, "output": "logits"})[1] == [LOGITS, None, None]
    assert invoke({"pictures": pictures, "output": "argmax"})[1] == [2, None, None]


def test_pictures_that_an_endpoint_does_not_take_at_once_are_refused_with_their_size(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [{"image": PNG64}] * 2
    invoke({"pictures": pictures})
    size = len(runtime.calls[0]["Body"])  # with the form around them

    monkeypatch.setattr(endpoint, "MOST_BYTES", size)
    assert invoke({"pictures": pictures})[0] == 200
    monkeypatch.setattr(endpoint, "MOST_BYTES", size - 1)
    assert problem({"pictures": pictures}) == (413, "pictures-too-large")
    assert f"{size} bytes together" in invoke({"pictures": pictures})[1]["detail"]
    assert problem({"pictures": [{"image": base64.b64encode(png(size)).decode()}]}) == (413, "pictures-too-large")
    assert len(runtime.calls) == 2


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


def emitted(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines in embedded metric format since the last look."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    for line in lines:
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("Kennel", [["stack", "service"]])
        assert (line["stack"], line["service"]) == (ENDPOINT, "classify")
        assert {metric["Name"] for metric in directive["Metrics"]} <= METRICS
    return lines


# Each is paid for by the month: a new one belongs into tools/cost/month.py and onto the dashboard.
METRICS = {"Predictions", "Confidence", "Unsure", "ReadTime", "EndpointTime", "Refused", "Failed", "ColdStart"}


def test_how_sure_answers_are_and_where_the_time_went_is_emitted(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_first_call", iter((True,)))
    invoke({"pictures": [{"image": PNG64}, {"image": PNG64}]})
    runtime.confident = False
    invoke(proxy_event(png()))

    two, one = emitted(capsys)
    assert (two["Predictions"], two["Unsure"], two["ColdStart"]) == ([2], [0, 0], [1])
    assert [0 < value <= 1 for value in two["Confidence"]] == [True, True]
    assert (one["Predictions"], one["Unsure"], "ColdStart" in one) == ([1], [1], False)
    assert min(*one["ReadTime"], *one["EndpointTime"]) >= 0


def test_a_refusal_and_a_failure_are_counted_apart_and_answer_no_picture(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke({"image": "no base64"})
    runtime.error = client_error("InternalFailure")
    invoke({"image": PNG64})

    refused, failed = emitted(capsys)
    assert refused["Refused"] == failed["Failed"] == [1]
    assert "Predictions" not in refused and "Predictions" not in failed


def test_a_process_that_was_kept_ready_starts_warm(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")
    monkeypatch.setattr(app, "_first_call", iter((True,)))
    invoke(proxy_event(png()))

    (line,) = emitted(capsys)
    assert "ColdStart" not in line


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
        (client_error("ModelError", OriginalStatusCode=408, OriginalMessage="slow"), (502, "endpoint-failed")),
        (
            client_error(
                "ModelError", OriginalStatusCode=400, OriginalMessage='{"type": "about:blank#bad-attributes"}'
            ),
            (502, "endpoint-failed"),
        ),
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
    assert problem({"pictures": [{"image": PNG64}]}) == expected


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


GOOD = {"predictions": [{"breed": "Beagle", "index": 1, "probability": 1.0}], "confident": True}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {**GOOD, "model": "run-1"},
        {"model": "run-1", "results": []},
        {"model": "run-1", "results": [GOOD, GOOD]},
        {"model": "run-1", "results": [None]},
        {"model": "run-1", "results": [{"problem": "no"}]},
        {"model": "run-1", "results": [{"problem": {"status": 200}}]},
        {"results": [GOOD]},
    ],
)
def test_an_answer_about_several_that_makes_no_sense_is_the_endpoints_fault(runtime: Runtime, answer: Any) -> None:
    runtime.body = json.dumps(answer).encode()

    assert problem({"pictures": [{"image": PNG64}]}) == (502, "endpoint-failed")


@pytest.mark.parametrize("option", ["timing", "explain"])
def test_a_model_that_leaves_out_what_was_asked_for_has_failed(runtime: Runtime, option: str) -> None:
    runtime.body = json.dumps({**GOOD, "model": "run-1"}).encode()

    assert problem({"image": PNG64, option: True}) == (502, "endpoint-failed")


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

    def fetch_image(url: str, **_: Any) -> bytes:
        if "hunter2" in url:
            raise UrlUnreadable("example.com answered with status 404")
        return png()

    with monkeypatch.context() as patch:
        patch.setattr("kennel.fetch.fetch_image", fetch_image)
        invoke(proxy_event(json.dumps({"url": secret_url})))
        invoke({"pictures": [{"url": secret_url}, {"url": "https://example.com/hunter2"}, {"image": PNG64}]})
    invoke(proxy_event(png(), content_type="image/png"))
    invoke({"url": "http://user:hunter2@example.com/?token=deadbeef"})

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["predicted", "predicted", "predicted", "refused"]
    assert lines[0]["pictures"][0]["host"] == "example.com"
    assert lines[0]["request_id"] == REQUEST_ID
    assert lines[1]["outcomes"] == ["confident", "url-unreadable", "confident"]
    for secret in ("deadbeef", "private/path", "hunter2", "the-secret-key", PNG64[:24]):
        assert secret not in log.getvalue()


def test_the_log_identifies_a_picture_by_its_hash_whatever_becomes_of_it(runtime: Runtime, log: io.StringIO) -> None:
    invoke({"image": PNG64})
    runtime.error = client_error("ThrottlingException")
    invoke({"image": PNG64})

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["predicted", "refused"]
    assert [line["pictures"][0]["sha256"] for line in lines] == [hashlib.sha256(png()).hexdigest()] * 2


TRACE = "1-67891233-abcdef012345678912345678"


def with_headers(event: dict[str, Any], **headers: str) -> dict[str, Any]:
    return event | {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}


def test_a_callers_own_id_goes_through_every_hop(runtime: Runtime, log: io.StringIO) -> None:
    event = with_headers(
        proxy_event(png()), X_Request_Id="order-66.a_B", X_Amzn_Trace_Id=f"Self=1-x;Root={TRACE};Sampled=1"
    )

    _, body, headers = invoke(event)

    assert headers["X-Request-Id"] == body["request_id"] == "order-66.a_B"
    assert runtime.calls[0]["InferenceId"] == "order-66.a_B"
    assert runtime.calls[0]["CustomAttributes"] == f"trace={TRACE}"
    (line,) = [json.loads(text) for text in log.getvalue().splitlines()]
    assert (line["request_id"], line["api_request_id"], line["trace"]) == ("order-66.a_B", REQUEST_ID, TRACE)


def test_every_line_of_a_refusal_has_the_ids_too(runtime: Runtime, log: io.StringIO) -> None:
    runtime.error = ZeroDivisionError("a defect of ours")

    invoke(with_headers(proxy_event(png()), x_request_id="mine", x_amzn_trace_id=f"Root={TRACE}"))

    lines = [json.loads(text) for text in log.getvalue().splitlines()]
    assert [(line["request_id"], line["trace"]) for line in lines] == [("mine", TRACE)] * 2


@pytest.mark.parametrize("theirs", ["", "x" * 65, "with blank", "line\nbreak", "é", "a;b", "${jndi:ldap://x}"])
def test_an_id_that_is_not_well_formed_is_replaced_by_the_apis(runtime: Runtime, theirs: str) -> None:
    assert invoke(with_headers(proxy_event(png()), X_Request_Id=theirs))[1]["request_id"] == REQUEST_ID
    assert runtime.calls[0]["InferenceId"] == REQUEST_ID


@pytest.mark.parametrize("context", [{"requestId": "no id\n"}, {"requestId": None}, {"requestId": 5}, {}, None])
def test_the_apis_own_id_is_not_believed_either_because_callers_may_set_it(runtime: Runtime, context: Any) -> None:
    event = proxy_event(png()) | {"requestContext": context}

    assert invoke(event)[1]["request_id"] == LambdaContext().aws_request_id


def test_where_nobody_gives_an_id_there_is_a_new_one_each_time(runtime: Runtime) -> None:
    answers: list[Any] = [app.handler({"image": PNG64}, LambdaContext(aws_request_id="")) for _ in range(2)]

    assert len({answer["headers"]["X-Request-Id"] for answer in answers}) == 2
    assert all(len(call["InferenceId"]) == 36 for call in runtime.calls)


@pytest.mark.parametrize("theirs", ["", "Root=1-2-3", f"Root={TRACE}0", f"Root={TRACE[:-1]},top_k=1", "x" * 9999])
def test_what_is_no_trace_id_is_not_passed_on(runtime: Runtime, theirs: str) -> None:
    invoke(with_headers(proxy_event(png()), X_Amzn_Trace_Id=theirs))

    assert "CustomAttributes" not in runtime.calls[0]


def test_without_the_apis_header_the_trace_is_lambdas(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=0")

    invoke({"image": PNG64})

    assert runtime.calls[0]["CustomAttributes"] == f"trace={TRACE}"


def test_clients_are_built_once(runtime: Runtime) -> None:
    assert app._s3() is app._s3()
