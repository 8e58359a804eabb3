"""Every row of the failure table, on the real stack: what the run ends as, what a person reads, what is left."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from . import table
from .jobs import LATE_ROWS
from .quick import Quick
from .rows import ROWS
from .table import Row

pytestmark = pytest.mark.slow
# Rows that need the same thing in service stand together, so that it is put there once.
ORDERED = sorted(ROWS, key=lambda row: (table.NOTHING, table.BROKEN, table.MODEL).index(row.before))


def prepare(quick: Quick, row: Row) -> str | None:
    """What the row finds; gives the run whose model serves."""
    quick.serve(row.before == table.MODEL)
    if row.before == table.BROKEN:
        quick.break_endpoint()
    if row.fresh:
        quick.forget_features()
    if row.unbuilt:
        quick.forget_image()
    quick.behave(row.behaviour, lacks=row.lacks)
    if row.forbid:
        quick.forbid(*row.forbid)
    return quick.serving()


def scaling(quick: Quick) -> list[Any]:
    """How the endpoint scales: limits and policies."""
    client = quick.client("application-autoscaling")
    targets = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    limits = [(one["ResourceId"], one["MinCapacity"], one["MaxCapacity"]) for one in targets]
    return [limits, [one["TargetTrackingScalingPolicyConfiguration"] for one in policies]]


def act(quick: Quick, row: Row) -> None:
    """What a person does to the run that has been started, once it can be done."""
    sagemaker, person = quick.client("sagemaker"), row.person
    if person == table.STOP:
        (program,) = row.behaviour
        job = quick.wait_until(lambda: quick.job(program), "a job to stop")
        if "HyperParameterTuningJobName" in job:
            sagemaker.stop_hyper_parameter_tuning_job(**job)
        else:
            sagemaker.stop_training_job(**job)
    if person in (table.REJECT, table.APPROVE):
        status = {table.REJECT: "Rejected", table.APPROVE: "Approved"}[person]
        package = quick.wait_until(quick.waiting_package, "a package to judge")
        sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription="too few pictures"
        )


@pytest.mark.parametrize("row", ORDERED, ids=lambda row: row.name)
def test_a_run_ends_as_the_table_says(quick: Quick, row: Row) -> None:
    # given
    before, scaled = prepare(quick, row), scaling(quick)
    # when
    with ExitStack() as stack:
        statuses = stack.enter_context(quick.asking()) if row.asked else []
        execution = quick.start(row.input, row.faults)
        act(quick, row)
        outcome = quick.ended(execution)
    # then it ends as it says, in words that a person understands
    assert outcome.error == row.error, outcome.cause
    assert row.matches(outcome.cause), outcome.cause
    assert quick.switch("GET", "faults")["faults"] == [], "a fault that nothing met"
    assert not row.calls or quick.tries(row.state) == row.calls
    # and what should serve serves, as it did, without an answer lost
    serving = quick.serving()
    assert (serving == before) == (row.after == table.SAME)
    if row.after == table.SAME and not row.left:
        assert scaling(quick) == scaled
    assert not (row.asked and row.lossless) or set(statuses) == {200}, statuses
    # and nothing is left
    left = quick.left_running(within=5.0 if not row.left else 0.0)
    assert len(left) == len(row.left)
    assert all(one.startswith(begin) for one, begin in zip(left, row.left, strict=True)), left


def test_jobs_that_run_into_their_time_limit_end_the_run(quick: Quick) -> None:
    # given a run for every kind of job, in which that job never ends (all at once, because the least limit is a minute)
    quick.serve()
    quick.behave({name: wanted for row in LATE_ROWS for name, wanted in row.behaviour.items()})
    before = quick.serving()
    # when
    executions = [quick.start(row.input) for row in LATE_ROWS]
    outcomes = [quick.ended(execution, 150) for execution in executions]
    # then each says which job it was, and nothing goes on
    for row, outcome in zip(LATE_ROWS, outcomes, strict=True):
        assert outcome.error == row.error, outcome.cause
        assert row.matches(outcome.cause), outcome.cause
    assert quick.left_running() == []
    assert quick.serving() == before
