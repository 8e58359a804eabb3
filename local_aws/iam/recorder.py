"""Which statements of which roles allowed what, what was denied, and which statements a test has switched off.

Served at /_local_aws/iam, so that a test can show that every statement of the deployed roles is used, and that a call
fails without it, with no second deployment.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from local_aws.iam.policy import Statement

DENIALS_KEPT = 200


@dataclass(frozen=True)
class Key:
    """A statement of a role's policy."""

    role: str
    policy: str
    sid: str


class Recorder:
    """Counts in memory; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the action as asked for and as the statement writes it (the latter may have wildcards).
        self.allowed: Counter[tuple[Key, str, str]] = Counter()
        self.denied: deque[dict[str, str]] = deque(maxlen=DENIALS_KEPT)
        self.disabled: set[Key] = set()

    def allow(self, role: str, statement: Statement, action: str) -> None:
        """A statement allowed an action."""
        key = Key(role, statement.policy, statement.sid)
        with self._lock:
            self.allowed[key, action, statement.action(action) or action] += 1

    def deny(self, role: str, action: str, resource: str, message: str) -> None:
        """A call was refused."""
        with self._lock:
            self.denied.append({"role": role, "action": action, "resource": resource, "message": message})

    def switch(self, key: Key, enabled: bool) -> None:
        """Switches a statement off, or on again."""
        with self._lock:
            (self.disabled.discard if enabled else self.disabled.add)(key)

    def is_on(self, role: str, statement: Statement) -> bool:
        """Whether a statement counts."""
        return not self.disabled or Key(role, statement.policy, statement.sid) not in self.disabled

    def used(self, key: Key) -> dict[str, dict[str, int]]:
        """What a statement allowed: its own spelling of the action -> action asked for -> how often."""
        found: dict[str, dict[str, int]] = {}
        with self._lock:
            for (one, action, spelt), count in self.allowed.items():
                if one == key:
                    found.setdefault(spelt, {})[action] = count
        return found

    def clear(self) -> None:
        """Forgets the counts and the denials; what is switched off stays off."""
        with self._lock:
            self.allowed.clear()
            self.denied.clear()


recorder = Recorder()
