"""What starts a state machine of a SAM template by itself on the embedded AWS: the clock, and how another one ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from . import machines
from .conftest import ROLE, LocalAws, emulator, wait_for

TEMPLATE = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/aws/vendedlogs/states/sweep"}},
        "Pipeline": {
            "Type": "AWS::Serverless::StateMachine",
            "Properties": {
                "Name": "pipeline",
                "Definition": {
                    "StartAt": "Wait",
                    "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}},
                    "TimeoutSeconds": 2,
                },
            },
        },
        "Sweep": {
            "Type": "AWS::Serverless::StateMachine",
            "Properties": {
                "Name": "sweep",
                "Role": ROLE,
                "Tracing": {"Enabled": True},
                "Logging": {
                    "Level": "ERROR",
                    "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["Log", "Arn"]}}}],
                },
                "Definition": {"StartAt": "Tell", "States": {"Tell": {"Type": "Pass", "End": True}}},
                "Events": {
                    "Ended": {
                        "Type": "EventBridgeRule",
                        "Properties": {
                            "Pattern": {
                                "source": ["aws.states"],
                                "detail-type": ["Step Functions Execution Status Change"],
                                "detail": {
                                    "status": ["ABORTED", "TIMED_OUT"],
                                    "stateMachineArn": [{"Ref": "Pipeline"}],
                                },
                            }
                        },
                    },
                    "ByRule": {
                        "Type": "Schedule",
                        "Properties": {"Schedule": "rate(1 hour)", "Input": '{"by": "rule"}'},
                    },
                    "ByScheduler": {
                        "Type": "ScheduleV2",
                        "Properties": {"ScheduleExpression": "rate(2 hours)", "Input": '{"by": "scheduler"}'},
                    },
                    "Off": {
                        "Type": "Schedule",
                        "Properties": {"Schedule": "rate(1 hour)", "Input": '{"by": "off"}', "Enabled": False},
                    },
                },
            },
        },
    },
}
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An emulator where an hour of a schedule passes in a second, with the template's stack."""
    state = tmp_path_factory.mktemp("scheduled-aws")
    with emulator(state, LOCAL_AWS_TIME_FACTOR="3600", SFN_WAIT_SCALE="1") as aws:
        client = aws.client("cloudformation")
        client.create_stack(
            StackName="events",
            TemplateBody=json.dumps(TEMPLATE),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        client.get_waiter("stack_create_complete").wait(StackName="events", WaiterConfig={"Delay": 1})
        yield aws


def inputs(aws: LocalAws) -> list[Any]:
    """What every execution of the sweep was started with."""
    client = aws.client("stepfunctions")
    found = client.list_executions(stateMachineArn=f"{MACHINE}sweep")["executions"]
    return [json.loads(client.describe_execution(executionArn=one["executionArn"])["input"]) for one in found]


def swept(aws: LocalAws, execution: str) -> dict[str, Any]:
    """The event that the sweep was started with for the execution."""
    found: dict[str, Any] = wait_for(
        lambda: next((one for one in inputs(aws) if one.get("resources") == [execution]), None), "the sweep"
    )
    return found


def _unless_running(described: dict[str, Any]) -> dict[str, Any] | None:
    return None if described["status"] == "RUNNING" else described


def test_schedules_of_both_kinds_fire_again_and_again_and_a_disabled_one_does_not(fast: LocalAws) -> None:
    def twice() -> bool:
        found = inputs(fast)
        return found.count({"by": "rule"}) > 1 and found.count({"by": "scheduler"}) > 1

    wait_for(twice, "two of each")

    assert {"by": "off"} not in inputs(fast)


def test_a_templates_machine_is_described_as_one_that_the_api_made(fast: LocalAws) -> None:
    described = [
        fast.client("stepfunctions").describe_state_machine(stateMachineArn=f"{MACHINE}{name}")
        for name in ("sweep", "pipeline")
    ]

    logging, none = (one["loggingConfiguration"] for one in described)
    assert [one["tracingConfiguration"] for one in described] == [{"enabled": True}, {"enabled": False}]
    assert (logging["level"], logging["includeExecutionData"]) == ("ERROR", False)
    (destination,) = logging["destinations"]
    assert ":log-group:/aws/vendedlogs/states/sweep" in destination["cloudWatchLogsLogGroup"]["logGroupArn"]
    assert none == {"level": "OFF", "includeExecutionData": False}


def test_an_aborted_execution_starts_the_rules_target_with_the_event(fast: LocalAws) -> None:
    client = fast.client("stepfunctions")
    execution = client.start_execution(stateMachineArn=f"{MACHINE}pipeline", input='{"run": "r"}')["executionArn"]

    client.stop_execution(executionArn=execution, error="Enough")

    event = swept(fast, execution)
    assert (event["source"], event["detail-type"]) == ("aws.states", "Step Functions Execution Status Change")
    assert event["resources"] == [execution]
    detail = event["detail"]
    assert (detail["status"], detail["executionArn"]) == ("ABORTED", execution)
    assert (detail["stateMachineArn"], detail["name"]) == (f"{MACHINE}pipeline", execution.rpartition(":")[2])
    assert detail["input"] == '{"run": "r"}'


def test_an_execution_that_times_out_starts_the_rules_target_too(fast: LocalAws) -> None:
    client = fast.client("stepfunctions")
    execution = client.start_execution(stateMachineArn=f"{MACHINE}pipeline")["executionArn"]

    assert swept(fast, execution)["detail"]["status"] == "TIMED_OUT"


def test_limits_are_real_seconds_whatever_the_factor(fast: LocalAws) -> None:
    client = fast.client("stepfunctions")
    arguments = {"Bucket": "limits", "Body": "{% $states.context.Task.Token %}", "Key": "k"}
    state = machines.task(
        "aws-sdk:s3:putObject.waitForTaskToken", arguments, HeartbeatSeconds="{% 1 %}", TimeoutSeconds=5
    )
    definition = {"QueryLanguage": "JSONata", "StartAt": "Ask", "States": {"Ask": state}}
    fast.client("s3").create_bucket(Bucket="limits")
    made = client.create_state_machine(name="asks", definition=json.dumps(definition), roleArn=ROLE)

    execution = client.start_execution(stateMachineArn=made["stateMachineArn"])["executionArn"]

    done = wait_for(lambda: _unless_running(client.describe_execution(executionArn=execution)), "the end")
    assert done["error"] == "States.Timeout"
    assert (done["stopDate"] - done["startDate"]).total_seconds() > 1


def test_a_deleted_stack_starts_nothing_any_more(fast: LocalAws) -> None:
    client = fast.client("cloudformation")
    client.delete_stack(StackName="events")
    client.get_waiter("stack_delete_complete").wait(StackName="events", WaiterConfig={"Delay": 1})

    assert fast.client("scheduler").list_schedules()["Schedules"] == []
    assert fast.client("events").list_rules()["Rules"] == []
