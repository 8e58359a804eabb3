"""EventBridge's rules and schedules, which call their targets under the target's role."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from local_aws import metrics
from local_aws.iam import gate
from local_aws.iam.callers import AccessDeniedError, assume, enforced, require
from local_aws.iam.wire import function_arn
from local_aws.settings import ACCOUNT_ID, REGION
from local_aws.store import Record

logger = logging.getLogger("local_aws.iam")

# Service in the target's ARN -> operation and its member for the target.
_OPERATIONS = {
    "states": ("states", "StartExecution", "stateMachineArn"),
    "lambda": ("lambda", "InvokeFunction", "FunctionArn"),
    "sns": ("sns", "Publish", "TopicArn"),
}


def _source(rule: Record, event: Record) -> tuple[str, str]:
    """Who calls: the service, and the ARN that trust policies see. A schedule shows its group."""
    if event.get("Source") == "aws.scheduler":
        group = rule.get("GroupName", "default")
        return "scheduler.amazonaws.com", f"arn:aws:scheduler:{REGION}:{ACCOUNT_ID}:schedule-group/{group}"
    return "events.amazonaws.com", f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{rule.get('Name', '')}"


def _judge(target: Record, rule: Record, event: Record) -> None:
    service, source = _source(rule, event)
    principal = assume(target["RoleArn"], service, source, rule.get("Name", "schedule"))
    name = str(target.get("Arn", "")).split(":")[2]
    where, operation, member = _OPERATIONS.get(name, (name, "(of this target)", "Arn"))
    arn = function_arn(target["Arn"]) if name == "lambda" else target["Arn"]
    require(gate.needed(where, operation, {member: arn}), principal)


def invoke_target(original: Callable[..., None]) -> Callable[..., None]:
    """A target that its role may not call is not called: FailedInvocations of AWS/Events counts it."""

    def wrapped(target: Record, event: Record, rule: Record, view: Any = None) -> None:
        if target.get("RoleArn") and enforced():
            try:
                _judge(target, rule, event)
            except AccessDeniedError as error:
                name = rule.get("Name", "")
                logger.warning("target %s of %s not called: %s", target.get("Arn"), name, error.message)
                metrics.put("AWS/Events", "FailedInvocations", 1.0, "Count", {"RuleName": name})
                return
        original(target, event, rule, view)

    return wrapped
