"""sagemaker-runtime: InvokeEndpoint."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from urllib.parse import unquote

from local_aws import logs, metrics, settings
from local_aws.dispatch import COVERAGE
from local_aws.errors import ApiError, Response, error_response
from local_aws.httpclient import Answer, ConnectionLostError
from local_aws.sagemaker.endpoints import Endpoints
from local_aws.sagemaker.fleet import Fleet, Instance
from local_aws.settings import ACCOUNT_ID, REGION

BODY_MAX_BYTES = 6_291_456
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
        if len(body) > BODY_MAX_BYTES:
            raise ApiError("ValidationError", f"HTTP content length exceeded {BODY_MAX_BYTES} bytes.", 413)
        variant_wanted = headers.get("x-amzn-sagemaker-target-variant")
        found = self.endpoints.fleet(name, variant_wanted)
        if found is None:
            if variant_wanted and self.endpoints.fleet(name, None):
                raise ApiError("ValidationError", f"Variant {variant_wanted} of endpoint {name} not found.")
            raise ApiError("ValidationError", f"Endpoint {name} of account {ACCOUNT_ID} not found.")
        variant, fleet = found
        dimensions = {"EndpointName": name, "VariantName": variant}
        sent = {out: headers[key] for key, out in _FORWARDED.items() if headers.get(key)}
        model_seconds = 0.0
        status = 500
        try:
            asked = time.perf_counter()
            answer, instance = await self._ask(fleet, sent, body)
            model_seconds = time.perf_counter() - asked
            self._raise_model_error(instance, answer)
            status = 200
        except ApiError as error:
            status = error.members.get("OriginalStatusCode", error.status)
            raise
        finally:
            spent = time.perf_counter() - started
            self._count(dimensions, len(fleet.instances), status, model_seconds, spent)
        answered = {
            "Content-Type": answer.headers.get("content-type", ""),
            "x-Amzn-Invoked-Production-Variant": variant,
        }
        attributes = answer.headers.get("x-amzn-sagemaker-custom-attributes")
        if attributes:
            answered["X-Amzn-SageMaker-Custom-Attributes"] = attributes
        return 200, answered, answer.body

    @staticmethod
    async def _ask(fleet: Fleet, headers: Mapping[str, str], body: bytes) -> tuple[Answer, Instance]:
        """The answer of one instance; a connection that dies is tried once more, on another instance."""
        deadline = time.monotonic() + settings.invoke_timeout_seconds()
        tried: Instance | None = None
        for _ in range(2):
            instance = fleet.choose(avoid=tried)
            if instance is None:
                break
            instance.in_flight += 1
            try:
                left = max(0.01, deadline - time.monotonic())
                return await instance.client.request("POST", "/invocations", headers, body, left), instance
            except ConnectionLostError:
                tried = instance
            except TimeoutError:
                raise _model_error(instance, 0, _TIMED_OUT) from None
            finally:
                instance.in_flight -= 1
        raise ApiError("ServiceUnavailable", "The service is currently unavailable: no healthy instance answered.", 503)

    @staticmethod
    def _raise_model_error(instance: Instance, answer: Answer) -> None:
        if answer.status >= 300:
            raise _model_error(instance, answer.status, answer.body.decode(errors="replace"))
        if len(answer.body) > BODY_MAX_BYTES:
            raise _model_error(instance, 500, f"The response is larger than {BODY_MAX_BYTES} bytes.")

    @staticmethod
    def _count(dimensions: dict[str, str], instances: int, status: int, model_seconds: float, spent: float) -> None:
        """AWS/SageMaker's endpoint metrics of one request; latencies are in microseconds, as on AWS."""
        values = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0 / max(1, instances),
            "Invocation4XXErrors": float(400 <= status < 500),
            "Invocation5XXErrors": float(status >= 500 or status == 0),
        }
        for name, value in values.items():
            metrics.put("AWS/SageMaker", name, value, "None", dimensions)
        if model_seconds:
            metrics.put("AWS/SageMaker", "ModelLatency", model_seconds * 1e6, "Microseconds", dimensions)
            metrics.put(
                "AWS/SageMaker", "OverheadLatency", max(0.0, spent - model_seconds) * 1e6, "Microseconds", dimensions
            )


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
