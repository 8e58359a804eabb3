"""Who makes a call, and whether they may: one question for HTTP, integrations, jobs, endpoints, builds and targets.

No caller at all is the person at the keyboard (credentials `test`), or the emulator itself: an administrator.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterable, Iterator

from local_aws.credentials import Principal
from local_aws.iam import kms, roles
from local_aws.iam.conditions import PolicyError
from local_aws.iam.policy import Decision, Request, Statement, evaluate, names_everyone, names_role, names_service
from local_aws.iam.recorder import recorder
from local_aws.settings import ACCOUNT_ID, REGION

_caller: contextvars.ContextVar[Principal | None] = contextvars.ContextVar("local_aws_caller", default=None)


class AccessDeniedError(Exception):
    """A call that the caller's role does not allow; the message is AWS's."""

    def __init__(self, message: str, action: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.action = action


def enforced() -> bool:
    """Whether roles are enforced: always, but for LOCAL_AWS_IAM=off."""
    return os.environ.get("LOCAL_AWS_IAM", "on").lower() != "off"


def caller() -> Principal | None:
    """The role in whose name this context acts; None for an administrator."""
    return _caller.get()


@contextlib.contextmanager
def acting(principal: Principal | None) -> Iterator[None]:
    """Within it, calls are made in the name of `principal`; None makes them the emulator's own."""
    token = _caller.set(principal)
    try:
        yield
    finally:
        _caller.reset(token)


def _global_keys(principal: Principal) -> dict[str, str | list[str]]:
    """The keys every request has. SecureTransport: local traffic is plain HTTP on loopback and stands for TLS."""
    account = roles.account_of(principal.role_arn)
    return {
        "aws:securetransport": "true",
        "aws:requestedregion": REGION,
        "aws:principalarn": principal.role_arn,
        "aws:principalaccount": account,
        "aws:resourceaccount": ACCOUNT_ID,
    }


def _refusal(principal: Principal, request: Request, denying: Statement | None, kind: str) -> str:
    """AWS's sentence; `kind` is the policy that denies or does not allow."""
    reason = (
        f"with an explicit deny in {'an' if kind.startswith('i') else 'a'} {kind}"
        if denying is not None
        else f"because no {kind} allows the {request.action} action"
    )
    on = f" on resource: {request.resource}"
    return f"User: {principal.arn} is not authorized to perform: {request.action}{on} {reason}"


def _bucket_denial(principal: Principal, request: Request) -> Statement | None:
    """A Deny of the bucket's own policy. What it allows is not looked at: roles of the same account have policies."""
    if not request.action.startswith("s3:") or not request.resource.startswith("arn:aws:s3:::"):
        return None
    bucket = request.resource.removeprefix("arn:aws:s3:::").partition("/")[0]
    for statement in roles.bucket_policy(bucket, roles.account_of(principal.role_arn)):
        speaks = names_everyone(statement) or names_role(statement, principal.role_arn)
        if not statement.allow and speaks and statement.matches(request):
            return statement
    return None


def _bounded(principal: Principal, request: Request) -> Decision:
    """What the role's permissions boundary says: it allows nothing by itself, but has to allow what the role may."""
    boundary = roles.boundary(principal.role_arn)
    return Decision(True) if boundary is None else evaluate(boundary, request)


def allowed(principal: Principal, wanted: Request) -> str:
    """Empty when the role may; else AWS's sentence. What allowed or denied is recorded."""
    request = Request(wanted.action, wanted.resource, {**_global_keys(principal), **wanted.context})
    try:
        statements = [one for one in roles.statements(principal.role_arn) if recorder.is_on(principal.role_arn, one)]
        decision = evaluate(statements, request)
        bounded = _bounded(principal, request)
        denying = _bucket_denial(principal, request) if decision.allowed else None
    except PolicyError as error:
        message = f"{error} (role {principal.role_arn})"
        recorder.deny(principal.role_arn, request.action, request.resource, message)
        return message
    if not decision.allowed:
        message = _refusal(principal, request, decision.statement, "identity-based policy")
    elif not bounded.allowed:
        message = _refusal(principal, request, bounded.statement, "permissions boundary")
    elif denying is not None:
        message = _refusal(principal, request, denying, "resource-based policy")
    else:
        assert decision.statement is not None
        recorder.allow(principal.role_arn, decision.statement, request.action)
        return ""
    recorder.deny(principal.role_arn, request.action, request.resource, message)
    return message


def require(requests: Iterable[Request], principal: Principal | None = None) -> None:
    """Every one of `requests` must be allowed to `principal`, or else to the caller. Raises AccessDeniedError."""
    principal = principal or caller()
    if principal is None or not enforced():
        return
    for request in requests:
        for one in (request, *kms.behind(request)):
            refusal = allowed(principal, one)
            if refusal:
                raise AccessDeniedError(refusal, one.action)


def assume(role_arn: str, service: str, source_arn: str, session: str) -> Principal:
    """The role, taken on by an AWS service for `source_arn`. Raises AccessDeniedError when its trust policy says no."""
    principal = Principal(role_arn, session)
    context = {"aws:sourceaccount": roles.account_of(source_arn), "aws:sourcearn": source_arn}
    request = Request("sts:AssumeRole", role_arn, context)
    if not enforced():
        return principal
    message = f"{service} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
    try:
        # A trust policy has no Resource: what it speaks about is its own role.
        speaking = [
            one
            for one in roles.trust(role_arn)
            if names_service(one, service) and one.action(request.action) and one.meets(request.context)
        ]
    except PolicyError as error:
        speaking, message = [], f"{message}: {error}"
    if not speaking or any(not one.allow for one in speaking):
        recorder.deny(role_arn, "sts:AssumeRole", role_arn, f"{message} (source {source_arn})")
        raise AccessDeniedError(message, "sts:AssumeRole")
    return principal
