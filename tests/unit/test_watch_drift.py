"""watch_drift: what it reads, what it measures and says; and on the real container's log, shifted and not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Metrics
from kennel.errors import EndpointFailed
from kennel.settings import watch_drift_settings
from PIL import Image

from functions.watch_drift import app
from tests.bad_pictures import encode
from tests.tiny_model import COLOURS, RGB, shades, write_model_directory
from tests.unit.fakes import ENDPOINT, LambdaContext, client_error
from tests.unit.serving_process import ServerProcess, running
from tests.unit.test_serving_answers import MULTIPART_TYPE, multipart

RUN, GROUP = "run-1", "/aws/sagemaker/Endpoints/kennel"
END = "2026-11-30T10:00:00Z"
FEATURE = {"mean": 0.5, "deviation": 0.1, "spread": 0.8, "spread_deviation": 0.6}
BASELINE: dict[str, Any] = {
    "model": RUN,
    "classes": ["Beagle", "Dalmatian"],
    "precisions": {
        "int8": {
            "pictures": 100,
            "classes": [50, 50],
            "confidence": {"edges": [0.9], "pictures": [50, 50]},
            "features": [FEATURE | {"name": "brightness"}],
        }
    },
}


def line(number: int, model: str = RUN, brightness: float = 0.5) -> str:
    """A sampled picture as the container logs it: both classes, sure and less sure, brighter and darker."""
    away = 0.08 if number % 4 < 2 else -0.08
    sample = {"event": "sampled", "model": model, "precision": "int8", "index": number % 2}
    return json.dumps(sample | {"confidence": 0.95 - 0.1 * (number % 2), "features": [brightness + away]})


class Account:
    """SageMaker, CloudWatch Logs and S3 as far as `watch_drift` asks them. `lines` come `page` at a time."""

    def __init__(self) -> None:
        self.endpoint: Any = {"EndpointConfigName": f"{ENDPOINT}-{RUN}", "EndpointStatus": "InService"}
        self.baseline: Any = BASELINE
        self.lines: list[str] = []
        self.page = 50
        self.asked: list[dict[str, Any]] = []

    def describe_endpoint(self, **_: Any) -> Any:
        if isinstance(self.endpoint, Exception):
            raise self.endpoint
        return self.endpoint

    def filter_log_events(self, **asked: Any) -> Any:
        self.asked.append(dict(asked))
        start = int(asked.get("nextToken", 0))
        events = [{"message": one} for one in self.lines[start : start + self.page]]
        more = {"nextToken": str(start + self.page)} if start + self.page < len(self.lines) else {}
        return {"events": events, **more}

    def get_object(self, **asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self.baseline, Exception):
            raise self.baseline
        return {"Body": io.BytesIO(json.dumps(self.baseline).encode())}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    environ = {"ENDPOINT_NAME": ENDPOINT, "LOG_GROUP": GROUP, "ARTIFACT_BUCKET": "artifacts"}
    for name, value in (environ | {"POWERTOOLS_METRICS_NAMESPACE": "Kennel"}).items():
        monkeypatch.setenv(name, value)
    fake = Account()
    monkeypatch.setattr(app, "_client", lambda service: fake)
    monkeypatch.setattr(app, "metrics", Metrics(namespace="Kennel", service="watch_drift"))
    watch_drift_settings.cache_clear()
    yield fake
    watch_drift_settings.cache_clear()


def watched() -> dict[str, Any]:
    found: dict[str, Any] = app.handler({"time": END}, LambdaContext())
    return found


def measured(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the embedded metric line says; empty without one."""
    lines = [json.loads(one) for one in capsys.readouterr().out.splitlines() if '"_aws"' in one]
    return lines[0] if lines else {}


