"""POST /predictions: pictures in, breeds out. Takes proxy events of API Gateway and direct invocations alike.

parse (kennel.requests) -> read the pictures (request, URL or S3) -> InvokeEndpoint -> the answer in the form asked for.
"""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Sequence
from functools import cache
from typing import Any

import botocore.config
import botocore.session
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from kennel import endpoint, http, images, objects, requests
from kennel.endpoint import Prediction
from kennel.errors import (
    InternalError,
    MethodNotAllowed,
    RequestError,
    SettingsError,
    UrlsNotRead,
    problem_document,
)
from kennel.images import Picture
from kennel.requests import ImageBytes, ImageObject, ImageUrl, PredictionRequest, Source
from kennel.settings import ClassifySettings, classify_settings, kept_ready

logger = Logger()
metrics = Metrics()
_first_call = iter((True,))  # of this process

# API Gateway gives up after 29 s: reading a URL (5 s) and two tries at the model must fit.
_RUNTIME_CONFIG = botocore.config.Config(
    connect_timeout=2, read_timeout=9, retries={"mode": "standard", "total_max_attempts": 2}
)
_S3_CONFIG = botocore.config.Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=requests.MOST_PICTURES,
)


@cache
def _session() -> Any:
    # botocore rather than boto3, whose resource layer is not needed: 40 ms less of every cold start.
    return botocore.session.get_session()


@cache
def _runtime() -> Any:
    return _session().create_client("sagemaker-runtime", config=_RUNTIME_CONFIG)


@cache
def _s3() -> Any:
    return _session().create_client("s3", config=_S3_CONFIG)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: Any, context: Any) -> http.Answer:
    """Answer a prediction request; whatever happens, the answer is a proxy answer with JSON, never a traceback."""
    ids = http.ids(event, context)
    logger.append_keys(**ids._asdict())
    request_id = ids.request_id
    if http.is_proxy_event(event) and event["httpMethod"] == "OPTIONS":
        return http.preflight_answer(requests.ALLOW, request_id)
    try:
        return http.json_answer(200, _predict(event, ids), request_id)
    except RequestError as error:
        return _refuse(error, request_id)
    except Exception:
        logger.exception("unexpected error")
        return _refuse(InternalError("the reason is in the log under this request id"), request_id)
    finally:
        _flush_metrics()


def _predict(event: object, ids: http.Ids) -> object:
    settings = classify_settings()
    asked = requests.parse(event, endpoint_name=settings.endpoint_name, max_image_bytes=settings.max_image_bytes)
    began = time.perf_counter()
    read = _read_all(asked.sources, settings)
    logger.append_keys(pictures=[_loggable(*one) for one in zip(asked.sources, read, strict=True)])
    if not asked.several and isinstance(read[0], RequestError):
        raise read[0]
    read_at = time.perf_counter()
    model, outcomes = _ask(asked, read, ids, settings)
    timing_ms = {
        "read": round((read_at - began) * 1000, 2),
        "endpoint": round((time.perf_counter() - read_at) * 1000, 2),
    }
    _measure(outcomes, timing_ms)
    logger.info(
        "predicted",
        extra={
            "output": asked.output,
            "top_k": asked.top_k,
            "read_ms": timing_ms["read"],
            "endpoint_ms": timing_ms["endpoint"],
            "model": model,
            "outcomes": [_in_a_word(one) for one in outcomes],
        },
    )
    return _answer(asked, outcomes, timing_ms, {"model": model, "request_id": ids.request_id})


def _measure(outcomes: Sequence[Prediction | RequestError], timing_ms: dict[str, float]) -> None:
    """What the dashboard shows of a request: of each answer how sure it is, and where the request's time went."""
    answers = [one for one in outcomes if isinstance(one, Prediction)]
    metrics.add_metric("Predictions", MetricUnit.Count, len(answers))
    for one in answers:
        metrics.add_metric("Confidence", MetricUnit.NoUnit, one.predictions[0]["probability"])
        metrics.add_metric("Unsure", MetricUnit.Count, not one.confident)  # so that the mean is the share
    metrics.add_metric("ReadTime", MetricUnit.Milliseconds, timing_ms["read"])
    if answers:
        metrics.add_metric("EndpointTime", MetricUnit.Milliseconds, timing_ms["endpoint"])


def _flush_metrics() -> None:
    """Write the request's metrics as one line of the log, in CloudWatch's embedded format: it takes no call, no right.

    They are few, and all have the same two dimensions, so their number, which is paid for, does not grow with traffic.
    """
    if next(_first_call, False) and not kept_ready():
        metrics.add_metric("ColdStart", MetricUnit.Count, 1)
    with contextlib.suppress(SettingsError):  # without them nothing was answered, which is told all the same
        metrics.add_dimension("stack", classify_settings().endpoint_name)
    metrics.flush_metrics()


