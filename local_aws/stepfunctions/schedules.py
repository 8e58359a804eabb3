"""Schedules of EventBridge rules and of EventBridge Scheduler, LOCAL_AWS_TIME_FACTOR times as often as they say.

`rate(...)` alone is sped up; `cron(...)` and `at(...)` name moments of the real clock.
"""

from __future__ import annotations

from collections.abc import Callable

from local_aws.settings import time_factor

_TICK_SECONDS = 10.0  # MiniStack's between two looks at what is due


def tick_seconds() -> float:
    """Seconds between two looks at what is due: short enough for a rate of a minute that is sped up."""
    return max(0.2, _TICK_SECONDS / time_factor())


def rate_seconds(original: Callable[[str], int | None]) -> Callable[[str], float | None]:
    """The seconds of a rate(...) expression as they pass here; None for any other expression."""

    def wrapped(expression: str) -> float | None:
        seconds = original(expression)
        return None if seconds is None else seconds / time_factor()

    return wrapped
