"""Step Functions under the roles of its state machines: what a state calls."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from typing import Any, Protocol

from ministack.services import stepfunctions as sfn

from local_aws.credentials import Principal
from local_aws.iam import gate
from local_aws.iam.callers import AccessDeniedError, acting, allowed, assume, enforced, require
from local_aws.iam.policy import Request
from local_aws.iam.wire import function_arn
from local_aws.settings import ACCOUNT_ID, REGION
from local_aws.store import Record

logger = logging.getLogger("local_aws.iam")

STATES = "states.amazonaws.com"
ASSUME_REFUSED = (
    f"Neither the global service principal {STATES}, nor the regional one is authorized to assume the provided role."
)
# What a call is named in error reports that does not pass MiniStack's table of handlers, and its service there.
_DIRECT = {
    "lambda": ("lambda", "Lambda.AWSLambdaException", "AWSLambda", 403),
    "sns": ("sns", "SNS.AmazonSNSException", "AmazonSNS", 403),
    "sqs": ("sqs", "SQS.AmazonSQSException", "AmazonSQS", 403),
    "events": ("events", "EventBridge.AmazonEventBridgeException", "AmazonEventBridge", 400),
    "dynamodb": ("dynamodb", "DynamoDB.AmazonDynamoDBException", "AmazonDynamoDBv2", 400),
    "ecs": ("ecs", "ECS.AmazonECSException", "AmazonECS", 400),
}
_TRACE = ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets")


def principal(role_arn: str, machine_arn: str, execution_arn: str) -> Principal:
    """The machine's role as an execution holds it. Raises AccessDeniedError."""
    return assume(role_arn, STATES, machine_arn, hashlib.sha256(execution_arn.encode()).hexdigest()[:32])


def _error(name: str, cause: str) -> Exception:
    error: Exception = sfn._ExecutionError(name, cause)
    return error


class Called(Protocol):
    """A Task's Resource in its parts (stepfunctions.integrations.Resource)."""

    @property
    def arn(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def pattern(self) -> str: ...
    @property
    def is_sdk(self) -> bool: ...


@contextlib.contextmanager
def calling(called: Called, arguments: Any, execution: Record | None, role: str) -> Iterator[None]:
    """One call of a state, under `role`. Raises sfn._ExecutionError when the role may not.

    Services behind MiniStack's handlers judge by themselves (gate.py); the others are judged here, and what `.sync`
    takes besides: Step Functions tags the SageMaker jobs it waits for, and lists their tags.
    """
    machine = execution["stateMachineArn"] if execution else f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:-"
    try:
        who = principal(role, machine, execution["executionArn"] if execution else machine)
    except AccessDeniedError as error:
        raise sfn._ExecutionError("States.TaskFailed", f"{ASSUME_REFUSED} ({error.message})") from error
    with acting(who):
        if enforced():
            _judge(called, arguments if isinstance(arguments, dict) else {})
        yield


def _judge(called: Called, arguments: Record) -> None:
    service, name, label, status = _DIRECT.get(called.service, ("", "", "", 0))
    if called.is_sdk:
        return
    try:
        if called.service == "lambda":
            function = arguments.get("FunctionName", "") if called.arn.startswith("arn:aws:states:") else called.arn
            require(gate.needed("lambda", "InvokeFunction", {"FunctionArn": function_arn(str(function))}))
        elif called.service == "apigateway":
            name, label, status = "ApiGateway.403", "ApiGateway", 403
            require(_api_requests(arguments))
        elif service:
            require(gate.needed(service, called.action[:1].upper() + called.action[1:], arguments))
        elif called.service == "sagemaker" and called.pattern.startswith(".sync"):
            name, label, status = "SageMaker.AmazonSageMakerException", "AmazonSageMaker", 400
            kind = called.action.removeprefix("create")
            arns = [one.resource for one in gate.needed("sagemaker", f"Describe{kind}", arguments)]
            require(Request(f"sagemaker:{action}", arn) for arn in arns for action in ("AddTags", "ListTags"))
    except AccessDeniedError as error:
        cause = f"{error.message} (Service: {label}; Status Code: {status}; Error Code: AccessDeniedException)"
        raise sfn._ExecutionError(name, cause) from error


def _api_requests(arguments: Record) -> Iterator[Request]:
    """What calling a REST API takes: nothing unless the call is signed with the role."""
    if arguments.get("AuthType", "NO_AUTH") != "NO_AUTH":
        api = str(arguments.get("ApiEndpoint", "")).partition(".")[0]
        path = (
            f"{arguments.get('Stage', '')}/{arguments.get('Method', '')}/{str(arguments.get('Path', '')).lstrip('/')}"
        )
        yield Request("execute-api:Invoke", f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{api}/{path}")


def trace(execution: Record) -> None:
    """X-Ray, where the machine has tracing on: without the rights the execution runs and has no trace, as on AWS."""
    machine = sfn._state_machines.get(execution["stateMachineArn"]) or {}
    if not (machine.get("tracingConfiguration") or {}).get("enabled") or not enforced():
        return
    try:
        who = principal(machine["roleArn"], execution["stateMachineArn"], execution["executionArn"])
    except AccessDeniedError:
        return
    for name in _TRACE:
        for wanted in gate.needed("xray", name, {}):
            if refusal := allowed(who, wanted):
                logger.warning("no trace of %s: %s", execution["executionArn"], refusal)
