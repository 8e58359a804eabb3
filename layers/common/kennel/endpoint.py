"""The one call to the model: InvokeEndpoint, its answer checked, its errors turned into ours."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from kennel.errors import (
    PROBLEMS,
    EndpointBusy,
    EndpointFailed,
    EndpointUnavailable,
    ImageTooLarge,
    Problem,
    RefusedByModel,
)

_BUSY = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
_UNAVAILABLE = {"ServiceUnavailable", "ServiceUnavailableException", "ModelNotReadyException"}
# A missing endpoint is a ValidationError whose message says so; so is a body that is too large.
_NOT_FOUND = re.compile(r"endpoint .*(not found|not exist|could not find)", re.IGNORECASE | re.DOTALL)
_TOO_LARGE = re.compile(r"(body|payload|content).*(too large|length|exceed)", re.IGNORECASE | re.DOTALL)
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Prediction:
    """The container's answer: `predictions` is `[{"breed", "index", "probability"}]`, best first."""

    predictions: list[dict[str, Any]]
    confident: bool
    model: str
    logits: list[float] | None


def invoke(
    client: Any, endpoint_name: str, image: bytes, media_type: str, *, top_k: int | None, logits: bool
) -> Prediction:
    """Ask `endpoint_name` about `image`; `client` is a sagemaker-runtime client.

    Raises RefusedByModel (the container's 4xx), EndpointFailed, EndpointBusy, EndpointUnavailable, or ImageTooLarge
    when SageMaker itself refuses the size.
    """
    attributes = [f"top_k={top_k}"] if top_k is not None else []
    attributes += ["logits=1"] if logits else []
    optional = {"CustomAttributes": ",".join(attributes)} if attributes else {}
    try:
        answer = client.invoke_endpoint(
            EndpointName=endpoint_name, ContentType=media_type, Accept="application/json", Body=image, **optional
        )
        body = answer["Body"].read()
    except ClientError as error:
        _raise_ours(error)
    except BotoCoreError as error:  # no connection, or no answer in time
        raise EndpointUnavailable("the model could not be reached") from error
    return _prediction(body, logits)


def _prediction(body: bytes, logits: bool) -> Prediction:
    try:
        answer = json.loads(body)
        best = answer["predictions"][0]
        scores = [float(score) for score in answer["logits"]] if logits else None
        return Prediction(
            [{**best, "index": int(best["index"])}, *answer["predictions"][1:]],
            bool(answer["confident"]),
            str(answer["model"]),
            scores,
        )
    except (ValueError, TypeError, LookupError) as error:
        raise EndpointFailed("the model's answer cannot be understood") from error


def _raise_ours(error: ClientError) -> NoReturn:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    if code == "ModelError":
        _raise_model_error(error)
    if code in _BUSY:
        raise EndpointBusy("the model gets more requests than it takes; try again shortly") from error
    if code in _UNAVAILABLE or (code.startswith("Validation") and _NOT_FOUND.search(message)):
        raise EndpointUnavailable("no model is in service under this stack's endpoint") from error
    if code.startswith("Validation") and _TOO_LARGE.search(message):
        raise ImageTooLarge("the picture is larger than an endpoint takes") from error
    raise EndpointFailed("the model could not be asked") from error


def _raise_model_error(error: ClientError) -> NoReturn:
    """The container's 4xx is about the picture and is passed on, anything else is the model's fault."""
    status = error.response.get("OriginalStatusCode")
    if isinstance(status, int) and 400 <= status < 500:
        raise _refusal(status, error.response.get("OriginalMessage", "")) from error
    if status == 503:
        raise EndpointBusy("the model is at its limit; try again shortly") from error
    raise EndpointFailed("the model failed on this picture") from error


def _refusal(status: int, message: str) -> RefusedByModel:
    """The container's problem JSON as our error. Only well-formed members of it are taken over."""
    try:
        document = json.loads(message)
    except ValueError:
        document = {}
    document = document if isinstance(document, dict) else {}
    slug = str(document.get("type", "")).rpartition("#")[2]
    known = next((problem for problem in PROBLEMS.values() if problem.status == status), None)
    return RefusedByModel(
        Problem(
            status,
            slug if _SLUG.fullmatch(slug) and len(slug) <= 40 else (known.slug if known else "refused-by-model"),
            str(document.get("title") or "The model refused the picture")[:100],
        ),
        str(document.get("detail") or "the model refused the picture")[:300],
    )
