"""Every problem this server answers with, in one table, as RFC 9457 problem documents."""

from http import HTTPStatus
from typing import Any

from serving.preprocess import BadImage

# slug -> (status, title). A slug is stable: clients and `classify` go by it.
PROBLEMS: dict[str, tuple[int, str]] = {
    "unreadable-image": (400, "The picture cannot be read"),
    "bad-attributes": (400, "The custom attributes cannot be understood"),
    "not-explained": (400, "This model gives no heat map"),
    "bad-body": (400, "The body is not what its content type says"),
    "not-found": (404, "There is nothing at this path"),
    "method-not-allowed": (405, "The method does not fit the path"),
    "request-timeout": (408, "The request took too long to arrive"),
    "image-too-large": (413, "The picture is too large"),
    "unsupported-media-type": (415, "Only JPEG, PNG and WebP pictures are read"),
    "internal": (500, "The server failed"),
    "overloaded": (503, "More pictures are waiting than the server takes"),
    "not-ready": (503, "The server is not ready, or is stopping"),
}


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """Ends a request with one of PROBLEMS. `headers` go with the answer."""

    def __init__(self, slug: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.status, self.title = PROBLEMS[slug]
        self.headers = headers or {}

    @classmethod
    def of(cls, error: Exception) -> "Problem":
        """The problem an exception stands for. What is not foreseen is `internal`, and says nothing of its inside."""
        if isinstance(error, Problem):
            return error
        if isinstance(error, BadImage):
            return cls(error.slug, str(error))
        return cls("internal", "The failure is in the server's log.")

    def document(self) -> dict[str, Any]:
        """The problem document."""
        return {
            "type": f"about:blank#{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail or HTTPStatus(self.status).phrase,
        }
