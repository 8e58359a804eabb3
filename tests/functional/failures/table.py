"""What may go wrong in each state of the pipeline, and what a run then ends as: for tests and for docs/failures.md.

A cause is written with `…` for what differs from run to run (names, addresses).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Fault = Mapping[str, Any]
# What serves before a run: nothing, an earlier run's model, or an endpoint that has failed.
NOTHING, MODEL, BROKEN = "nothing", "a model", "a failed endpoint"
# What serves after it.
NEW, SAME = "the new model", "what served before"
REJECT, APPROVE, STOP = "reject", "approve", "stop"  # what a person does while the run waits

BAYESIAN = {"tune": {"strategy": "bayesian", "trials": 2}}
EMBEDDED = {"tune": {"strategy": "embedded", "trials": 2}}
MANUAL = {"approve": "manual", "approve_within_hours": 1}


@dataclass(frozen=True)
class Row:
    """In `state`, `happens`: the run ends with `error` (none: it succeeds) and `cause`, and `after` serves.

    `calls` is how often the state calls AWS where that is the point. `left` is what the run cannot clear away, named
    by how it begins; it is empty but where cleaning up itself is refused.
    """

    state: str
    happens: str
    error: str = ""
    cause: str = ""
    after: str = SAME
    before: str = MODEL
    input: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    forbid: tuple[str, str] | None = None
    person: str = ""
    fresh: bool = False  # features are to be computed
    unbuilt: bool = False  # the serving image is to be built
    lacks: str = ""  # a file that the published code is without
    calls: int = 0
    asked: bool = False  # a client asks all the time
    lossless: bool = True  # and gets all its answers
    left: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The row's name among the tests."""
        return f"{self.state}: {self.happens}" + (", nothing served before" if self.before == NOTHING else "")

    def matches(self, cause: str) -> bool:
        """Whether a run's cause begins as the row says."""
        return re.match(".*?".join(re.escape(part) for part in self.cause.split("…")), cause, re.DOTALL) is not None


def fault(service: str, operation: str, error: str, message: str, **more: Any) -> Fault:
    """A fault as local_aws/faults.py takes it."""
    return {"service": service, "operation": operation, "error": error, "message": message, **more}


INVALID = "ValidationException"
LIMIT = "LimitExceededException"
LOST: dict[str, Any] = {"error": "InternalFailure", "message": "The answer was lost", "status": 500, "done": True}
