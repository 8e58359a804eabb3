"""Temporary credentials of roles: handed out to functions, instances and sts:AssumeRole, looked up at every call.

They live in the emulator's memory: what holds them (workers, instances) ends with it. Signatures are not checked:
the access key alone says under which role a call is made.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

LIFETIME_S = 12 * 3600
PREFIX = "ASIA"  # what temporary access keys begin with; a person's `test` does not
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Principal:
    """A role and the name of the session under which it was assumed."""

    role_arn: str
    session: str

    @property
    def role_name(self) -> str:
        """The role's name, without its path."""
        return self.role_arn.rsplit("/", 1)[-1]

    @property
    def arn(self) -> str:
        """The caller as AWS's messages name it: arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION."""
        account = self.role_arn.split(":")[4]
        return f"arn:aws:sts::{account}:assumed-role/{self.role_name}/{self.session}"


# Told of all that is issued: (who, the credentials, the end in seconds since the epoch).
on_issue: list[Callable[[Principal, dict[str, str], float], None]] = []

_issued: dict[str, tuple[Principal, float]] = {}
_lock = threading.Lock()


def issue(role_arn: str, session: str, lifetime_s: float = LIFETIME_S) -> dict[str, str]:
    """Fresh credentials of `role_arn`: AccessKeyId, SecretAccessKey, SessionToken, Expiration (ISO 8601).

    Raises ValueError when `role_arn` is not the ARN of a role.
    """
    if ":role/" not in role_arn or role_arn.count(":") != 5:
        raise ValueError(f"{role_arn!r} is not the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME")
    key = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(16))
    now = time.time()
    issued = {
        "AccessKeyId": key,
        "SecretAccessKey": secrets.token_urlsafe(30),
        "SessionToken": secrets.token_urlsafe(96),
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + lifetime_s)),
    }
    with _lock:
        for expired in [name for name, (_, end) in _issued.items() if end < now]:
            del _issued[expired]
        _issued[key] = (Principal(role_arn, session), now + lifetime_s)
    principal = Principal(role_arn, session)
    for listener in on_issue:
        listener(principal, issued, now + lifetime_s)
    return issued


def principal_of(access_key_id: str) -> Principal | None:
    """Who holds `access_key_id`; None when it was not issued here or has expired."""
    held = _issued.get(access_key_id)
    return held[0] if held and held[1] > time.time() else None


def role_of(access_key_id: str) -> str | None:
    """The ARN of the role that `access_key_id` was issued for; None when it was not issued here or has expired."""
    holder = principal_of(access_key_id)
    return holder.role_arn if holder else None
