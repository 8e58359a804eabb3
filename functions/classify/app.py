"""POST /predictions: a picture in, breeds out. Takes proxy events of API Gateway and direct invocations alike.

parse (kennel.requests) -> read the picture (request, URL or S3) -> InvokeEndpoint -> the answer in the form asked for.
"""

from __future__ import annotations

import time
import urllib.parse
from functools import cache
from typing import Any

import botocore.config
import botocore.session
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from kennel import endpoint, http, images, objects, requests
from kennel.errors import InternalError, MethodNotAllowed, RequestError
from kennel.requests import ImageBytes, ImageObject, ImageUrl, PredictionRequest
from kennel.settings import ClassifySettings, classify_settings

logger = Logger()
metrics = Metrics()

# API Gateway gives up after 29 s: reading a URL (5 s) and two tries at the model must fit.
_RUNTIME_CONFIG = botocore.config.Config(
    connect_timeout=2, read_timeout=9, retries={"mode": "standard", "total_max_attempts": 2}
)
_S3_CONFIG = botocore.config.Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
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
    request_id = http.request_id(event, context)
    logger.append_keys(request_id=request_id)
    if http.is_proxy_event(event) and event["httpMethod"] == "OPTIONS":
        return http.preflight_answer(requests.ALLOW, request_id)
    try:
        return http.json_answer(200, _predict(event, request_id), request_id)
    except RequestError as error:
        return _refuse(error, request_id)
    except Exception:
        logger.exception("unexpected error")
        return _refuse(InternalError("the reason is in the log under this request id"), request_id)
    finally:
        metrics.flush_metrics()


def _predict(event: object, request_id: str) -> object:
    settings = classify_settings()
    asked = requests.parse(event, endpoint_name=settings.endpoint_name, max_image_bytes=settings.max_image_bytes)
    began = time.perf_counter()
    image = _read(asked, settings)
    media_type = images.check(image, settings.max_image_bytes)
    read = time.perf_counter()
    answer = endpoint.invoke(
        _runtime(),
        settings.endpoint_name,
        image,
        media_type,
        top_k=1 if asked.output == "argmax" else asked.top_k,
        logits=asked.output == "logits",
    )
    read_ms, endpoint_ms = round((read - began) * 1000, 2), round((time.perf_counter() - read) * 1000, 2)
    metrics.add_metric("Predictions", MetricUnit.Count, 1)
    metrics.add_metric("EndpointTime", MetricUnit.Milliseconds, endpoint_ms)
    logger.info(
        "predicted",
        extra={
            **_loggable(asked),
            "media_type": media_type,
            "image_bytes": len(image),
            "read_ms": read_ms,
            "endpoint_ms": endpoint_ms,
            "model": answer.model,
            "confident": answer.confident,
        },
    )
    if asked.output == "logits":
        return [answer.logits]
    if asked.output == "argmax":
        return [answer.predictions[0]["index"]]
    return {
        "predictions": answer.predictions,
        "confident": answer.confident,
        "model": answer.model,
        "request_id": request_id,
    }


def _read(asked: PredictionRequest, settings: ClassifySettings) -> bytes:
    match asked.source:
        case ImageBytes(data):
            return data
        case ImageObject(uri):
            return objects.read(_s3(), uri, own_buckets=settings.own_buckets, max_bytes=settings.max_image_bytes)
        case ImageUrl(url):
            # Imported when first needed: the cold start of the other forms does not pay for it.
            from kennel.fetch import fetch_image  # noqa: PLC0415

            return fetch_image(url, max_bytes=settings.max_image_bytes, timeout_seconds=settings.url_timeout_seconds)


def _loggable(asked: PredictionRequest) -> dict[str, object]:
    """What the log may know of a request: never a URL's path or query, an object's key, or a byte of the picture."""
    match asked.source:
        case ImageUrl(url):
            source = {"source": "url", "host": urllib.parse.urlsplit(url).hostname}
        case ImageObject(uri):
            source = {"source": "s3", "bucket": uri.bucket}
        case _:
            source = {"source": "body"}
    return {**source, "output": asked.output, "top_k": asked.top_k}


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
