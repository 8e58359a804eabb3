"""The roles in MiniStack's IAM, their policies parsed once for each version of a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ministack import app
from ministack.core import iam_evaluator

from local_aws.iam.conditions import PolicyError
from local_aws.iam.policy import Statement, parse

# (role, policy) -> (the document as it was parsed, its statements). A changed policy is another object.
_parsed: dict[tuple[str, str], tuple[Any, tuple[Statement, ...]]] = {}


def account_of(arn: str) -> str:
    """The account in an ARN."""
    return arn.split(":")[4]


def record(role_arn: str) -> dict[str, Any] | None:
    """The stored role, or None."""
    name = role_arn.rsplit("/", 1)[-1]
    role: dict[str, Any] | None = app._get_module("iam")._roles.get_scoped(account_of(role_arn), None, name)
    return role


def every_role() -> list[str]:
    """The ARNs of all roles of the account of the request."""
    return [role["Arn"] for role in app._get_module("iam")._roles.values()]


def _statements(role_arn: str, policy: str, document: Any) -> tuple[Statement, ...]:
    known = _parsed.get((role_arn, policy))
    if known is not None and known[0] is document:
        return known[1]
    statements = parse(policy, document)
    _parsed[role_arn, policy] = (document, statements)
    return statements


def statements(role_arn: str) -> Iterator[Statement]:
    """Every statement of the role's inline and attached policies. A role that is not there has none.

    Raises PolicyError for a policy that cannot be judged.
    """
    role = record(role_arn)
    if role is None:
        return
    for name, document in list((role.get("InlinePolicies") or {}).items()):
        yield from _statements(role_arn, name, document)
    for policy_arn in list(role.get("AttachedPolicies") or []):
        yield from _managed(role_arn, policy_arn)


def boundary(role_arn: str) -> tuple[Statement, ...] | None:
    """The statements of the role's permissions boundary; None where it has none. Raises PolicyError as above."""
    policy_arn = (record(role_arn) or {}).get("PermissionsBoundary")
    return _managed(role_arn, policy_arn) if policy_arn else None


def _managed(role_arn: str, policy_arn: str) -> tuple[Statement, ...]:
    document = iam_evaluator._resolve_managed_policy_document(policy_arn, account_of(role_arn))
    if document is None:
        raise PolicyError(f"role {role_arn}: the local AWS does not have the managed policy {policy_arn}")
    return _statements(role_arn, policy_arn, document)


def trust(role_arn: str) -> tuple[Statement, ...]:
    """The statements of the role's trust policy; none for a role that is not there."""
    role = record(role_arn)
    document = (role or {}).get("AssumeRolePolicyDocument") or {"Statement": []}
    return _statements(role_arn, "trust policy", document)


def actions(statement: Statement) -> list[str]:
    """The actions as the statement writes them."""
    return [text for text, _ in statement.actions]


def bucket_policy(bucket: str, account: str) -> tuple[Statement, ...]:
    """The statements of a bucket's policy; none when it has none."""
    document = app._get_module("s3")._bucket_policies.get_scoped(account, None, bucket)
    if not document:
        return ()
    return _statements(f"arn:aws:s3:::{bucket}", "bucket policy", document)
