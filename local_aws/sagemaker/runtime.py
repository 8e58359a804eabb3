"""sagemaker-runtime: InvokeEndpoint."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from local_aws import logs, metrics, settings
from local_aws.dispatch import COVERAGE
from local_aws.errors import ApiError, Response, error_response
from local_aws.httpclient import Answer, ConnectionLostError
from local_aws.sagemaker.endpoints import Endpoints
from local_aws.sagemaker.fleet import BODY_MAX_BYTES, Fleet
from local_aws.sagemaker.instance import Instance
from local_aws.sagemaker.rollout import AnyFleet
from local_aws.settings import ACCOUNT_ID, REGION

INVOCATIONS = re.compile(r"^/endpoints/([^/]+)/(invocations|async-invocations|invocations-response-stream)$")
_FORWARDED = {
    "content-type": "Content-Type",
    "accept": "Accept",
    "x-amzn-sagemaker-custom-attributes": "X-Amzn-SageMaker-Custom-Attributes",
    "x-amzn-sagemaker-inference-id": "X-Amzn-SageMaker-Inference-Id",
}
_REFUSED = ("x-amzn-sagemaker-target-model", "x-amzn-sagemaker-inference-component", "x-amzn-sagemaker-session-id")
_OPERATIONS = {
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


def _endpoint_name(path: str) -> str:
    """The endpoint an InvokeEndpoint names. Raises ApiError for the other operations of sagemaker-runtime."""
    match = INVOCATIONS.match(path)
    if match is None:
        raise ApiError("UnknownOperationException", f"no such path: {path}", 404)
    if match.group(2) != "invocations":
        name = _OPERATIONS[match.group(2)]
        raise ApiError("NotImplementedException", f"{name} is not there in the local AWS: see {COVERAGE}", 501)
    return unquote(match.group(1))


class Runtime:
    """Passes requests to the instances of an endpoint."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    async def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answers POST /endpoints/NAME/invocations."""
        try:
            return await self._invoke(_endpoint_name(path), headers, body)
        except ApiError as error:
            status, answer_headers, answer = error_response(error)
            return status, {**answer_headers, "Content-Type": "application/json"}, answer

    async def _invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> Response:
        started = time.perf_counter()
        for header in _REFUSED:
            if headers.get(header):
                raise ApiError("ValidationError", f"{header} is not there in the local AWS: see {COVERAGE}")
        variant, fleet = self._found(name, headers.get("x-amzn-sagemaker-target-variant"))
        if len(body) > fleet.body_max_bytes:
            raise ApiError("ValidationError", f"HTTP content length exceeded {fleet.body_max_bytes} bytes.", 413)
        sent = {out: headers[key] for key, out in _FORWARDED.items() if headers.get(key)}
        outcome = Outcome()
        try:
            answer = await self._ask(fleet, sent, body, outcome)
        except ApiError as error:
            outcome.status = error.members.get("OriginalStatusCode", error.status)
            raise
        finally:
            outcome.count(fleet, time.perf_counter() - started)
        answered = {
            "Content-Type": answer.headers.get("content-type", ""),
            "x-Amzn-Invoked-Production-Variant": variant,
        }
        attributes = answer.headers.get("x-amzn-sagemaker-custom-attributes")
        if attributes:
            answered["X-Amzn-SageMaker-Custom-Attributes"] = attributes
        return 200, answered, answer.body

    def _found(self, name: str, wanted: str | None) -> tuple[str, AnyFleet]:
        found = self.endpoints.fleet(name, wanted)
        if found is not None:
            return found
        if wanted and self.endpoints.fleets.get(name):
            raise ApiError("ValidationError", f"Variant {wanted} of endpoint {name} not found.")
        raise ApiError("ValidationError", f"Endpoint {name} of account {ACCOUNT_ID} not found.")

    @staticmethod
    async def _ask(fleet: AnyFleet, headers: Mapping[str, str], body: bytes, outcome: Outcome) -> Answer:
        """The answer of one instance; a connection that dies is tried once more, on another instance."""
        tried: Instance | None = None
        for _ in range(2):
            instance = await fleet.acquire(avoid=tried)
            if instance is None:
                break
            started = time.perf_counter()
            left = settings.invoke_timeout_seconds() - outcome.model_seconds
            try:
                answer = await instance.client.request("POST", "/invocations", headers, body, max(0.01, left))
            except ConnectionLostError:
                tried = instance
            except TimeoutError:
                raise _model_error(instance, 0, _TIMED_OUT) from None
            else:
                _raise_model_error(instance, answer)
                outcome.status = 200
                return answer
            finally:
                outcome.model_seconds += time.perf_counter() - started
                fleet.release(instance)
        raise ApiError("ServiceUnavailable", "The service is currently unavailable: no healthy instance answered.", 503)


def _raise_model_error(instance: Instance, answer: Answer) -> None:
    if answer.status >= 300:
        raise _model_error(instance, answer.status, answer.body.decode(errors="replace"))
    if len(answer.body) > BODY_MAX_BYTES:
        raise _model_error(instance, 500, f"The response is larger than {BODY_MAX_BYTES} bytes.")


@dataclass
class Outcome:
    """What one request came to: its status (0: no answer in time) and the seconds that the container had it."""

    status: int = 500
    model_seconds: float = 0.0

    def count(self, fleet: AnyFleet, spent: float) -> None:
        """AWS/SageMaker's metrics of the request: by endpoint and variant, and by configuration, too.

        The latter tell the fleets of an update apart. `spent` seconds are the whole request; latencies are in
        microseconds, as on AWS.
        """
        variant = fleet.variant
        dimensions = {"EndpointName": variant.endpoint, "VariantName": variant.name}
        model_error = float(self.model_seconds > 0 and self.status != 200)
        values = {
            "Invocations": 1.0,
            "Invocation4XXErrors": float(400 <= self.status < 500),
            "Invocation5XXErrors": float(self.status >= 500 or self.status == 0),
            "InvocationModelErrors": model_error,
        }
        if isinstance(fleet, Fleet):
            values["InvocationsPerInstance"] = 1.0 / max(1, len(fleet.instances))
        latencies = {"ModelLatency": self.model_seconds, "OverheadLatency": max(0.0, spent - self.model_seconds)}
        for where in (dimensions, {**dimensions, "EndpointConfigName": variant.config}):
            for name, value in values.items():
                metrics.put("AWS/SageMaker", name, value, "None", where)
            for name, seconds in latencies.items() if self.model_seconds else ():
                metrics.put("AWS/SageMaker", name, seconds * 1e6, "Microseconds", where)


def _model_error(instance: Instance, status: int, message: str) -> ApiError:
    who = "client" if 400 <= status < 500 else "server"
    group = instance.log_group
    text = (
        f'Received {who} error ({status}) from primary with message "{message}". '
        f"See https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}#logEventViewer:group={group} "
        f"in account {ACCOUNT_ID} for more information."
    )
    return ApiError(
        "ModelError",
        text,
        424,
        OriginalStatusCode=status,
        OriginalMessage=message,
        LogStreamArn=logs.stream_arn(group, instance.log_stream),
    )
