"""Creating a state machine: Step Functions asks whether its role can do what the machine itself needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from ministack.services import stepfunctions as sfn

from local_aws.credentials import Principal
from local_aws.errors import ApiError, Response, error_response
from local_aws.iam import gate
from local_aws.iam.callers import AccessDeniedError, allowed, assume, enforced
from local_aws.iam.executions import ASSUME_REFUSED, STATES
from local_aws.iam.policy import Request
from local_aws.settings import ACCOUNT_ID, REGION
from local_aws.store import Record

# The rules by which `.sync` hears of ends; Step Functions makes them under the machine's role when it is created.
RULES = {
    "sagemaker:createTrainingJob": "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
    "sagemaker:createHyperParameterTuningJob": "StepFunctionsGetEventsForSageMakerTuningJobsRule",
    "sagemaker:createTransformJob": "StepFunctionsGetEventsForSageMakerTransformJobsRule",
    "sagemaker:createProcessingJob": "StepFunctionsGetEventsForSageMakerProcessingJobsRule",
    "codebuild:startBuild": "StepFunctionsGetEventForCodeBuildStartBuildRule",
    "states:startExecution": "StepFunctionsGetEventsForStepFunctionsExecutionRule",
}
NO_LOGGING = {"level": "OFF", "includeExecutionData": False}
_DELIVERY = (
    "CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "ListLogDeliveries", "PutResourcePolicy",
    "DescribeResourcePolicies", "DescribeLogGroups", "DeleteLogDelivery",
)  # fmt: skip


def _resources(states: Any) -> Iterator[str]:
    """Every Resource of a definition, nested ones too."""
    if isinstance(states, dict):
        if isinstance(states.get("Resource"), str):
            yield states["Resource"]
        for value in states.values():
            yield from _resources(value)
    elif isinstance(states, list):
        for value in states:
            yield from _resources(value)


def _managed_rules(who: Principal, definition: str) -> None:
    for resource in set(_resources(json.loads(definition))):
        integration, sync, _ = resource.removeprefix("arn:aws:states:::").partition(".sync")
        rule = RULES.get(integration) if sync else None
        for action in ("PutTargets", "PutRule", "DescribeRule") if rule else ():
            wanted = Request(f"events:{action}", f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{rule}")
            if refusal := allowed(who, wanted):
                text = f"'{who.role_arn}' is not authorized to create managed-rule."
                raise AccessDeniedError(f"{text} ({refusal})", wanted.action)


def _log_delivery(who: Principal) -> None:
    for action in _DELIVERY:
        for wanted in gate.needed("logs", action, {}):
            if refusal := allowed(who, wanted):
                text = "The state machine IAM Role is not authorized to access the Log Destination"
                raise AccessDeniedError(f"{text} ({refusal})", wanted.action)


def check_machine(arn: str, role_arn: str, definition: str, logging: Record) -> None:
    """What Step Functions checks of the role when a machine is created or updated. Raises AccessDeniedError."""
    if not enforced():
        return
    try:
        who = assume(role_arn, STATES, arn, "CreateStateMachine")
    except AccessDeniedError as error:
        raise AccessDeniedError(f"{ASSUME_REFUSED} ({error.message})", error.action) from None
    _managed_rules(who, definition)
    if logging.get("level", "OFF") != "OFF":
        _log_delivery(who)


def create_machine(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """CreateStateMachine and UpdateStateMachine, which ask whether the role can do what the machine needs of it."""

    def wrapped(data: Record) -> Response:
        known = sfn._state_machines.get(data.get("stateMachineArn", "")) or {}
        merged = {**known, **data}
        if merged.get("roleArn") and merged.get("definition"):
            arn = (
                merged.get("stateMachineArn") or f"arn:aws:states:{REGION}:{ACCOUNT_ID}:stateMachine:{data.get('name')}"
            )
            try:
                check_machine(arn, merged["roleArn"], merged["definition"], merged.get("loggingConfiguration") or {})
            except ValueError:
                pass  # a definition that is no JSON is the original's to refuse
            except AccessDeniedError as error:
                return error_response(ApiError("AccessDeniedException", error.message))
        return original(data)

    return wrapped


def _as_the_api(value: Any) -> Any:
    """A template's settings as the API has them: its names begin small, and true is no text."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _as_the_api(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_the_api(item) for item in value]
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def machine_provisioner(handlers: Record) -> Record:
    """CloudFormation's handlers of AWS::StepFunctions::StateMachine, with the same check, logging and tracing kept."""

    def keep(arn: str, props: Record) -> None:
        machine = sfn._state_machines.get(arn)
        if machine is not None:
            machine["loggingConfiguration"] = {**NO_LOGGING, **_as_the_api(props.get("LoggingConfiguration") or {})}
            machine["tracingConfiguration"] = {"enabled": False, **_as_the_api(props.get("TracingConfiguration") or {})}

    def create(logical_id: str, props: Record, stack_name: str) -> Any:
        made = handlers["create"](logical_id, props, stack_name)
        machine = sfn._state_machines[made[0]]
        keep(made[0], props)
        try:
            check_machine(made[0], machine["roleArn"], machine["definition"], machine["loggingConfiguration"])
        except AccessDeniedError as error:
            del sfn._state_machines[made[0]]
            text = "(Service: AWSStepFunctions; Status Code: 400; Error Code: AccessDeniedException)"
            raise ValueError(f"Resource handler returned message: {error.message} {text}") from error
        return made

    def update(physical_id: str, old: Record, new: Record, stack_name: str, logical_id: str | None = None) -> Any:
        made = handlers["update"](physical_id, old, new, stack_name, logical_id)
        keep(made[0], new)
        return made

    return {**handlers, "create": create, "update": update}
