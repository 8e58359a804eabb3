"""The one place where a state of an execution calls a service."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from ministack.services import stepfunctions as sfn

from local_aws.dispatch import COVERAGE
from local_aws.iam import executions
from local_aws.stepfunctions import apigateway, names, requests
from local_aws.stepfunctions.requests import SERVICES, Service, ServiceError
from local_aws.stepfunctions.running import current

_ARN = re.compile(r"(arn:aws[a-z-]*:states:::(aws-sdk:)?([A-Za-z0-9-]+):([A-Za-z0-9]+))((?:\.[A-Za-z]+)?(?::\d)?)")
PATTERNS = ("", ".sync", ".sync:2", ".waitForTaskToken")


@dataclass(frozen=True)
class Resource:
    """A Task's Resource: `arn:aws:states:::[aws-sdk:]SERVICE:ACTION[PATTERN]`, a function's or an activity's ARN."""

    arn: str  # without the pattern
    service: str
    action: str
    pattern: str
    is_sdk: bool

    @classmethod
    def parse(cls, text: str) -> Resource:
        """The parts of a Resource."""
        match = _ARN.fullmatch(text)
        if match and match[5] in PATTERNS:
            return cls(match[1], match[3], match[4], match[5], bool(match[2]))
        return cls(text, "activity" if ":activity:" in text else "lambda", text.rpartition(":")[2], "", False)

    @property
    def resource_type(self) -> str:
        """`resourceType` of a history event."""
        return f"aws-sdk:{self.service}" if self.is_sdk else self.service

    def calling(self, action: str) -> Resource:
        """Another request of the same integration, such as describeTrainingJob of createTrainingJob.sync."""
        return Resource(self.arn.rpartition(":")[0] + f":{action}", self.service, action, "", self.is_sdk)


@dataclass(frozen=True)
class Optimized:
    """An optimized integration: who answers, and how its errors are called (they are of SDK 1 for Java)."""

    service: Service
    prefix: str
    label: str
    actions: frozenset[str]
    fields: dict[str, frozenset[str]]  # of actions that take fewer than the API has


OPTIMIZED = {
    "sagemaker": Optimized(
        SERVICES["sagemaker"],
        "SageMaker",
        "AmazonSageMaker",
        frozenset(
            {
                "addTags",
                "createEndpoint",
                "createEndpointConfig",
                "createHyperParameterTuningJob",
                "createModel",
                "createProcessingJob",
                "createTrainingJob",
                "createTransformJob",
                "updateEndpoint",
            }
        ),
        {"updateEndpoint": frozenset({"EndpointConfigName", "EndpointName"})},
    ),
    "codebuild": Optimized(
        SERVICES["codebuild"],
        "CodeBuild",
        "AWSCodeBuild",
        frozenset({"startBuild", "stopBuild", "batchDeleteBuilds", "batchGetReports"}),
        {},
    ),
    "states": Optimized(
        SERVICES["sfn"],
        "StepFunctions",
        "AWSStepFunctions",
        frozenset({"startExecution"}),
        {"startExecution": frozenset({"StateMachineArn", "Input", "Name", "TraceHeader"})},
    ),
}


def check_there(resource: Resource) -> None:
    """Raises sfn._ExecutionError for an optimized action that does not exist, or not in the local AWS."""
    optimized = None if resource.is_sdk else OPTIMIZED.get(resource.service)
    if optimized is not None and resource.action not in optimized.actions:
        raise sfn._ExecutionError("States.Runtime", f"{resource.arn} is not there in the local AWS: see {COVERAGE}")


def call_integration(resource: Resource, arguments: Any, role: str) -> Any:
    """One request to a service and its answer, as the state machine sees it.

    Everything that states do to services passes here, once a request: the call itself, and with `.sync` the
    description of what ended and the stop of what must not go on. It runs under `role`, the state machine's roleArn,
    and fails with the error of that service when the role may not.
    `arguments` are the state's (PascalCase). Raises sfn._ExecutionError.
    """
    with executions.calling(resource, arguments, current.get(), role):
        return _called(resource, arguments, role)


def _called(resource: Resource, arguments: Any, role: str) -> Any:
    optimized = None if resource.is_sdk else OPTIMIZED.get(resource.service)
    if optimized is not None:
        return _optimized(resource, optimized, arguments)
    if resource.is_sdk and resource.service in SERVICES:
        return _sdk(resource, SERVICES[resource.service], arguments)
    if (resource.is_sdk, resource.service, resource.action) == (False, "apigateway", "invoke"):
        return apigateway.invoke(arguments, role)
    return sfn._invoke_resource(resource.arn, arguments)


def _sdk(resource: Resource, service: Service, arguments: Any) -> Any:
    operation = requests.operation_name(resource.action)
    try:
        model = requests.operation_model(service, operation)
        answer = requests.send(service, operation, _parameters(model, arguments))
    except names.ArgumentError as error:
        raise _refused(arguments, error) from error
    except ServiceError as error:
        prefix = error.sdk_name().partition(".")[0]
        cause = f"{error.message} (Service: {prefix}, Status Code: {error.status}, Request ID: {uuid.uuid4()})"
        raise sfn._ExecutionError(error.sdk_name(), cause) from error
    return names.shown(model.output_shape, answer, names.sdk_name, names.iso)


def _optimized(resource: Resource, optimized: Optimized, arguments: Any) -> Any:
    operation = requests.operation_name(resource.action)
    try:
        model = requests.operation_model(optimized.service, operation)
        _check_fields(optimized.fields.get(resource.action), arguments)
        answer = requests.send(optimized.service, operation, _parameters(model, arguments))
    except names.ArgumentError as error:
        raise _refused(arguments, error) from error
    except ServiceError as error:
        known = any(error.code == shape.name for shape in model.error_shapes)
        name = names.error_class(error.code) if known else f"{optimized.label}Exception"
        cause = f"{error.message} (Service: {optimized.label}; Status Code: {error.status}; Error Code: {error.code})"
        raise sfn._ExecutionError(f"{optimized.prefix}.{name}", cause) from error
    return names.shown(model.output_shape, answer, names.pascal, names.milliseconds)


def _check_fields(accepted: frozenset[str] | None, arguments: Any) -> None:
    for field in arguments if isinstance(arguments, dict) else ():
        if accepted is not None and field not in accepted:
            raise names.ArgumentError(f'The field "{field}" is not supported by Step Functions')


def _parameters(model: Any, arguments: Any) -> dict[str, Any]:
    if model.input_shape is None:
        return {}
    arguments = dict(arguments) if isinstance(arguments, dict) else arguments
    where = (model.service_model.service_name, model.name)
    if where == ("s3", "PutObject") and isinstance(arguments, dict) and "Body" in arguments:
        body = requests.s3_body(arguments.pop("Body"))
        return {"ContentType": "text/plain; charset=UTF-8", **_checked(model, arguments), "Body": body}
    if where == ("stepfunctions", "StartExecution") and isinstance(arguments, dict) and arguments.get("Input") is None:
        arguments["Input"] = {}
    return _checked(model, arguments)


def _checked(model: Any, arguments: Any) -> dict[str, Any]:
    checked: dict[str, Any] = names.parameters(model.input_shape, arguments, "Arguments")
    return checked


def _refused(arguments: Any, error: Exception) -> Exception:
    """What Step Functions itself refuses: no state can catch it."""
    shown = json.dumps(arguments, default=str)
    refused: Exception = sfn._ExecutionError(
        "States.Runtime", f"The Parameters '{shown}' could not be used to start the Task: [{error}]"
    )
    return refused
