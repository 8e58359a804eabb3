"""The one call to the model: InvokeEndpoint, its answer checked, its errors turned into ours."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from kennel.errors import (
    PROBLEMS,
    EndpointBusy,
    EndpointFailed,
    EndpointUnavailable,
    ImageTooLarge,
    PicturesTooLarge,
    Problem,
    RefusedByModel,
)
from kennel.images import Picture

MOST_BYTES = 6_291_456  # what InvokeEndpoint takes in one request

_ABOUT_THE_PICTURE = {400, 413, 415}  # the container's statuses that are the caller's business,
_ABOUT_US = {"bad-attributes", "bad-body"}  # and its problems that are not
_BUSY = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
_UNAVAILABLE = {"ServiceUnavailable", "ServiceUnavailableException", "ModelNotReadyException"}
# A missing endpoint is a ValidationError whose message says so; so is a body that is too large.
_NOT_FOUND = re.compile(r"endpoint .*(not found|not exist|could not find)", re.IGNORECASE | re.DOTALL)
_TOO_LARGE = re.compile(r"(body|payload|content).*(too large|length|exceed)", re.IGNORECASE | re.DOTALL)
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Options(NamedTuple):
    """What goes with the pictures: the ids that the container logs, and what it is to answer.

    `top_k` breeds (None: as many as it likes), the raw scores, where the time went, which part of the picture decided.
    """

    request_id: str
    trace: str = ""
    top_k: int | None = None
    logits: bool = False
    timing: bool = False
    explain: bool = False

    def attributes(self) -> str:
        """The request's custom attributes."""
        flags = {"logits": self.logits, "timing": self.timing, "explain": self.explain}
        count = [] if self.top_k is None else [f"top_k={self.top_k}"]
        trace = [f"trace={self.trace}"] if self.trace else []
        return ",".join([*count, *(f"{name}=1" for name, wanted in flags.items() if wanted), *trace])


class Prediction(NamedTuple):
    """What the container says of one picture: `predictions` is `[{"breed", "index", "probability"}]`, best first.

    What was not asked for is None. `timing_ms` has milliseconds by stage, `explanation` is
    `{"breed", "index", "heat_map"}` with a PNG in base64.
    """

    predictions: list[dict[str, Any]]
    confident: bool
    logits: list[float] | None = None
    timing_ms: dict[str, float] | None = None
    explanation: dict[str, Any] | None = None


class Answer(NamedTuple):
    """The run that made the model, and what the model says of each picture; of one that it cannot read, the problem."""

    model: str
    outcomes: list[Prediction | RefusedByModel]


def invoke(client: Any, endpoint_name: str, picture: Picture, options: Options) -> Answer:
    """Ask `endpoint_name` about `picture`; `client` is a sagemaker-runtime client.

    Raises RefusedByModel (the container's word on the picture), EndpointFailed, EndpointBusy, EndpointUnavailable, or
    ImageTooLarge when SageMaker itself refuses the size.
    """
    answer = _ask(client, endpoint_name, picture.media_type, picture.data, options)
    try:
        return Answer(str(answer["model"]), [_prediction(answer, options)])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise EndpointFailed("the model's answer cannot be understood") from error


def invoke_several(client: Any, endpoint_name: str, pictures: Sequence[Picture], options: Options) -> Answer:
    """Ask `endpoint_name` about all of `pictures` in one request; the outcomes are in their order.

    Raises what `invoke` does, but a picture that cannot be read is an outcome, and PicturesTooLarge.
    """
    from kennel import multipart  # noqa: PLC0415 - the cold start of one picture does not pay for it

    _check_size(sum(len(picture.data) for picture in pictures))  # before they are all copied into one
    content_type, body = multipart.build(pictures)
    _check_size(len(body))
    answer = _ask(client, endpoint_name, content_type, body, options)
    try:
        results = answer["results"]
        outcomes = [_refused(one["problem"]) if "problem" in one else _prediction(one, options) for one in results]
        model = str(answer["model"])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise EndpointFailed("the model's answer cannot be understood") from error
    if len(outcomes) != len(pictures):
        raise EndpointFailed("the model answered about another number of pictures than it was asked about")
    return Answer(model, outcomes)


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise PicturesTooLarge(f"the pictures make {size} bytes together; at most {MOST_BYTES} are taken at once")


def _ask(client: Any, endpoint_name: str, content_type: str, body: bytes, options: Options) -> Any:
    """The container's answer, decoded; None where it is no JSON."""
    attributes = options.attributes()
    optional = {"CustomAttributes": attributes} if attributes else {}
    try:
        answer = client.invoke_endpoint(
            EndpointName=endpoint_name,
            ContentType=content_type,
            Accept="application/json",
            InferenceId=options.request_id,
            Body=body,
            **optional,
        )
        said = answer["Body"].read()
    except ClientError as error:
        _raise_ours(error)
    except BotoCoreError as error:  # no connection, or no answer in time
        raise EndpointUnavailable("the model could not be reached") from error
    try:
        return json.loads(said)
    except ValueError:
        return None


def _prediction(answer: dict[str, Any], options: Options) -> Prediction:
    best, *others = answer["predictions"]
    explanation = answer["explanation"] if options.explain else None
    return Prediction(
        [{**best, "index": int(best["index"]), "probability": float(best["probability"])}, *others],
        bool(answer["confident"]),
        [float(score) for score in answer["logits"]] if options.logits else None,
        {str(stage): float(spent) for stage, spent in answer["timing_ms"].items()} if options.timing else None,
        explanation and {name: explanation[name] for name in ("breed", "index", "heat_map")},
    )


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
    """What the container says about the picture is passed on, anything else is the model's fault."""
    status = error.response.get("OriginalStatusCode")
    if status in _ABOUT_THE_PICTURE:
        try:
            document = json.loads(error.response.get("OriginalMessage", ""))
        except ValueError:
            document = None
        refusal = _refusal(document, status)
        if refusal.problem.slug in _ABOUT_US:
            raise EndpointFailed("the model in service cannot do what was asked; one of a new run can") from error
        raise refusal from error
    if status == 503:
        raise EndpointBusy("the model is at its limit; try again shortly") from error
    raise EndpointFailed("the model failed on this picture") from error


def _refused(document: dict[str, Any]) -> RefusedByModel:
    """The container's problem with one of several pictures."""
    status = document["status"]
    if not isinstance(status, int) or not 400 <= status < 600:
        raise ValueError(f"{status!r} is no status of a problem")
    return _refusal(document, status)


def _refusal(document: object, status: int) -> RefusedByModel:
    """The container's problem JSON as our error. Only well-formed members of it are taken over."""
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
