"""Managed spot training: when the instances of a spot job are taken away, and what that saves.

Nothing takes them away by itself: the job's own Environment, or else that of the local AWS, says how often.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from local_aws import settings
from local_aws.errors import validation

# How many times a spot job is interrupted, and after how many seconds of training in each attempt.
TIMES = "LOCAL_AWS_SPOT_INTERRUPTIONS"
AFTER = "LOCAL_AWS_SPOT_INTERRUPT_AFTER"
# Seconds without instances after an interruption, before LOCAL_AWS_TIME_FACTOR.
PAUSE_SECONDS = 1.0
# What spot costs of the price on demand: AWS saves "up to 90 %" and bills the market's price, which is not known here.
PRICE_SHARE = 0.3


@dataclass(frozen=True)
class Plan:
    """`times` interruptions, each `after` seconds into an attempt's training."""

    times: int
    after: float


def plan(request: dict[str, Any]) -> Plan:
    """The interruptions of a job. Raises ValidationException for values that are no numbers."""
    if not request.get("EnableManagedSpotTraining"):
        return Plan(0, 0.0)
    given = {**os.environ, **request.get("Environment", {})}
    try:
        return Plan(max(0, int(given.get(TIMES, "0"))), max(0.0, float(given.get(AFTER, "2"))))
    except ValueError:
        raise validation(f"{TIMES} must be a whole number and {AFTER} a number of seconds.") from None


def pause_seconds() -> float:
    """How long a job waits for new instances."""
    return PAUSE_SECONDS / settings.time_factor()


def billable_seconds(training_seconds: int, spot: bool) -> int:
    """BillableTimeInSeconds of one instance for its training time."""
    return max(1, round(training_seconds * PRICE_SHARE)) if spot and training_seconds else training_seconds
