"""Managed spot training: who says when a job is interrupted, and what it is billed."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.errors import ApiError
from local_aws.sagemaker import spot

SPOT: dict[str, Any] = {"EnableManagedSpotTraining": True}


def test_nothing_is_interrupted_unless_asked_for() -> None:
    assert spot.plan(SPOT).times == 0


def test_the_jobs_own_environment_goes_before_that_of_the_local_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spot.TIMES, "2")

    assert spot.plan(SPOT) == spot.Plan(2, 2.0)
    assert spot.plan({**SPOT, "Environment": {spot.TIMES: "1", spot.AFTER: "0.5"}}) == spot.Plan(1, 0.5)
    assert spot.plan({"Environment": {spot.TIMES: "1"}}).times == 0  # no spot job


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ApiError, match="must be a whole number"):
        spot.plan({**SPOT, "Environment": {spot.TIMES: "often"}})


def test_a_spot_job_is_billed_less_than_it_trained() -> None:
    assert spot.billable_seconds(100, spot=False) == 100
    assert spot.billable_seconds(100, spot=True) == 30
    assert spot.billable_seconds(1, spot=True) == 1
    assert spot.billable_seconds(0, spot=True) == 0
