"""The emulator's front door: whose credentials a request carries, and the page that tells what roles did.

curl $AWS_ENDPOINT_URL/_local_aws/iam                 the statements of every role, what each allowed, what was denied
curl -X POST ... -d '{"role": "R", "policy": "P", "sid": "S", "enabled": false}'   switches one statement off (or on)
curl -X DELETE ...                                    forgets the counts and the denials
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from ministack import app

from local_aws.errors import Response
from local_aws.iam import gate, roles
from local_aws.iam.callers import AccessDeniedError, acting
from local_aws.iam.conditions import PolicyError
from local_aws.iam.recorder import Key, recorder

PATH = "/_local_aws/iam"
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")
Scope = dict[str, Any]
Inner = Callable[[Scope, Any, Any], Awaitable[None]]


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", [])}


def access_key(scope: Scope) -> str:
    """The access key that signed the request, from its header or a presigned URL; empty when it is anonymous."""
    match = _CREDENTIAL.search(_headers(scope).get("authorization", ""))
    if match:
        return match.group(1)
    query = parse_qs(str(scope.get("query_string", b"").decode("latin-1")))
    return (query.get("X-Amz-Credential") or query.get("AWSAccessKeyId") or [""])[0].partition("/")[0]


async def serve(inner: Inner, scope: Scope, receive: Any, send: Any) -> None:
    """ASGI: `inner`, in the name of whoever signed the request."""
    if scope["type"] != "http":
        await inner(scope, receive, send)
        return
    try:
        principal = gate.principal(access_key(scope))
    except AccessDeniedError as error:
        await _send(send, gate.invalid_token(error))
        return
    host = _headers(scope).get("host", "")
    if principal is not None and app._s3_cors_target(host, scope["path"], path_style=False) is not None:
        # Those go past the table of handlers, and so past the gate.
        text = b"In the local AWS a role addresses buckets by path: use http://127.0.0.1:PORT/BUCKET/KEY"
        await _send(send, (403, {"Content-Type": "text/plain"}, text))
        return
    with acting(principal):
        await inner(scope, receive, send)


async def page(scope: Scope, receive: Any, send: Any) -> None:
    """ASGI: the page at PATH."""
    await _send(send, await _page(scope, receive))


async def _send(send: Any, response: Response) -> None:
    status, headers, body = response
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Any) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _page(scope: Scope, receive: Any) -> Response:
    status, said = 200, dict[str, Any]()
    if scope["method"] == "GET":
        said = report()
    elif scope["method"] == "POST":
        status, said = _switch(await _body(receive))
    elif scope["method"] == "DELETE":
        recorder.clear()
    else:
        status, said = 405, {"error": "send GET, POST or DELETE"}
    return status, {"Content-Type": "application/json"}, json.dumps(said, indent=1).encode()


def _switch(body: bytes) -> tuple[int, dict[str, Any]]:
    try:
        wanted = json.loads(body)
        role, policy, sid, enabled = (wanted[name] for name in ("role", "policy", "sid", "enabled"))
    except (ValueError, KeyError, TypeError):
        return 400, {"error": 'send {"role": "NAME", "policy": "NAME", "sid": "SID", "enabled": false}'}
    for arn in roles.every_role():
        for statement in roles.statements(arn) if role in (arn, arn.rsplit("/", 1)[-1]) else ():
            if (statement.policy, statement.sid) == (policy, sid):
                recorder.switch(Key(arn, policy, sid), bool(enabled))
                return 200, {"role": arn, "policy": policy, "sid": sid, "enabled": bool(enabled)}
    return 404, {"error": f"no role {role} with a statement {sid} in a policy {policy}"}


def report() -> dict[str, Any]:
    """Every statement of every role: what it lists, what of it was used how often; and the latest denials."""
    found: list[dict[str, Any]] = []
    for arn in roles.every_role():
        try:
            statements = list(roles.statements(arn))
        except PolicyError as error:
            found.append({"role": arn, "error": str(error)})
            continue
        for statement in statements:
            key = Key(arn, statement.policy, statement.sid)
            used = recorder.used(key)
            listed = roles.actions(statement)
            found.append(
                {
                    "role": arn,
                    "policy": statement.policy,
                    "sid": statement.sid,
                    "actions": listed,
                    "enabled": key not in recorder.disabled,
                    "allowed": {action: count for counts in used.values() for action, count in counts.items()},
                    "unused": [action for action in listed if action not in used],
                }
            )
    return {"statements": found, "denied": list(recorder.denied)}
