"""The gate before every service: what a role asks for is looked up in the table and judged.

Requests over HTTP and Step Functions' integrations both reach MiniStack's services through its table of handlers, so
the gate stands there (patches.Handlers). Within a service nobody is asked again: it acts by itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from ministack import app
from ministack.core.iam_actions import access_denied_response

from local_aws.credentials import PREFIX, Principal, principal_of
from local_aws.errors import ApiError, Response, error_response
from local_aws.iam import resources, roles, s3
from local_aws.iam.actions import TABLE
from local_aws.iam.actions_ec2 import prepared
from local_aws.iam.callers import AccessDeniedError, acting, caller, enforced, require
from local_aws.iam.policy import Request, names_role
from local_aws.iam.recorder import recorder
from local_aws.iam.wire import Call, operation
from local_aws.settings import REGION

logger = logging.getLogger("local_aws.iam")

Handler = Callable[..., Awaitable[Response]]
TABLE_FILE = "local_aws/iam/actions.py"
# Services of the JSON protocols, which answer AccessDeniedException with 400.
_JSON = ("sagemaker", "states", "application-autoscaling", "ecr", "codebuild", "logs", "events", "ssm", "tagging")


def needed(service: str, name: str, params: Mapping[str, Any]) -> Iterator[Request]:
    """What the operation `name` takes. Raises AccessDeniedError when it is not in the table."""
    needs = TABLE.get(service, {}).get(name)
    if needs is None:
        raise _unknown(f"{service}:{name or '(an operation that cannot be told)'}")
    for need in needs:
        yield from need.requests(prepared(params) if service == "ec2" else params, resources.tags_of)


def _unknown(what: str) -> AccessDeniedError:
    logger.error("%s is not in the table of actions", what)
    return AccessDeniedError(
        f"{what}: the local AWS does not know which permission this takes: add its line to {TABLE_FILE}", what
    )


def _of(call: Call) -> Iterator[Request]:
    """What a request over HTTP (or in its form) takes. Raises AccessDeniedError when it is not in the table."""
    if call.service == "s3":
        try:
            yield from s3.requests(call)
            yield from s3.unseen(call, resources.has_object)
        except s3.UnknownOperationError as error:
            raise _unknown(str(error)) from None
    elif call.service == "apigateway":
        # Its management API is authorised by method and path.
        yield Request(f"apigateway:{call.method}", f"arn:aws:apigateway:{REGION}::{call.path}")
    else:
        yield from needed(call.service, *operation(call))


def denied(service: str, error: AccessDeniedError, headers: Mapping[str, str]) -> Response:
    """The refusal as the service words it on the wire."""
    if service == "application-autoscaling" and not error.action.startswith("application-autoscaling:"):
        # What it validates of its caller elsewhere it reports as a wrong request.
        return error_response(ApiError("ValidationException", error.message))
    if service in _JSON:
        return error_response(ApiError("AccessDeniedException", error.message))
    principal = caller()
    arn = principal.arn if principal else ""
    response: Response = access_denied_response(
        service, error.action, arn, "local-aws", message=error.message, headers=dict(headers)
    )
    return response


def guarded(service: str, handler: Handler) -> Handler:
    """`handler` for whoever acts in this context now: an administrator is let through, a role is judged."""
    principal = caller()
    if principal is None or not enforced():
        return handler

    async def judged(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        with acting(principal):
            try:
                call = Call(service, method, path, headers, body, query)
                needs = list(_of(call))
                require(needs)
                if service == "sts" and (role := operation(call)[1].get("RoleArn")):
                    trusted(str(role), principal)
            except AccessDeniedError as error:
                return denied(service, error, headers)
        with acting(None):
            response = await handler(method, path, headers, body, query)
        for one in needs:
            if one.action == "iam:CreateServiceLinkedRole" and service != "iam" and response[0] < 300:
                resources.make_service_role(one.resource)
        return response

    return judged


def trusted(role_arn: str, principal: Principal) -> None:
    """The role's trust policy names the caller, a role. Raises AccessDeniedError."""
    request = Request("sts:AssumeRole", role_arn)
    speaking = [
        one
        for one in roles.trust(role_arn)
        if names_role(one, principal.role_arn) and one.action(request.action) and one.meets(request.context)
    ]
    if not speaking or any(not one.allow for one in speaking):
        text = f"User: {principal.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        recorder.deny(principal.role_arn, request.action, role_arn, text)
        raise AccessDeniedError(text, request.action)


def announce(who: Principal, issued: Mapping[str, str], end: float) -> None:
    """Tells MiniStack's STS of credentials issued here, so that GetCallerIdentity knows them."""
    session = {
        "Arn": who.arn,
        "UserId": f"{who.role_name}:{who.session}",
        "SecretAccessKey": issued["SecretAccessKey"],
        "SessionToken": issued["SessionToken"],
        "Expiration": end,
        "AccountId": who.role_arn.split(":")[4],
        "PrincipalType": "AssumedRole",
    }
    app._get_module("sts").register_session(issued["AccessKeyId"], session)


def _role_session(access_key: str) -> Principal | None:
    """Who holds a key that sts:AssumeRole gave out."""
    session = app._get_module("sts")._sessions.get(access_key) or {}
    arn = str(session.get("Arn", ""))
    if ":assumed-role/" not in arn:
        return None
    if session.get("SessionPolicies"):
        raise AccessDeniedError(
            "The local AWS does not judge session policies: assume the role without", "sts:AssumeRole"
        )
    account, (_, name, who) = arn.split(":")[4], arn.split(":", 5)[5].split("/", 2)
    role = app._get_module("iam")._roles.get_scoped(account, None, name)
    return Principal(role["Arn"] if role else f"arn:aws:iam::{account}:role/{name}", who)


def principal(access_key: str) -> Principal | None:
    """Who calls with `access_key`: a role, or None for an administrator. Raises AccessDeniedError if not known."""
    if not access_key.startswith(PREFIX) or not enforced():
        return None
    found = principal_of(access_key) or _role_session(access_key)
    if found is None:
        message = "The security token included in the request is invalid or has expired: the local AWS did not issue it"
        raise AccessDeniedError(message, "sts:GetCallerIdentity")
    return found


def invalid_token(error: AccessDeniedError) -> Response:
    """The answer to temporary credentials that are not known."""
    recorder.deny("", error.action, "*", error.message)
    body = {"__type": "UnrecognizedClientException", "message": error.message}
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": "UnrecognizedClientException"}
    return 403, headers, json.dumps(body).encode()
