"""The embedded AWS is killed without warning: what it had answered for is there when it is started again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_aws import supervisor

from .conftest import ROLE, LocalAws, build_stage, wait_for

MEGABYTE = 1_000_000
QUICK = {"StartAt": "Say", "States": {"Say": {"Type": "Pass", "Result": {"said": "woof"}, "End": True}}}
LONG = {"StartAt": "Sit", "States": {"Sit": {"Type": "Wait", "Seconds": 600, "End": True}}}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory that is down at the end; nothing in it is saved by the clock."""
    monkeypatch.setenv("LOCAL_AWS_AUTOSAVE", "3600")
    yield tmp_path / "aws"
    supervisor.down(tmp_path / "aws")


def up(state: Path) -> LocalAws:
    """Starts an emulator there."""
    return LocalAws(state.resolve(), supervisor.up(state, 0))


def killed(aws: LocalAws) -> LocalAws:
    """The emulator after a SIGKILL and the next `up`."""
    os.kill(aws.info["pid"], signal.SIGKILL)
    psutil.Process(aws.info["pid"]).wait()
    return up(aws.state)


def executions(aws: LocalAws) -> tuple[str, str]:
    """One that has succeeded, and one that runs."""
    client = aws.client("stepfunctions")
    arns = []
    for name, definition in (("quick", QUICK), ("long", LONG)):
        machine = client.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        arns.append(client.start_execution(stateMachineArn=machine["stateMachineArn"], name="one")["executionArn"])
    wait_for(lambda: client.describe_execution(executionArn=arns[0])["status"] == "SUCCEEDED", "the quick one's end")
    return arns[0], arns[1]


def test_what_was_answered_for_outlives_a_sigkill_at_once(state: Path) -> None:
    aws = up(state)
    aws.client("ssm").put_parameter(Name="/dog", Value="Beagle", Type="String")
    metric: dict[str, Any] = {"Namespace": "dogs", "MetricName": "barks"}
    limits = {"Period": 60, "EvaluationPeriods": 1, "Threshold": 9, "ComparisonOperator": "GreaterThanThreshold"}
    aws.client("cloudwatch").put_metric_alarm(AlarmName="loud", Statistic="Sum", **metric, **limits)
    data = [{"MetricName": "barks", "Value": value} for value in (1.0, 2.0)]
    aws.client("cloudwatch").put_metric_data(Namespace="dogs", MetricData=data)
    place = {"logGroupName": "kennel", "logStreamName": "first"}
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="kennel")
    logs.create_log_stream(**place)
    now = int(time.time() * 1000)
    logs.put_log_events(**place, logEvents=[{"timestamp": now, "message": "woof"}, {"timestamp": now, "message": "2"}])
    taken = logs.filter_log_events(logGroupName="kennel")["events"]
    ended, running = executions(aws)
    told = aws.client("stepfunctions").get_execution_history(executionArn=ended)["events"]

    fresh = killed(aws)

    assert fresh.client("ssm").get_parameter(Name="/dog")["Parameter"]["Value"] == "Beagle"
    assert [one["AlarmName"] for one in fresh.client("cloudwatch").describe_alarms()["MetricAlarms"]] == ["loud"]
    times = {"StartTime": time.time() - 600, "EndTime": time.time() + 60, "Period": 3600}
    points = fresh.client("cloudwatch").get_metric_statistics(**metric, **times, Statistics=["Sum", "SampleCount"])
    assert sum(one["Sum"] for one in points["Datapoints"]) == 3.0
    assert fresh.client("logs").filter_log_events(logGroupName="kennel")["events"] == taken
    assert [one["message"] for one in taken] == ["woof", "2"]
    client = fresh.client("stepfunctions")
    assert client.describe_execution(executionArn=ended)["output"] == '{"said": "woof"}'
    assert client.get_execution_history(executionArn=ended)["events"] == told
    cut_off = client.describe_execution(executionArn=running)
    assert (cut_off["status"], cut_off["error"]) == ("FAILED", "States.ServiceRestart")
    assert client.get_execution_history(executionArn=running)["events"][-1]["type"] == "ExecutionFailed"