def test_an_hour_like_the_baseline_is_measured_as_one(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.lines = [line(number) for number in range(120)]

    found = watched()

    assert (found["event"], found["samples"], found["model"]) == ("compared", 120, RUN)
    assert found["drift"] < 1
    emf = measured(capsys)
    assert (emf["stack"], emf["service"], emf["DriftSamples"]) == (ENDPOINT, "watch_drift", [120.0])
    parts = [emf[name][0] for name in ("DriftClasses", "DriftConfidence", "DriftFeatures")]
    assert emf["Drift"] == [max(parts)]
    assert emf["_aws"]["Timestamp"] == datetime(2026, 11, 30, 10, tzinfo=UTC).timestamp() * 1000
    (directive,) = emf["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Kennel" and sorted(directive["Dimensions"][0]) == ["service", "stack"]


def test_a_shifted_hour_says_what_shifted(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.lines = [line(number, brightness=0.4) for number in range(120)]

    found = watched()

    assert found["features"] == found["drift"] > 1 > found["classes"]
    assert found["shifted"]["features"].startswith("brightness: mean -1.0")
    assert measured(capsys)["Drift"][0] > 1


def test_it_reads_the_hour_before_page_by_page_and_heeds_the_model_in_service_only(account: Account) -> None:
    account.lines = [line(1), "no JSON", "[]", '{"event": "answered"}', line(2, "another"), *map(line, range(48))]
    account.page = 20

    found = watched()

    assert found["samples"] == 49
    (*pages, baseline) = account.asked
    assert len(pages) == 3
    end = int(datetime(2026, 11, 30, 10, tzinfo=UTC).timestamp() * 1000)
    assert (pages[0]["logGroupName"], pages[0]["startTime"], pages[0]["endTime"]) == (GROUP, end - 3_600_000, end - 1)
    assert baseline["Key"] == f"runs/{RUN}/{ENDPOINT}-{RUN}-evaluate/output/model/drift.json"


def test_of_a_busy_endpoint_it_reads_no_more_than_it_needs(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.lines = [line(number) for number in range(500)]
    monkeypatch.setattr(app, "MOST_SAMPLES", 100)
    assert watched()["samples"] == 100
    assert len(account.asked) == 3  # two pages and the baseline


def test_a_quiet_hour_says_nothing_and_costs_no_metric(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert watched()["event"] == "no samples"
    assert measured(capsys) == {}


def test_an_hour_with_too_few_samples_tells_their_number_only(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.lines = [line(number) for number in range(29)]

    assert watched()["event"] == "too few samples"
    assert [name for name in measured(capsys) if name.startswith("Drift")] == ["DriftSamples"]


def test_where_nothing_serves_there_is_nothing_to_watch(account: Account) -> None:
    account.endpoint = client_error("ValidationException", "Could not find endpoint")
    assert watched()["event"] == "not watched"


def test_a_model_of_no_run_has_no_baseline(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.lines = [line(number) for number in range(120)]
    account.baseline = client_error("NoSuchKey", "The specified key does not exist.")
    assert watched()["event"] == "no baseline"
    assert measured(capsys) == {}


def test_an_endpoint_that_cannot_be_looked_at_is_a_failure(account: Account) -> None:
    account.endpoint = client_error("AccessDeniedException", "is not authorized")
    with pytest.raises(EndpointFailed):
        watched()


def test_of_the_real_containers_log_a_shifted_stream_fires_and_an_unshifted_one_does_not(
    account: Account, tmp_path: Path
) -> None:
    # given the real server, which keeps every picture's numbers, and the baseline in its model's manifest
    folder = write_model_directory(tmp_path / "model", version=RUN)
    manifest = json.loads((folder / "model.json").read_text())
    names = [one["name"] for one in manifest["classes"]]
    precisions = {name: one["drift"] for name, one in manifest["precisions"].items()}
    account.baseline = {"model": RUN, "classes": names, "precisions": precisions}
    usual = shades(COLOURS, 8, seed=2)
    streams: dict[str, list[RGB]] = {
        "usual": usual,
        "darker": [(red // 3, green // 3, blue // 3) for red, green, blue in usual],
        "one class": shades({"Red": COLOURS["Red"]}, 64, seed=3),
        "unknown": shades({"Grey": (128, 128, 128)}, 64, seed=4),
    }
    found = {}
    with running(folder, tmp_path / "log", SERVING_SAMPLE="1") as server:
        for name, stream in streams.items():
            # when it is asked about them, and the watcher looks at what has come to its log
            before = len(server.log_lines())
            ask(server, stream)
            account.lines = server.log.read_text().splitlines()[before:]
            found[name] = watched()["drift"]
    # then every shift is beyond the limit of chance, and the usual stream is not
    assert {name: drift > 1 for name, drift in found.items()} == {name: name != "usual" for name in streams}, found


def ask(server: ServerProcess, stream: list[RGB]) -> None:
    """Pictures of these colours, 32 a request."""
    pictures = [encode(Image.new("RGB", (32, 32), rgb), "PNG") for rgb in stream]
    for start in range(0, len(pictures), 32):
        body = multipart(*pictures[start : start + 32])
        assert server.classify(body, content_type=MULTIPART_TYPE).status == 200
