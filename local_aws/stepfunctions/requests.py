"""One request to a service of the local AWS, written and read by botocore's own serializers from its models."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

from botocore import parsers, serialize
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from ministack import app
from ministack.services import stepfunctions as sfn

from local_aws import models
from local_aws.dispatch import COVERAGE
from local_aws.settings import REGION
from local_aws.stepfunctions import names


@dataclass(frozen=True)
class Service:
    """Where a service is: botocore's name of it, and MiniStack's."""

    botocore: str
    handler: str


# By the names that Step Functions gives services. The others are left to MiniStack's own dispatcher.
SERVICES = {
    "applicationautoscaling": Service("application-autoscaling", "application-autoscaling"),
    "cloudformation": Service("cloudformation", "cloudformation"),
    "cloudwatchlogs": Service("logs", "logs"),
    "codebuild": Service("codebuild", "codebuild"),
    "ec2": Service("ec2", "ec2"),
    "ecr": Service("ecr", "ecr"),
    "eventbridge": Service("events", "events"),
    "iam": Service("iam", "iam"),
    "resourcegroupstaggingapi": Service("resourcegroupstaggingapi", "tagging"),
    "s3": Service("s3", "s3"),
    "sagemaker": Service("sagemaker", "sagemaker"),
    "sfn": Service("stepfunctions", "states"),
    "ssm": Service("ssm", "ssm"),
}
OURS = ("sagemaker", "application-autoscaling")


class ServiceError(Exception):
    """The service refused: its error code, message and HTTP status; `model` is botocore's of the operation."""

    def __init__(self, model: Any, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.model = model
        self.code = code
        self.message = message
        self.status = status

    def sdk_name(self) -> str:
        """The error of an `aws-sdk:` integration: a modelled one by its class, any other by the service's."""
        service = self.model.service_model
        prefix = names.error_prefix(service.metadata["serviceId"])
        if service.service_name in OURS:  # cut down to what is there, errors included; the whole is 100 MB
            shape = next((one.name for one in service.error_shapes if one.name == self.code), None)
        else:
            shape = _modelled_errors(service.service_name).get(self.code)
        return f"{prefix}.{names.error_class(shape) if shape else f'{prefix}Exception'}"


def operation_model(service: Service, operation: str) -> Any:
    """botocore's model of the operation. Raises names.ArgumentError when it is not there in the local AWS."""
    missing = names.ArgumentError(f"{service.botocore}:{operation} is not there in the local AWS: see {COVERAGE}")
    if service.handler in OURS:
        model = sfn._service_model(service.handler)
        if operation not in model.operation_names:
            raise missing
        return model.operation_model(operation)
    try:
        return models.service_model(service.botocore, (operation,)).operation_model(operation)
    except KeyError:
        raise missing from None


def send(service: Service, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The operation's answer as botocore parses it. Raises ServiceError and names.ArgumentError."""
    model = operation_model(service, operation)
    protocol = model.service_model.metadata["protocol"]
    try:
        request = serialize.create_serializer(protocol, include_validation=False).serialize_to_request(
            parameters, model
        )
    except (KeyError, TypeError, ValueError) as error:
        raise names.ArgumentError(
            f"{service.botocore}:{operation} cannot be called with these arguments: {error}"
        ) from error
    status, headers, body = _exchange(service, request)
    if model.has_streaming_output and status < 300:
        body = body.decode(errors="replace").encode()
    answer = {"status_code": status, "headers": HeadersDict(headers), "body": body, "context": {}}
    parsed: dict[str, Any] = parsers.create_parser(protocol).parse(answer, model.output_shape)
    if status >= 300:
        raise _error(model, parsed, status)
    parsed.pop("ResponseMetadata", None)
    return parsed


def _exchange(service: Service, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """One HTTP request, without HTTP. Runs on the serving loop; this thread waits."""
    body = request["body"]
    body = urlencode(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    path, _, query = request["url_path"].partition("?")
    arguments = parse_qs(query, keep_blank_values=True)
    for name, value in (request["query_string"] or {}).items():
        arguments[name] = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    credential = f"test/20260101/{REGION}/{service.handler}/aws4_request"
    headers = {name.lower(): str(value) for name, value in request["headers"].items()} | {
        "host": f"{service.handler}.{REGION}.amazonaws.com",
        "content-length": str(len(body)),
        "authorization": f"AWS4-HMAC-SHA256 Credential={credential}",
    }
    handler = app.SERVICE_HANDLERS.get(service.handler)
    status, answered, text = app.call_service_handler_sync(
        handler, request["method"], unquote(path), headers, body, arguments
    )
    return status, dict(answered or {}), text.encode() if isinstance(text, str) else bytes(text or b"")


def _error(model: Any, parsed: dict[str, Any], status: int) -> Exception:
    error = parsed.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    if status == 501:  # ours: this local AWS lacks it, and no Catch of the service's errors should hide that
        return names.ArgumentError(message)
    if model.service_model.service_name == "s3" and status == 404 and model.name.startswith("Head"):
        # HEAD has no body; SDK 2 names what is missing after the operation.
        code = "NoSuchKey" if model.name == "HeadObject" else "NoSuchBucket"
        message = "Not Found"
    return ServiceError(model, code, message, status)


@functools.cache
def _modelled_errors(botocore_name: str) -> dict[str, str]:
    """Error code -> name of its shape, of the whole service: an SDK knows them all, whatever the operation."""
    shapes = Loader().load_service_model(botocore_name, "service-2")["shapes"]
    found = {}
    for name, shape in shapes.items():
        if shape.get("exception"):
            found[name] = name
            found[shape.get("error", {}).get("code", name)] = name
    return found


def s3_body(value: Any) -> bytes:
    """The Body of s3:putObject as Step Functions writes it: any value as JSON, a text thus in quotation marks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def operation_name(action: str) -> str:
    """The API's name of an action of a state machine: listObjectsV2 is ListObjectsV2."""
    return re.sub(r"^[a-z]", lambda first: first[0].upper(), action)
