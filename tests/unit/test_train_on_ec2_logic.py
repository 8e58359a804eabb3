"""Training on EC2: what the instance is told, and that it is gone at the end of every path."""

from __future__ import annotations

import base64
import json
import shlex
from typing import Any

import pytest

from tests.unit.account import Account
from tests.unit.asl_walker import TaskError, Walk, walk
from tests.unit.plans import machine, make_plan

LAUNCH = "ec2:runInstances.waitForTaskToken"
RESULT = {"model_data": "s3://artifacts/runs/first/ec2/output/model.tar.gz", "seconds": 12, "metrics": {}}


class World(Account):
    """One instance; `states` are what it is in, a look at a time, before it is gone."""

    def __init__(self, launch: Any = RESULT, states: tuple[str, ...] = ("running", "shutting-down"), **plan: Any):
        super().__init__()
        self.fail[LAUNCH] = launch
        self.states = list(states)
        self.plan = make_plan({"train": {"mode": "ec2", **plan}})

    def do_describeInstances(self, _: Any) -> Any:
        found = [{"InstanceId": "i-1", "State": {"Name": self.states.pop(0)}}] if self.states else []
        return {"Reservations": [{"Instances": found}] if found else []}

    def do_terminateInstances(self, _: Any) -> Any:
        return {}

    def made(self, call: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.requests if name == call]


def run(world: World) -> Walk:
    run_input = {"plan": world.plan, "parameters": {"epochs": "5"}, "features_uri": "s3://artifacts/features/k/"}
    return walk(machine("train_on_ec2"), run_input, world)


def test_the_instance_is_told_all_it_needs_and_ends_itself() -> None:
    done = run(world := World())

    assert done.output == RESULT
    (asked,) = world.made(LAUNCH)
    script = base64.b64decode(asked["UserData"]).decode()
    assert script.startswith("#!/bin/bash\nshutdown -h +135\n")
    given = dict(
        word.split("=", 1) for line in script.splitlines() if line[:7] == "export " for word in shlex.split(line)[1:]
    )
    assert given["TASK_TOKEN"] == "token" and given["DATA_URI"] == "s3://data/dogImages/"
    assert json.loads(base64.b64decode(given["HYPERPARAMETERS_B64"])) == {"epochs": "5"}
    assert given["OUTPUT_URI"].startswith(world.plan["output_uri"])


def test_the_instance_takes_nothing_from_outside_and_is_this_stacks() -> None:
    run(world := World())

    (asked,) = world.made(LAUNCH)
    assert asked["ImageId"] == "resolve:ssm:/aws/service/ami"
    assert asked["MetadataOptions"]["HttpTokens"] == "required"
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "KeyName" not in asked and "InstanceMarketOptions" not in asked
    tags = {tag["Key"]: tag["Value"] for tag in asked["TagSpecifications"][0]["Tags"]}
    assert (tags["kennel:stack"], tags["kennel:run"]) == ("kennel", world.plan["run"])


def test_spot_asks_once_and_ends_when_interrupted() -> None:
    run(world := World(spot=True))

    assert world.made(LAUNCH)[0]["InstanceMarketOptions"]["SpotOptions"] == {
        "SpotInstanceType": "one-time",
        "InstanceInterruptionBehavior": "terminate",
    }


def test_a_quote_in_the_datas_name_stays_a_quote() -> None:
    world = World()
    world.plan["data"]["uri"] = "s3://data/it's; rm -rf x/"
    run(world)

    script = base64.b64decode(world.made(LAUNCH)[0]["UserData"]).decode()
    (line,) = [line for line in script.splitlines() if line.startswith("export DATA_URI")]
    assert shlex.split(line)[1] == "DATA_URI=s3://data/it's; rm -rf x/"


FAILURES = [
    (TaskError("TrainingFailed", "error: train/ is empty"), "TrainingFailed", "LaunchInstance: train/ is empty"),
    (
        TaskError("States.HeartbeatTimeout"),
        "TrainingFailed",
        "LaunchInstance: the instance said nothing for 300 seconds",
    ),
    (TaskError("States.Timeout"), "TimedOut", "LaunchInstance: the instance was stopped at its time limit"),
    (TaskError("Ec2.Ec2Exception", "no capacity"), "TrainingFailed", "LaunchInstance: no capacity"),
]


@pytest.mark.parametrize(("failure", "error", "cause"), FAILURES)
def test_however_training_ends_the_instance_is_terminated(failure: TaskError, error: str, cause: str) -> None:
    done = run(world := World(failure))

    assert done.error == error and done.cause.startswith(cause)
    assert world.made("ec2:terminateInstances") == [{"InstanceIds": ["i-1"]}] and not world.states


def test_an_instance_that_stays_is_named() -> None:
    done = run(World(states=("stopping",) * 300))

    assert done.error == "TrainingFailed" and done.cause.endswith("The instance i-1 is still stopping")
