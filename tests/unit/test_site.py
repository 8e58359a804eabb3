"""site: the page and what the browser may do with it, health, the API's description, and what is serving."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kennel import served
from kennel.settings import site_settings

from functions.site import app
from tests.unit.fakes import ENDPOINT, REQUEST_ID, LambdaContext, client_error, proxy_event
from training.data import display_name

REPORT: dict[str, Any] = {
    "split": "test",
    "model": {"backbone": "resnet50", "precision": "bf16", "classes": ["001.Afghan_hound", "002.Beagle"]},
    "figures": {"pictures": 40, "accuracy": 0.95, "top5": 1.0, "calibration_error": 0.02, "log_loss": 0.2, "more": 1},
}


class Account:
    """SageMaker and S3 as far as `site` asks them; `endpoint` and `report` are answers or what is raised."""

    def __init__(self) -> None:
        self.endpoint: Any = {"EndpointConfigName": f"{ENDPOINT}-run-1", "EndpointStatus": "InService"}
        self.report: Any = json.dumps(REPORT).encode()
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def describe_endpoint(self, **asked: Any) -> Any:
        return self._answer("describe_endpoint", asked, self.endpoint)

    def get_object(self, **asked: Any) -> Any:
        return {"Body": io.BytesIO(self._answer("get_object", asked, self.report))}

    def _answer(self, name: str, asked: dict[str, Any], answer: Any) -> Any:
        self.calls.append((name, asked))
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name, value in {"ENDPOINT_NAME": ENDPOINT, "ARTIFACT_BUCKET": "artifacts", "API_AUTH": "API_KEY"}.items():
        monkeypatch.setenv(name, value)
    fake = Account()
    monkeypatch.setattr(app, "_client", lambda service: fake)
    app._kept.clear()
    site_settings.cache_clear()
    yield fake
    app._kept.clear()
    site_settings.cache_clear()


def get(route: str, method: str = "GET", **headers: str) -> Any:
    event = proxy_event(None, method=method, resource=route)
    event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer: Any = app.handler(event, LambdaContext())
    assert answer["headers"]["X-Request-Id"] == REQUEST_ID
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    return answer


def model(**headers: str) -> tuple[int, Any]:
    answer = get("/model", **headers)
    return answer["statusCode"], json.loads(answer["body"])


def test_the_page_may_run_its_own_script_and_style_and_nothing_else(account: Account) -> None:
    answer = get("/")

    body, policy = answer["body"], answer["headers"]["Content-Security-Policy"]
    assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.+?)</{tag}>", body, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_the_page_loads_nothing_from_anywhere_and_has_no_inline_handlers(account: Account) -> None:
    body = get("/")["body"]

    markup = re.sub(r"<(style|script)>.+?</\1>", "", body, flags=re.S)
    assert not re.findall(r"""\s(?:src|style|on\w+)\s*=""", markup)
    assert [link for link in re.findall(r'href="([^"]*)"', markup) if not link.startswith("data:")] == ["openapi.json"]
    assert not re.findall(r"url\(|@import|\beval\b|innerHTML", body)


def test_everything_the_page_can_be_told_or_asked_has_a_name(account: Account) -> None:
    """What a screen reader says of a control: its text, or the label that belongs to it."""
    markup = re.sub(r"<(style|script)>.+?</\1>", "", get("/")["body"], flags=re.S)

    labelled = set(re.findall(r'<label for="([\w-]+)"', markup))
    inputs = [one for one in re.findall(r"<input [^>]+>", markup) if " hidden" not in one]
    assert {re.findall(r'id="([\w-]+)"', one)[0] for one in inputs} == labelled
    assert all(text.strip() for text in re.findall(r"<button[^>]*>(.*?)</button>", markup))
    assert {"status", "alert"} <= set(re.findall(r'role="(\w+)"', markup))


def test_health_asks_nobody(account: Account) -> None:
    answer = get("/health")

    assert json.loads(answer["body"]) == {"status": "ok", "request_id": REQUEST_ID}
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert account.calls == []


def test_the_model_is_told_with_its_figures_and_the_classes_as_answers_name_them(account: Account) -> None:
    status, body = model()

    metrics = {"split": "test"} | {name: value for name, value in REPORT["figures"].items() if name != "more"}
    assert (status, body) == (
        200,
        {
            "model": "run-1",
            "status": "InService",
            "backbone": "resnet50",
            "precision": "bf16",
            "classes": ["Afghan hound", "Beagle"],
            "metrics": metrics,
            "request_id": REQUEST_ID,
        },
    )
    (_, asked) = account.calls[-1]
    assert (asked["Bucket"], asked["Key"]) == (
        "artifacts",
        f"runs/run-1/{ENDPOINT}-run-1-evaluate/output/model/report.json",
    )


def test_the_model_is_looked_up_once_a_minute_unless_the_caller_wants_it_anew(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(app, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def lookups() -> int:
        return sum(name == "describe_endpoint" for name, _ in account.calls)

    model()
    model()
    assert lookups() == 1
    model(Cache_Control="no-cache")
    assert lookups() == 2
    now[0] += 61
    account.endpoint = account.endpoint | {"EndpointConfigName": f"{ENDPOINT}-run-2"}
    assert model()[1]["model"] == "run-2"


@pytest.mark.parametrize(
    "report", [client_error("AccessDenied"), b"", b"[]", b'{"model": {}}'], ids=["missing", "empty", "list", "no model"]
)
def test_a_model_without_a_report_is_told_without_figures(account: Account, report: Any) -> None:
    account.report = report

    status, body = model()

    assert status == 200
    assert body == {
        "model": "run-1",
        "status": "InService",
        "classes": None,
        "metrics": None,
        "request_id": REQUEST_ID,
    }


@pytest.mark.parametrize(
    ("endpoint", "status", "part"),
    [
        (client_error("ValidationException", 'Could not find endpoint "kennel".'), 503, "no model is in service"),
        ({"EndpointConfigName": "kennel-run-1", "EndpointStatus": "Creating"}, 503, "the endpoint is Creating"),
        (client_error("AccessDeniedException", "secret"), 502, "could not be looked at"),
        (client_error("ThrottlingException"), 502, "could not be looked at"),
    ],
)
def test_a_model_that_does_not_serve_is_a_problem_and_is_not_remembered(
    account: Account, endpoint: Any, status: int, part: str
) -> None:
    account.endpoint = endpoint

    found, body = model()
    model()

    assert (found, len(account.calls)) == (status, 2)
    assert part in body["detail"]
    assert "secret" not in json.dumps(body)


def test_other_routes_methods_and_events_are_refused(account: Account) -> None:
    posted = get("/health", method="POST")
    assert (posted["statusCode"], posted["headers"]["Allow"]) == (405, "GET")
    assert get("/nothing")["statusCode"] == 404
    direct: Any = app.handler({}, LambdaContext())
    assert direct["statusCode"] == 400


def test_a_fault_of_our_own_is_told_without_its_reason(account: Account) -> None:
    account.endpoint = RuntimeError("secret")

    status, body = model()

    assert (status, body["type"]) == (500, "about:blank#internal")
    assert "secret" not in json.dumps(body)


@pytest.mark.parametrize("folder", ["001.Afghan_hound", "Beagle", "12.", "a.b_c", "3.a.b", ""])
def test_classes_are_named_as_training_names_them(folder: str) -> None:
    assert served.display_name(folder) == display_name(folder)
