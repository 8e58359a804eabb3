"""What the API tells about itself: GET / (the page), /health, /openapi.json, /model. It asks no model anything.

The page is one document: style and script stand in it, so that one request brings all, and the policy that goes with
it lets the browser run these two and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import time
from functools import cache
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session
from aws_lambda_powertools import Logger
from kennel import http, objects, openapi, served
from kennel.errors import BadRequest, InternalError, MethodNotAllowed, NotFound, RequestError
from kennel.s3uri import S3Uri
from kennel.settings import site_settings

logger = Logger()

ALLOW = "GET"
_PAGE = Path(__file__).with_name("page")
_MAX_REPORT_BYTES = 20_000_000
_KEPT_SECONDS = 60.0  # SageMaker takes few DescribeEndpoint a second, and the pipeline needs them
_CONFIG = botocore.config.Config(
    connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}
)
_PUBLIC = {"Cache-Control": "public, max-age=300"}

# When the model was looked up last, and what was found: this copy of the function remembers it for a minute.
_kept: list[tuple[float, dict[str, object]]] = []


@cache
def _client(service: str) -> Any:
    return botocore.session.get_session().create_client(service, config=_CONFIG)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: Any, context: Any) -> http.Answer:
    """Answer a GET; whatever happens, the answer is a proxy answer, never a traceback."""
    ids = http.ids(event, context)
    logger.append_keys(**ids._asdict())
    request_id = ids.request_id
    try:
        return _answer(event, request_id)
    except RequestError as error:
        log = logger.error if error.problem.status >= 500 else logger.info
        log("refused", extra={"detail": str(error), "cause": str(error.__cause__ or "")})
        headers = {"Allow": ALLOW} if isinstance(error, MethodNotAllowed) else None
        return http.problem_answer(error, request_id, headers)
    except Exception:
        logger.exception("unexpected error")
        return http.problem_answer(InternalError("the reason is in the log under this request id"), request_id)


def _answer(event: Any, request_id: str) -> http.Answer:
    if not http.is_proxy_event(event):
        raise BadRequest("the event is not a request of API Gateway")
    request = http.to_request(event)
    if request.route not in ("/", "/health", "/openapi.json", "/model"):
        raise NotFound("there is no such route; /openapi.json names those there are")
    if request.method != "GET":
        raise MethodNotAllowed(f"{request.method} is not allowed here; allowed: {ALLOW}")
    match request.route:
        case "/":
            text, policy = page()
            return http.text_answer(200, text, request_id, {**_PUBLIC, **policy})
        case "/health":
            return http.json_answer(200, {"status": "ok", "request_id": request_id}, request_id)
        case "/openapi.json":
            return http.json_answer(200, openapi.document(site_settings().api_auth), request_id, _PUBLIC)
        case _:
            found = _model(fresh="no-cache" in request.headers.get("cache-control", ""))
            return http.json_answer(200, {**found, "request_id": request_id}, request_id)


@cache
def page() -> tuple[str, dict[str, str]]:
    """The page, and the headers that say what it is and what it may do."""
    style, script = (f"\n{(_PAGE / name).read_text(encoding='utf-8')}" for name in ("page.css", "page.js"))
    text = (_PAGE / "page.html").read_text(encoding="utf-8")
    text = text.replace("<style></style>", f"<style>{style}</style>")
    text = text.replace("<script></script>", f"<script>{script}</script>")
    policy = [
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        "img-src blob: data: https:",  # the picture asked about, from this machine or as linked
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
    return text, {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(policy),
        "Referrer-Policy": "no-referrer",
    }


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _model(*, fresh: bool) -> dict[str, object]:
    now = time.monotonic()
    if fresh or not _kept or now - _kept[0][0] > _KEPT_SECONDS:
        _kept[:] = [(now, _look_up())]
    return _kept[0][1]


def _look_up() -> dict[str, object]:
    settings = site_settings()
    found = served.look(_client("sagemaker"), settings.endpoint_name)
    uri = S3Uri(settings.artifact_bucket, served.report_key(found))
    try:
        own = (settings.artifact_bucket,)
        report = objects.read(_client("s3"), uri, own_buckets=own, max_bytes=_MAX_REPORT_BYTES)
    except RequestError as error:
        # An endpoint that somebody has set up by hand serves as well; only nothing is known of its model.
        logger.warning("no report", extra={"report": str(uri), "cause": str(error.__cause__ or "")})
        report = None
    return served.describe(found, report)
