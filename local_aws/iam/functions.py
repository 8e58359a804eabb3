"""Lambda functions under their roles: credentials in the worker's environment, and the right to write their own log."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from local_aws import credentials
from local_aws.credentials import Principal
from local_aws.iam import services
from local_aws.iam.callers import AccessDeniedError, assume, enforced
from local_aws.store import Record

LAMBDA = "lambda.amazonaws.com"
_LIFE = uuid.uuid4().hex  # in the names of the log streams
REFUSED = "The role defined for the function cannot be assumed by Lambda."


def check_role(role_arn: str, function_arn: str, name: str) -> Principal:
    """The role as Lambda takes it on. Raises AccessDeniedError in Lambda's words."""
    try:
        return assume(role_arn, LAMBDA, function_arn, name)
    except AccessDeniedError as error:
        raise AccessDeniedError(f"{REFUSED} ({error.message})", error.action) from None


def execution_credentials(original: Callable[[Record], dict[str, str]]) -> Callable[[Record], dict[str, str]]:
    """What a worker finds in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."""

    def wrapped(config: Record) -> dict[str, str]:
        role = config.get("Role", "")
        if not enforced() or not role:
            return original(config)
        name = config.get("FunctionName", "")
        check_role(role, config.get("FunctionArn", ""), name)
        # A worker lives as long as it is asked something; AWS renews it now and then, which is not done here.
        issued = credentials.issue(role, name, lifetime_s=365 * 24 * 3600)
        return {
            "AWS_ACCESS_KEY_ID": issued["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": issued["SecretAccessKey"],
            "AWS_SESSION_TOKEN": issued["SessionToken"],
        }

    return wrapped


def emit_logs(memory_mb: Callable[[Record], int]) -> Callable[..., None]:
    """A call's log lines, which appear only if the function's role may write them; the call itself works.

    MiniStack makes a log stream for every call. On AWS there is one for each environment; here a version of a function
    has one a day.
    """

    def emit(
        func: Record, request_id: str, log_text: str, error: bool, duration_ms: int, *, log_source: str | None = None
    ) -> None:
        from ministack.services import cloudwatch_logs  # noqa: PLC0415

        from local_aws import logs  # noqa: PLC0415

        config = func.get("config") or func
        name, version = config.get("FunctionName", "unknown"), config.get("Version", "$LATEST")
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        principal = Principal(config["Role"], name) if config.get("Role") else None
        if not services.may_log(principal, group, name, group in cloudwatch_logs._log_groups):
            return
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {duration_ms} ms\tBilled Duration: {duration_ms} ms\t"
            f"Memory Size: {config.get('MemorySize', 128)} MB\tMax Memory Used: {memory_mb(func)} MB"
        )
        start, end = f"START RequestId: {request_id} Version: {version}", f"END RequestId: {request_id}"
        stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{version}]{_LIFE}"
        logs.append(group, stream, [start, *log_text.splitlines(), end, report])

    return emit


def provisioner(handlers: Record) -> Record:
    """CloudFormation's handlers of AWS::Lambda::Function, which refuse a role that Lambda cannot take on."""

    def create(logical_id: str, props: Record, stack_name: str) -> Any:
        from ministack.services import lambda_svc  # noqa: PLC0415

        made = handlers["create"](logical_id, props, stack_name)
        config = lambda_svc._functions[made[0]]["config"]
        try:
            check_role(config["Role"], config["FunctionArn"], made[0])
        except AccessDeniedError as error:
            handlers["delete"](made[0], props)
            text = "(Service: Lambda, Status Code: 400, Error Code: InvalidParameterValueException)"
            raise ValueError(f"Resource handler returned message: {error.message} {text}") from error
        return made

    return {**handlers, "create": create}