def _read_all(sources: Sequence[Source | RequestError], settings: ClassifySettings) -> list[Picture | RequestError]:
    """Every picture, or what is wrong with it. Those that lie elsewhere are read at the same time."""
    elsewhere = [source for source in sources if isinstance(source, (ImageUrl, ImageObject))]
    if len(elsewhere) < 2:
        return [_read(source, settings) for source in sources]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - few requests need it

    if any(isinstance(source, ImageObject) for source in elsewhere):
        _s3()  # made once, before there are threads: a client may be shared, but not its making
    with ThreadPoolExecutor(len(sources)) as pool:
        return list(pool.map(lambda source: _read(source, settings), sources))


def _read(source: Source | RequestError, settings: ClassifySettings) -> Picture | RequestError:
    if isinstance(source, RequestError):
        return source
    try:
        return images.check(_bytes(source, settings), settings.max_image_bytes)
    except RequestError as error:
        return error


def _bytes(source: Source, settings: ClassifySettings) -> bytes:
    match source:
        case ImageBytes(data):
            return data
        case ImageObject(uri):
            return objects.read(_s3(), uri, own_buckets=settings.own_buckets, max_bytes=settings.max_image_bytes)
        case ImageUrl(url):
            if not settings.has_internet:
                raise UrlsNotRead(
                    "url: this stack has no way to the internet; send the picture itself, or its s3 address"
                )
            # Imported when first needed: the cold start of the other forms does not pay for it.
            from kennel.fetch import fetch_image  # noqa: PLC0415

            return fetch_image(url, max_bytes=settings.max_image_bytes, timeout_seconds=settings.url_timeout_seconds)


def _ask(
    asked: PredictionRequest, read: Sequence[Picture | RequestError], ids: http.Ids, settings: ClassifySettings
) -> tuple[str | None, list[Prediction | RequestError]]:
    """The model and what it says of each picture that could be read. Where none could, no model is asked."""
    options = endpoint.Options(
        ids.request_id,
        ids.trace,
        top_k=1 if asked.output == "argmax" else asked.top_k,
        logits=asked.output == "logits",
        timing=asked.timing,
        explain=asked.explain,
    )
    pictures = [picture for picture in read if isinstance(picture, Picture)]
    if not pictures:
        return None, [one for one in read if isinstance(one, RequestError)]
    if asked.several:
        answer = endpoint.invoke_several(_runtime(), settings.endpoint_name, pictures, options)
    else:
        answer = endpoint.invoke(_runtime(), settings.endpoint_name, pictures[0], options)
    answered = iter(answer.outcomes)
    return answer.model, [one if isinstance(one, RequestError) else next(answered) for one in read]


def _answer(
    asked: PredictionRequest,
    outcomes: Sequence[Prediction | RequestError],
    timing_ms: dict[str, float],
    shared: dict[str, object],
) -> object:
    """The answer in the form asked for; `shared` is what it holds whatever its form."""
    if asked.output == "logits":
        return [one.logits if isinstance(one, Prediction) else None for one in outcomes]
    if asked.output == "argmax":
        return [one.predictions[0]["index"] if isinstance(one, Prediction) else None for one in outcomes]
    results = [_result(one) for one in outcomes]
    if asked.several:
        return {"results": results, **shared, **({"timing_ms": timing_ms} if asked.timing else {})}
    if asked.timing:
        results[0]["timing_ms"] = timing_ms | results[0]["timing_ms"]
    return results[0] | shared


def _result(outcome: Prediction | RequestError) -> dict[str, Any]:
    if isinstance(outcome, RequestError):
        return {"problem": problem_document(outcome)}
    return {
        "predictions": outcome.predictions,
        "confident": outcome.confident,
        **({"timing_ms": outcome.timing_ms} if outcome.timing_ms is not None else {}),
        **({"explanation": outcome.explanation} if outcome.explanation else {}),
    }


def _loggable(source: Source | RequestError, read: Picture | RequestError) -> dict[str, object]:
    """What the log may know of a picture: never a URL's path or query, an object's key, or a byte of the picture.

    Its SHA-256 identifies it, so that a retry is seen for what it is.
    """
    if isinstance(read, RequestError):
        return {"problem": read.problem.slug}
    facts: dict[str, object] = {"media_type": read.media_type, "bytes": len(read.data), "sha256": read.sha256}
    match source:
        case ImageUrl(url):
            return {"source": "url", "host": urllib.parse.urlsplit(url).hostname, **facts}
        case ImageObject(uri):
            return {"source": "s3", "bucket": uri.bucket, **facts}
        case _:
            return {"source": "body", **facts}


def _in_a_word(outcome: Prediction | RequestError) -> str:
    if isinstance(outcome, RequestError):
        return outcome.problem.slug
    return "confident" if outcome.confident else "unsure"


def _refuse(error: RequestError, request_id: str) -> http.Answer:
    problem = error.problem
    metrics.add_metric("Failed" if problem.status >= 500 else "Refused", MetricUnit.Count, 1)
    log = logger.error if problem.status >= 500 else logger.info
    # The cause is what AWS said; the caller only gets our sentence.
    log(
        "refused",
        extra={
            "status": problem.status,
            "problem": problem.slug,
            "detail": str(error),
            "cause": str(error.__cause__ or ""),
        },
    )
    headers = {"Allow": requests.ALLOW} if isinstance(error, MethodNotAllowed) else None
    return http.problem_answer(error, request_id, headers)
