"""IAM policy documents: parsed once, evaluated against one action on one resource."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.iam.conditions import Condition, Context, PolicyError, compiled, wildcard

_ELEMENTS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is asked for: an action on a resource, with the condition keys (lower case) that come with it."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. `sid` is its Sid, or #1, #2, ... by its place in the policy."""

    policy: str
    sid: str
    allow: bool
    actions: tuple[tuple[str, re.Pattern[str]], ...]
    not_actions: bool
    resources: tuple[re.Pattern[str], ...]
    not_resources: bool
    conditions: tuple[Condition, ...]
    principal: Any = None

    def action(self, name: str) -> str | None:
        """The statement's own action (maybe with wildcards) that covers `name`, or None."""
        found = next((text for text, pattern in self.actions if pattern.fullmatch(name)), None)
        if self.not_actions:
            return "*" if found is None else None
        return found

    def matches(self, request: Request) -> bool:
        """Whether the statement speaks about `request`."""
        if self.action(request.action) is None:
            return False
        named = any(pattern.fullmatch(request.resource) for pattern in self.resources)
        return named != self.not_resources and self.meets(request.context)

    def meets(self, context: Context) -> bool:
        """Whether every condition holds."""
        return all(condition(context) for condition in self.conditions)


@dataclass(frozen=True)
class Decision:
    """Allowed by `statement`, denied by `statement`, or allowed by none (statement None)."""

    allowed: bool
    statement: Statement | None = None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statement(policy: str, number: int, raw: Mapping[str, Any]) -> Statement:
    unknown = set(raw) - _ELEMENTS
    if unknown or "NotPrincipal" in raw:
        raise PolicyError(f"the policy element {sorted(unknown)[0] if unknown else 'NotPrincipal'}")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"the effect {raw.get('Effect')!r}")
    if ("Action" in raw) == ("NotAction" in raw):
        raise PolicyError("a statement without exactly one of Action and NotAction")
    actions = [str(one) for one in _list(raw.get("Action", raw.get("NotAction")))]
    resources = [str(one) for one in _list(raw.get("Resource", raw.get("NotResource", [])))]
    if any("${" in one for one in resources):
        raise PolicyError("a policy variable in Resource")
    return Statement(
        policy=policy,
        sid=raw.get("Sid") or f"#{number}",
        allow=raw["Effect"] == "Allow",
        actions=tuple((one, wildcard(one, ignore_case=True)) for one in actions),
        not_actions="NotAction" in raw,
        resources=tuple(wildcard(one) for one in resources),
        not_resources="NotResource" in raw,
        conditions=compiled(raw.get("Condition", {})),
        principal=raw.get("Principal"),
    )


def parse(policy: str, document: str | Mapping[str, Any]) -> tuple[Statement, ...]:
    """The statements of the document named `policy`. Raises PolicyError naming policy, statement and what is wrong."""
    content: Any = json.loads(document) if isinstance(document, str) else document
    found = []
    for number, raw in enumerate(_list(content.get("Statement", [])), start=1):
        try:
            found.append(_statement(policy, number, raw))
        except PolicyError as error:
            where = raw.get("Sid") or f"#{number}"
            message = f"policy {policy}, statement {where}: the local AWS's IAM does not know {error}"
            raise PolicyError(f"{message}; see local_aws/iam/conditions.py and policy.py") from None
    return tuple(found)


def evaluate(statements: Iterable[Statement], request: Request) -> Decision:
    """An explicit Deny wins; else the first statement that allows; else nothing does."""
    allowing: Statement | None = None
    for statement in statements:
        if (allowing is None or not statement.allow) and statement.matches(request):
            if not statement.allow:
                return Decision(False, statement)
            allowing = statement
    return Decision(allowing is not None, allowing)


def names_service(statement: Statement, service: str) -> bool:
    """Whether the statement's Principal names the service, such as lambda.amazonaws.com."""
    principal = statement.principal
    if principal == "*":
        return True
    return isinstance(principal, Mapping) and service in _list(principal.get("Service", []))


def names_everyone(statement: Statement) -> bool:
    """Whether the statement's Principal is everybody."""
    principal = statement.principal
    return principal == "*" or (isinstance(principal, Mapping) and "*" in _list(principal.get("AWS", [])))


def names_role(statement: Statement, role_arn: str) -> bool:
    """Whether the statement's Principal is everybody, the account of the role, or the role."""
    principal = statement.principal
    if not isinstance(principal, Mapping):
        return bool(principal == "*")
    account = role_arn.split(":")[4]
    wanted = {"*", account, f"arn:aws:iam::{account}:root", role_arn}
    return any(one in wanted for one in _list(principal.get("AWS", [])))
