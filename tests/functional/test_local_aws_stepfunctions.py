"""State machines of the embedded AWS: SageMaker's integrations, ends of executions, and JSONata's error handling."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from . import machines
from .conftest import ROLE, Stage, wait_for
from .machines import ended, run, start

TRAIN = "arn:aws:states:::sagemaker:createTrainingJob.sync"


def train(stage: Stage, mode: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """The name of a job, and a state that runs it."""
    name = f"job-{uuid.uuid4().hex[:8]}"
    return name, {"Type": "Task", "Resource": TRAIN, "Arguments": stage.job(name, mode=mode), "End": True, **more}


def status(stage: Stage, job: str) -> str:
    """The job's status."""
    found: str = stage.aws.client("sagemaker").describe_training_job(TrainingJobName=job)["TrainingJobStatus"]
    return found


def test_a_job_state_waits_and_gives_the_jobs_description(stage: Stage) -> None:
    name, state = train(stage, "good", Output="{% $states.result %}")

    done = run(stage, {"Train": state})

    assert done["status"] == "SUCCEEDED"
    output = json.loads(done["output"])
    assert output["TrainingJobName"] == name
    assert output["ModelArtifacts"]["S3ModelArtifacts"].endswith("/model.tar.gz")
    assert output["CreationTime"] > time.time() * 1000 - 600_000


def test_the_history_tells_what_was_asked_and_what_came_back(stage: Stage) -> None:
    name, state = train(stage, "good", TimeoutSeconds=600)

    execution = start(stage, {"Train": state})
    ended(stage, execution)

    events = machines.history(stage, execution)
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    assert [event["previousEventId"] for event in events] == [0, 0, 2, 3, 4, 5, 6, 7]
    scheduled, _, submitted, succeeded = (machines.details(event) for event in events[2:6])
    assert (scheduled["resourceType"], scheduled["resource"]) == ("sagemaker", "createTrainingJob.sync")
    assert (scheduled["region"], scheduled["timeoutInSeconds"]) == ("us-east-1", 600)
    assert json.loads(scheduled["parameters"])["TrainingJobName"] == name
    assert json.loads(submitted["output"])["TrainingJobArn"].endswith(name)
    assert json.loads(succeeded["output"])["TrainingJobStatus"] == "Completed"


def test_a_failed_job_fails_the_state_with_the_jobs_description(stage: Stage) -> None:
    _, state = train(stage, "fail")

    done = run(stage, {"Train": state})

    assert (done["status"], done["error"]) == ("FAILED", "States.TaskFailed")
    assert "the data is no good" in json.loads(done["cause"])["FailureReason"]


def test_a_stopped_execution_stops_its_job_and_stays_aborted(stage: Stage) -> None:
    name, state = train(stage, "wait", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Never"}])
    execution = start(stage, {"Train": state, "Never": {"Type": "Succeed"}})
    client = stage.aws.client("stepfunctions")
    wait_for(lambda: _running(stage, name), "the job's start")

    client.stop_execution(executionArn=execution, error="Enough", cause="a person said so")

    wait_for(lambda: status(stage, name) == "Stopped", "the job's end")
    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_a_state_that_times_out_stops_its_job(stage: Stage) -> None:
    name, state = train(stage, "wait", TimeoutSeconds="{% 1 + 0 %}")

    done = run(stage, {"Train": state})

    assert (done["status"], done["error"]) == ("FAILED", "States.Timeout")
    assert machines.event(stage, done["executionArn"], "TaskTimedOut")["error"] == "States.Timeout"
    wait_for(lambda: status(stage, name) == "Stopped", "the job's end")


def test_a_state_machine_that_times_out_stops_its_job(stage: Stage) -> None:
    name, state = train(stage, "wait")

    done = run(stage, {"Train": state}, TimeoutSeconds=1)

    assert done["status"] == "TIMED_OUT"
    wait_for(lambda: status(stage, name) == "Stopped", "the job's end")


def _running(stage: Stage, job: str) -> bool:
    client = stage.aws.client("sagemaker")
    found = client.list_training_jobs(NameContains=job)["TrainingJobSummaries"]
    return bool(found) and client.describe_training_job(TrainingJobName=job)["SecondaryStatus"] == "Training"


@pytest.mark.parametrize(
    ("resource", "arguments", "error"),
    [
        (TRAIN, {"TrainingJobName": "no_underscore"}, "SageMaker.AmazonSageMakerException"),
        (
            "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
            {"EndpointName": "gone"},
            "SageMaker.SageMakerException",
        ),
        (
            "arn:aws:states:::sagemaker:createEndpoint",
            {"EndpointName": "a", "EndpointConfigName": "gone"},
            "SageMaker.AmazonSageMakerException",
        ),
        (
            "arn:aws:states:::sagemaker:createEndpointConfig",
            {"EndpointConfigName": "a"},
            "SageMaker.AmazonSageMakerException",
        ),
        (
            "arn:aws:states:::sagemaker:updateEndpoint",
            {"EndpointName": "a", "EndpointConfigName": "b", "DeploymentConfig": {}},
            "States.Runtime",
        ),
        ("arn:aws:states:::sagemaker:createProcessingJob.sync", {}, "States.Runtime"),
        (
            "arn:aws:states:::aws-sdk:applicationautoscaling:deregisterScalableTarget",
            {
                "ServiceNamespace": "sagemaker",
                "ResourceId": "endpoint/a/variant/b",
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            },
            "ApplicationAutoScaling.ObjectNotFoundException",
        ),
        (
            "arn:aws:states:::aws-sdk:ecr:describeImages",
            {"RepositoryName": "kennel/serving", "ImageIds": [{"ImageTag": "gone"}]},
            "Ecr.ImageNotFoundException",
        ),
        (
            "arn:aws:states:::aws-sdk:codebuild:startBuild",
            {"ProjectName": "gone"},
            "CodeBuild.ResourceNotFoundException",
        ),
    ],
)
def test_errors_have_the_names_an_execution_sees_on_aws(
    stage: Stage, resource: str, arguments: dict[str, Any], error: str
) -> None:
    done = run(stage, {"Call": {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}})

    assert (done["status"], done["error"]) == ("FAILED", error)


def test_sdk_answers_come_in_pascal_case(stage: Stage) -> None:
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:codebuild:batchGetBuilds",
        "Arguments": {"Ids": ["gone:1"]},
        "End": True,
    }

    done = run(stage, {"Call": state})

    assert json.loads(done["output"])["BuildsNotFound"] == ["gone:1"]


