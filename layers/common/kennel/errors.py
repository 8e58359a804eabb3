"""Everything that can go wrong in a request, and the one table that turns it into an HTTP answer.

KennelError
├── SettingsError               the function's environment is incomplete or malformed
├── InvalidInput                a state machine's input is refused; the message holds one problem a line
│   ├── InvalidRun              the pipeline's
│   └── InvalidBatch            the batch's
└── RequestError                drawn as problem JSON (RFC 9457) by `PROBLEMS`
    ├── BadRequest              the body or the event cannot be understood
    │   └── InvalidField        one named field is unknown, of the wrong type or out of range
    ├── BadUrl                  the URL is malformed, or of a scheme or port that is not read
    ├── Forbidden               a bucket or an endpoint that is not the stack's own
    ├── AddressNotAllowed       the URL leads to an address that is not public
    ├── UrlsNotRead             the stack is in a private network, from where no URL can be read
    ├── NotFound                no such route or object
    ├── MethodNotAllowed        the route exists, the method does not
    ├── ImageTooLarge           more bytes than are taken
    ├── PicturesTooLarge        each may be taken, but not all of them at once
    ├── UnsupportedMediaType    neither JPEG nor PNG nor WebP
    ├── UrlUnreadable           the URL's server failed, refused, or answered with something else
    ├── UrlTooSlow              the URL was not read within the time limit
    ├── RefusedByModel          the container refused the picture; its own problem is passed on
    ├── EndpointFailed          the endpoint failed on this request
    ├── EndpointBusy            the endpoint is throttled
    ├── EndpointUnavailable     the endpoint does not exist or is not in service
    └── InternalError           anything else; the caller learns nothing about it
"""

# ruff: noqa: N818 - the names read as what happened, and InvalidRun is the error name that the state machine matches

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """How a kind of error is shown: `status` (HTTP), `slug` (stable, for programs), `title` (for people)."""

    status: int
    slug: str
    title: str
    retry_after_seconds: int | None = None


class KennelError(Exception):
    """Root of the tree. The message is written for the person who gets it and holds no secret."""


class SettingsError(KennelError):
    """The function's environment is incomplete or malformed; the message names the variable."""


class InvalidInput(KennelError):
    """A state machine's input is refused. `problems` holds every finding; the message is one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InvalidRun(InvalidInput):
    """The pipeline's input is refused."""


class InvalidBatch(InvalidInput):
    """The input of a batch is refused."""


class RequestError(KennelError):
    """A request that cannot be answered with a prediction."""

    @property
    def problem(self) -> Problem:
        """The row of `PROBLEMS` for this class, or for the nearest base class that has one."""
        return next(PROBLEMS[kind] for kind in type(self).__mro__ if kind in PROBLEMS)


class BadRequest(RequestError):
    """The body or the event cannot be understood."""


class InvalidField(BadRequest):
    """One named field is unknown, of the wrong type or out of range: `top_k: 0 is below 1`."""


class BadUrl(RequestError):
    """The URL is malformed, or of a scheme or port that is not read."""


class Forbidden(RequestError):
    """A bucket or an endpoint that is not the stack's own."""


class AddressNotAllowed(RequestError):
    """The URL leads to an address that is not public. The message never tells which address."""


class UrlsNotRead(RequestError):
    """The stack is in a private network, from where no URL can be read."""


class NotFound(RequestError):
    """No such route or object."""


class MethodNotAllowed(RequestError):
    """The route exists, the method does not."""


class ImageTooLarge(RequestError):
    """More bytes than are taken."""


class PicturesTooLarge(RequestError):
    """Pictures that may each be taken, but together are more than an endpoint takes at once."""


class UnsupportedMediaType(RequestError):
    """Neither JPEG nor PNG nor WebP, judged by the first bytes."""


class UrlUnreadable(RequestError):
    """The URL's server failed, refused, or answered with something else than an uncompressed 200."""


class UrlTooSlow(RequestError):
    """The URL was not read within the time limit, which covers resolving, connecting, redirects and the body."""


class RefusedByModel(RequestError):
    """The container refused the picture with a 4xx: its own problem is passed on to the caller."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(detail)
        self._problem = problem

    @property
    def problem(self) -> Problem:
        """What the container answered."""
        return self._problem


class EndpointFailed(RequestError):
    """The endpoint failed on this request."""


class EndpointBusy(RequestError):
    """The endpoint is throttled: the same request may succeed in a moment."""


class EndpointUnavailable(RequestError):
    """The endpoint does not exist or is not in service: nothing was deployed yet, or it is being replaced."""


class InternalError(RequestError):
    """Anything else. The caller learns nothing but the request id; the log has the rest."""


PROBLEMS: dict[type[RequestError], Problem] = {
    BadRequest: Problem(400, "bad-request", "The request cannot be understood"),
    InvalidField: Problem(400, "invalid-field", "A field is not valid"),
    BadUrl: Problem(400, "bad-url", "The URL is not one that is read"),
    Forbidden: Problem(403, "forbidden", "Not this stack's own"),
    AddressNotAllowed: Problem(403, "address-not-allowed", "The URL does not lead to a public address"),
    UrlsNotRead: Problem(403, "urls-not-read", "This stack reads no URLs"),
    NotFound: Problem(404, "not-found", "There is no such thing"),
    MethodNotAllowed: Problem(405, "method-not-allowed", "The method is not allowed"),
    ImageTooLarge: Problem(413, "image-too-large", "The picture is too large"),
    PicturesTooLarge: Problem(413, "pictures-too-large", "The pictures are too large together"),
    UnsupportedMediaType: Problem(415, "unsupported-media-type", "Not a JPEG, PNG or WebP picture"),
    UrlUnreadable: Problem(422, "url-unreadable", "The URL could not be read"),
    UrlTooSlow: Problem(422, "url-too-slow", "The URL could not be read in time"),
    EndpointFailed: Problem(502, "endpoint-failed", "The model failed"),
    EndpointBusy: Problem(503, "endpoint-busy", "The model is busy", retry_after_seconds=1),
    EndpointUnavailable: Problem(503, "endpoint-unavailable", "No model is in service", retry_after_seconds=30),
    InternalError: Problem(500, "internal", "Something went wrong on our side"),
}


def problem_document(error: RequestError) -> dict[str, object]:
    """The problem JSON (RFC 9457) of `error`."""
    problem = error.problem
    return {
        "type": f"about:blank#{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": str(error) or problem.title,
    }