def test_what_was_deleted_does_not_come_back(state: Path) -> None:
    aws = up(state)
    logs = aws.client("logs")
    for name in ("gone", "again"):
        logs.create_log_group(logGroupName=name)
        logs.create_log_stream(logGroupName=name, logStreamName="s")
        event = {"timestamp": int(time.time() * 1000), "message": "before"}
        logs.put_log_events(logGroupName=name, logStreamName="s", logEvents=[event])
        logs.delete_log_group(logGroupName=name)
    logs.create_log_group(logGroupName="again")
    ended, _ = executions(aws)
    machine = aws.client("stepfunctions").describe_execution(executionArn=ended)["stateMachineArn"]
    aws.client("stepfunctions").delete_state_machine(stateMachineArn=machine)

    fresh = killed(aws)

    assert [one["logGroupName"] for one in fresh.client("logs").describe_log_groups()["logGroups"]] == ["again"]
    assert fresh.client("logs").filter_log_events(logGroupName="again")["events"] == []
    with pytest.raises(fresh.client("stepfunctions").exceptions.ExecutionDoesNotExist):
        fresh.client("stepfunctions").describe_execution(executionArn=ended)


def test_a_stack_that_was_told_to_be_complete_is_there_with_what_it_made_and_a_deleted_one_is_not(state: Path) -> None:
    aws = up(state)
    stacks = aws.client("cloudformation")
    for name in ("gone", "kept"):
        parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": f"/{name}", "Type": "String", "Value": "x"}}
        stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Parameter": parameter}}))
        stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    stacks.delete_stack(StackName="gone")
    stacks.get_waiter("stack_delete_complete").wait(StackName="gone", WaiterConfig={"Delay": 1})

    fresh = killed(aws)

    assert [one["StackName"] for one in fresh.client("cloudformation").describe_stacks()["Stacks"]] == ["kept"]
    found = fresh.client("ssm").get_parameters(Names=["/gone", "/kept"])
    assert ([one["Name"] for one in found["Parameters"]], found["InvalidParameters"]) == (["/kept"], ["/gone"])


def test_versions_of_objects_lie_on_disk_alone_and_can_all_be_read(state: Path) -> None:
    aws = up(state)
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="kennel")
    s3.put_bucket_versioning(Bucket="kennel", VersioningConfiguration={"Status": "Enabled"})
    before = psutil.Process(aws.info["pid"]).memory_info().rss
    bodies = {}
    for number in range(16):
        key = f"dog-{number % 4}"
        body = bytes([number]) * (8 * MEGABYTE)
        bodies[key, s3.put_object(Bucket="kennel", Key=key, Body=body)["VersionId"]] = body
    s3.delete_object(Bucket="kennel", Key="dog-0")

    assert psutil.Process(aws.info["pid"]).memory_info().rss - before < 64 * MEGABYTE
    for (key, version), body in bodies.items():
        assert s3.get_object(Bucket="kennel", Key=key, VersionId=version)["Body"].read() == body
    s3 = killed(aws).client("s3")
    for (key, version), body in bodies.items():
        assert s3.get_object(Bucket="kennel", Key=key, VersionId=version)["Body"].read() == body
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="kennel")["Contents"]] == ["dog-1", "dog-2", "dog-3"]


def test_nothing_of_a_killed_ones_jobs_and_endpoints_stays_on_disk(state: Path) -> None:
    stage = build_stage(up(state))
    stage.aws.client("sagemaker").create_training_job(**stage.job("waiting", mode="wait"))
    wait_for(lambda: list((stage.aws.state / "jobs").rglob("*")), "the job's folder")

    fresh = killed(stage.aws)

    assert list((fresh.state / "jobs").iterdir()) == []


def test_a_model_that_serves_no_more_leaves_the_disk(state: Path) -> None:
    stage = build_stage(up(state))
    name = stage.endpoint()
    client = stage.aws.client("sagemaker")

    for version in ("2", "3"):
        stage.model(f"m{version}", **{"version.txt": version})
        stage.config(f"m{version}", f"m{version}")
        client.update_endpoint(EndpointName=name, EndpointConfigName=f"m{version}")
        wait_for(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", "the update")

    wait_for(lambda: len(list((stage.aws.state / "models").iterdir())) == 1, "one model on disk")
    answer = stage.aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=b"x")
    assert json.loads(answer["Body"].read())["version"] == "3"