def test_retry_runs_out_and_catch_assigns_from_the_error(stage: Stage) -> None:
    states = {
        "Begin": {"Type": "Pass", "Assign": {"tries": 0, "kept": "before"}, "Next": "Call"},
        "Call": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
            "Arguments": {"EndpointName": "gone"},
            "Assign": {"kept": "never"},
            "Retry": [
                {
                    "ErrorEquals": ["SageMaker.SageMakerException"],
                    "IntervalSeconds": 60,
                    "MaxDelaySeconds": 1,
                    "MaxAttempts": 1,
                    "JitterStrategy": "FULL",
                }
            ],
            "Catch": [
                {
                    "ErrorEquals": ["States.ALL"],
                    "Assign": {"why": "{% $states.errorOutput.Error %}"},
                    "Output": {"cause": "{% $states.errorOutput.Cause %}"},
                    "Next": "Tell",
                }
            ],
            "End": True,
        },
        "Tell": {
            "Type": "Pass",
            "Output": {"why": "{% $why %}", "kept": "{% $kept %}", "cause": "{% $states.input.cause %}"},
            "End": True,
        },
    }

    output = json.loads(run(stage, states)["output"])

    assert output["why"] == "SageMaker.SageMakerException"
    assert output["kept"] == "before"
    assert "Could not find endpoint" in output["cause"]


def test_assign_sees_the_variables_from_before_the_state(stage: Stage) -> None:
    states = {
        "Begin": {"Type": "Pass", "Assign": {"a": 1, "b": 2}, "Next": "Swap"},
        "Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "Tell"},
        "Tell": {"Type": "Pass", "Output": ["{% $a %}", "{% $b %}"], "End": True},
    }

    assert json.loads(run(stage, states)["output"]) == [2, 1]


def test_a_succeed_state_gives_its_output(stage: Stage) -> None:
    states = {
        "Count": {"Type": "Pass", "Assign": {"count": 3}, "Next": "Done"},
        "Done": {"Type": "Succeed", "Output": {"removed": "{% $count %}"}},
    }

    assert json.loads(run(stage, states)["output"]) == {"removed": 3}


def test_a_stopped_execution_does_not_go_on_after_a_wait(stage: Stage) -> None:
    execution = start(stage, {"Wait": {"Type": "Wait", "Seconds": 1, "Next": "After"}, "After": {"Type": "Succeed"}})
    client = stage.aws.client("stepfunctions")

    client.stop_execution(executionArn=execution)
    client.stop_execution(executionArn=execution)
    time.sleep(1.5)

    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"
    types = [event["type"] for event in client.get_execution_history(executionArn=execution)["events"]]
    assert types[-1] == "ExecutionAborted"


def test_a_state_machine_writes_its_log(stage: Stage) -> None:
    client, logs = stage.aws.client("stepfunctions"), stage.aws.client("logs")
    logs.create_log_group(logGroupName="/states/logged")
    group = "arn:aws:logs:us-east-1:000000000000:log-group:/states/logged:*"
    created = client.create_state_machine(
        name="logged",
        definition=json.dumps({"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}}),
        roleArn=ROLE,
        loggingConfiguration={
            "level": "ALL",
            "includeExecutionData": False,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
        },
    )

    arn = client.start_execution(stateMachineArn=created["stateMachineArn"], input='{"secret": 1}')["executionArn"]
    ended(stage, arn)

    events = [json.loads(event["message"]) for event in logs.filter_log_events(logGroupName="/states/logged")["events"]]
    types = [event["type"] for event in events]
    assert types == ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    assert "secret" not in json.dumps(events)
