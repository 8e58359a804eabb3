"""Training on an EC2 instance that goes wrong: how the run ends, and that no instance is left, whatever happened."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_aws.ec2_guest import INSTANCE_MARK
from local_aws.processes import carrying

from .quick import Quick
from .table import NEW, Row, fault

pytestmark = pytest.mark.slow

ON_EC2 = {"train": {"mode": "ec2"}}
STATE = "LaunchInstance"
TRIES = 5  # Step Functions gives every error of EC2 one name, so what cannot pass is tried as often as what can


def refused(error: str, message: str, times: int = TRIES) -> dict[str, Any]:
    return dict(fault("ec2", "RunInstances", error, message, times=times))


REFUSED = (
    Row(
        STATE,
        "there is no capacity",
        "TrainingFailed",
        "LaunchInstance: …InsufficientInstanceCapacity",
        input=ON_EC2,
        faults=(refused("InsufficientInstanceCapacity", "InsufficientInstanceCapacity: none of c7i.xlarge here"),),
        calls=TRIES,
    ),
    Row(
        STATE,
        "the machine image is not there",
        "TrainingFailed",
        "LaunchInstance: …InvalidAMIID.NotFound",
        input=ON_EC2,
        faults=(refused("InvalidAMIID.NotFound", "InvalidAMIID.NotFound: no such image"),),
        calls=TRIES,
    ),
    Row(
        STATE,
        "the role may not run instances",
        "TrainingFailed",
        "LaunchInstance: …not authorized to perform",
        input=ON_EC2,
        forbid=("TrainOnEc2Role", "LaunchInstance"),
        calls=TRIES,
    ),
    Row(
        STATE,
        "the program fails",
        "TrainingFailed",
        "LaunchInstance: train/ is empty",
        input=ON_EC2,
        behaviour={"train": {"error": "train/ is empty"}},
        calls=1,
    ),
)
THROTTLED = Row(
    STATE,
    "RunInstances is throttled twice",
    after=NEW,
    input=ON_EC2,
    faults=(refused("RequestLimitExceeded", "Request limit exceeded.", 2),),
    calls=3,
)
SILENT = Row(
    STATE,
    "the instance never reports",
    "TrainingFailed",
    "LaunchInstance: the instance said nothing for 15 seconds",
    input={"train": {"mode": "ec2", "heartbeat_seconds": 15}},
)
TERMINATED = Row(
    STATE,
    "somebody terminates the instance",
    "TrainingFailed",
    "LaunchInstance: the instance said nothing for 15 seconds",
    input={"train": {"mode": "ec2", "heartbeat_seconds": 15}},
    behaviour={"train": {"hang": ""}},
)
TWICE = Row(STATE, "the instance reports twice", after=NEW, input=ON_EC2, calls=1)
INTERRUPTED = Row(  # tests/functional/stack/test_spot.py shows it, with real training
    STATE,
    "the spot instance is taken back: a new one is launched, and goes on where a checkpoint is",
    after=NEW,
    input={"train": {"mode": "ec2", "spot": True}},
    calls=2,
)
LATE = Row(
    STATE, "training takes longer than it may", "TimedOut", "LaunchInstance: the instance was stopped at its time limit"
)
ROWS_EC2 = (*REFUSED, THROTTLED, SILENT, TERMINATED, TWICE, INTERRUPTED, LATE)


def instances(quick: Quick, *states: str) -> list[str]:
    wanted = [{"Name": "instance-state-name", "Values": list(states or ("running",))}]
    found = quick.client("ec2").describe_instances(Filters=wanted)["Reservations"]
    return [one["InstanceId"] for reservation in found for one in reservation["Instances"]]


def in_training(quick: Quick) -> str:
    """The instance on which the program has begun."""

    def look() -> str | None:
        for name in instances(quick):
            console = quick.client("ec2").get_console_output(InstanceId=name, Latest=True)
            if "ec2: training" in console.get("Output", ""):
                return name
        return None

    return str(quick.wait_until(look, "an instance in training"))


def processes(quick: Quick) -> list[int]:
    """What still runs of all the instances there have been."""
    return [process.pid for name in instances(quick, "terminated") for process in carrying(INSTANCE_MARK, name)]


def check(quick: Quick, row: Row, execution: str, before: str | None) -> None:
    """The run ended as the row says, what is to serve serves, and nothing runs."""
    outcome = quick.ended(execution)
    assert (outcome.status, outcome.error) == ("FAILED" if row.error else "SUCCEEDED", row.error), outcome.cause
    assert row.matches(outcome.cause), outcome.cause
    assert quick.left_running(within=10) == []
    assert processes(quick) == []
    assert not row.calls or quick.tries(STATE) == row.calls
    assert (quick.serving() != before) == (row.after == NEW)


@pytest.mark.parametrize("row", [*REFUSED, THROTTLED], ids=lambda row: row.happens)
def test_what_goes_wrong_on_an_instance_ends_the_run_and_the_instance(quick: Quick, row: Row) -> None:
    quick.serve()
    before = quick.serving()
    quick.behave(row.behaviour)
    if row.forbid:
        quick.forbid(*row.forbid)

    execution = quick.start(row.input, row.faults)

    check(quick, row, execution, before)


def test_an_instance_that_never_reports_is_given_up_and_terminated(quick: Quick) -> None:
    quick.serve()
    before = quick.serving()
    quick.behave(files={"training/ec2_bootstrap.sh": "sleep 600"})

    execution = quick.start(SILENT.input)

    check(quick, SILENT, execution, before)


def test_an_instance_that_somebody_terminates_fails_the_run(quick: Quick) -> None:
    # given an instance in training
    quick.serve()
    before = quick.serving()
    quick.behave(TERMINATED.behaviour)
    execution = quick.start(TERMINATED.input)
    name = in_training(quick)
    # when somebody terminates it
    quick.client("ec2").terminate_instances(InstanceIds=[name])
    # then the run does not wait for it
    check(quick, TERMINATED, execution, before)


def test_an_instance_that_reports_twice_is_heard_once(quick: Quick) -> None:
    quick.serve()
    before = quick.serving()
    script = quick.program("training/ec2_bootstrap.sh")
    report = [line for line in script.splitlines() if line.startswith("send send-task-success")]
    quick.behave(files={"training/ec2_bootstrap.sh": "\n".join([script, *report])})

    execution = quick.start(TWICE.input)

    check(quick, TWICE, execution, before)


def test_training_that_takes_too_long_is_stopped_with_its_instance(quick: Quick) -> None:
    # given a run's plan whose time limit, with the ten minutes for booting, is three seconds
    quick.behave({"train": {"hang": ""}})
    event = {"input": ON_EC2, "execution": "late", "started": "2026-11-20T10:00:00Z"}
    resource = {"StackName": quick.stack.name, "LogicalResourceId": "ValidateRunFunction"}
    described = quick.client("cloudformation").describe_stack_resource(**resource)
    function = described["StackResourceDetail"]["PhysicalResourceId"]
    answer = quick.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    plan = json.loads(answer["Payload"].read())
    plan["train"]["max_runtime_seconds"] = 3 - 600
    machine = quick.stack.state_machines["pipeline"].replace("-pipeline", "-train-on-ec2")
    run_input = {"plan": plan, "parameters": plan["parameters"], "features_uri": ""}
    # when it is trained
    started = quick.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(run_input))
    quick.last = started["executionArn"]
    # then it is over in time
    outcome = quick.ended(quick.last)
    assert (outcome.error, outcome.cause) == (LATE.error, LATE.cause)
    assert quick.left_running(within=10) == []
    assert processes(quick) == []
