"""One JSON-protocol AWS service: name of the operation in, checked request to its function, answer or error out."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local_aws import models, validation
from local_aws.errors import ApiError, Response, error_response, json_response

logger = logging.getLogger("local_aws")

Operation = Callable[[dict[str, Any]], dict[str, Any] | Awaitable[dict[str, Any]]]
COVERAGE = "local_aws/COVERAGE.md"


class JsonService:
    """The operations of one service by AWS's names. Operations run on the event loop and must not block it."""

    def __init__(self, service: str, operations: Mapping[str, Operation]) -> None:
        self.service = service
        self.operations = dict(operations)

    def model(self) -> Any:
        """botocore's model of the operations that are here."""
        return models.service_model(self.service, tuple(sorted(self.operations)))

    async def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Checks `request` against the model and runs the operation. Raises ApiError."""
        function = self.operations.get(name)
        if function is None:
            raise self._refusal(name)
        validation.check(self.model().operation_model(name), request)
        answer = function(request)
        return await answer if inspect.isawaitable(answer) else answer

    def _refusal(self, name: str) -> ApiError:
        if name in models.operation_names(self.service):
            logger.error("%s:%s is not there in the local AWS", self.service, name)
            return ApiError(
                "NotImplementedException", f"{self.service}:{name} is not there in the local AWS: see {COVERAGE}", 501
            )
        return ApiError("UnknownOperationException", f"{self.service} has no operation {name}", 404)

    async def handle(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Answers one HTTP request of the JSON protocol."""
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        try:
            return json_response(await self.call(name, _parsed(body)))
        except ApiError as error:
            return error_response(error)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"The request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise ApiError("SerializationException", "The request must be a JSON object")
    return request
