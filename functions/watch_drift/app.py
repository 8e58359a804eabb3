"""Every hour: whether what the endpoint was asked in the hour before looks like the model's validation pictures.

EventBridge's `{"time": ...}` -> the hour that ends then, from the endpoint's log, against drift.json of the run that
serves -> metrics, of which an alarm looks at `Drift`, and a line of the log. Another time looks at another hour.
Nothing is measured where too few pictures were sampled, or where nothing serves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any

import botocore.session
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from kennel import drift, objects, served
from kennel.errors import EndpointUnavailable, NotFound
from kennel.s3uri import S3Uri
from kennel.settings import WatchDriftSettings, watch_drift_settings

logger = Logger()
metrics = Metrics()

HOUR = timedelta(hours=1)
MOST_SAMPLES = 10_000  # of an hour: more would tell no more
READ_SECONDS = 60.0  # a busy endpoint's log has many other lines
_MAX_BASELINE_BYTES = 5_000_000
_PATTERN = '{ $.event = "sampled" }'


@cache
def _client(service: str) -> Any:
    return botocore.session.get_session().create_client(service)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What was found; the same as the line of the log."""
    settings = watch_drift_settings()
    end = datetime.fromisoformat(event["time"]) if "time" in event else datetime.now(UTC)
    try:
        serving = served.look(_client("sagemaker"), settings.endpoint_name)
    except EndpointUnavailable as error:
        return _told("not watched", {"why": str(error)})
    samples = drift.of_one_kind(list(islice(_samples(settings.log_group, end), MOST_SAMPLES)), serving.run)
    facts = {"model": serving.run, "until": end.isoformat(), "samples": len(samples)}
    if not samples:
        return _told("no samples", facts)
    baseline = _baseline(serving, settings)
    if baseline is None:
        return _told("no baseline", facts)
    found = drift.compare(samples, baseline["precisions"][samples[0].precision], baseline["classes"])
    _measure(samples, found, end, settings.endpoint_name)
    if found is None:
        return _told("too few samples", facts)
    scores = {"classes": found.classes, "confidence": found.confidence, "features": found.features}
    rounded = {name: round(score, 3) for name, score in scores.items()}
    return _told("compared", facts | {"drift": max(rounded.values()), **rounded, "shifted": dict(found.shifted)})


def _measure(samples: list[drift.Sample], found: drift.Drift | None, end: datetime, endpoint_name: str) -> None:
    """The metrics. An hour without samples has none, because metrics cost."""
    metrics.add_dimension("stack", endpoint_name)  # both have the same name
    metrics.set_timestamp(end)
    metrics.add_metric("DriftSamples", MetricUnit.Count, len(samples))
    if found is not None:
        metrics.add_metric("Drift", MetricUnit.NoUnit, found.largest)
        metrics.add_metric("DriftClasses", MetricUnit.NoUnit, found.classes)
        metrics.add_metric("DriftConfidence", MetricUnit.NoUnit, found.confidence)
        metrics.add_metric("DriftFeatures", MetricUnit.NoUnit, found.features)
    metrics.flush_metrics()


def _told(what: str, facts: dict[str, Any]) -> dict[str, Any]:
    logger.info(what, extra=facts)
    return {"event": what, **facts}


def _samples(group: str, end: datetime) -> Iterator[drift.Sample]:
    """The samples of the hour before `end`, oldest first, as far as READ_SECONDS go."""
    began = time.monotonic()
    until = int(end.timestamp() * 1000)
    asked: dict[str, Any] = {
        "logGroupName": group,
        "startTime": until - HOUR // timedelta(milliseconds=1),
        "endTime": until - 1,
        "filterPattern": _PATTERN,
    }
    while True:
        page = _client("logs").filter_log_events(**asked)
        for event in page["events"]:
            if (sample := _sample(event["message"])) is not None:
                yield sample
        if "nextToken" not in page or time.monotonic() - began > READ_SECONDS:
            return
        asked["nextToken"] = page["nextToken"]


def _sample(line: str) -> drift.Sample | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return drift.parse_sample(found) if isinstance(found, dict) else None


def _baseline(serving: served.Served, settings: WatchDriftSettings) -> dict[str, Any] | None:
    """drift.json of the run that serves; None where there is none: a model put there by hand is none of a run's."""
    uri = S3Uri(settings.artifact_bucket, served.drift_key(serving))
    try:
        own = (settings.artifact_bucket,)
        text = objects.read(_client("s3"), uri, own_buckets=own, max_bytes=_MAX_BASELINE_BYTES)
    except NotFound as error:
        logger.warning("no baseline", extra={"baseline": str(uri), "cause": str(error.__cause__ or "")})
        return None
    found: dict[str, Any] = json.loads(text)
    return found
