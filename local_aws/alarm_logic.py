"""When a metric alarm changes its state: CloudWatch's rules on datapoints, missing ones too. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Sequence

OK = "OK"
ALARM = "ALARM"
INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
# CloudWatch looks at a few more periods than an alarm asks for, so that a late or missing one need not decide.
EXTRA_PERIODS = 2

_ABOVE = ("GreaterThanThreshold", "GreaterThanUpperThreshold")


def breaches(operator: str, value: float, threshold: float) -> bool:
    """Whether one datapoint is on the bad side of the threshold."""
    if operator == "GreaterThanOrEqualToThreshold":
        return value >= threshold
    if operator == "LessThanOrEqualToThreshold":
        return value <= threshold
    return value > threshold if operator in _ABOVE else value < threshold


def judge(points: Sequence[bool | None], evaluated: int, needed: int, missing: str) -> str | None:
    """The state that `points` (oldest first, None: no data) call for, or None: as it was.

    `needed` of the latest `evaluated` datapoints must breach. `missing` is the alarm's TreatMissingData.
    """
    real = [point for point in reversed(points) if point is not None][:evaluated]
    breaching = sum(real)
    if missing in ("breaching", "notBreaching"):
        filled = evaluated - len(real) if missing == "breaching" else 0
        return ALARM if breaching + filled >= needed else OK
    if breaching >= needed:
        return ALARM
    if missing == "ignore":
        return OK if len(real) >= needed else None
    if not real:
        return INSUFFICIENT_DATA
    if breaching < len(real):
        return OK
    # All there is breaches, but there is too little of it: an alarm only once the oldest is old enough for one.
    oldest = len(points) - next(index for index, point in enumerate(points) if point is not None)
    return ALARM if oldest >= needed else None
