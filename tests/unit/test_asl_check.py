"""The checker of state machines on small ones of its own: tokens, limits, nested executions, names and errors."""

from __future__ import annotations

from typing import Any

import pytest

from tools import asl_check

TOKEN = "{% $states.context.Task.Token %}"


def on(*names: str) -> list[dict[str, Any]]:
    """A Retry of these errors."""
    return [{"ErrorEquals": list(names)}]


def machine(**changes: Any) -> dict[str, Any]:
    """A right state machine whose first state waits for a token; `changes` are of that state (None: without it)."""
    state: dict[str, Any] = {
        "Type": "Task",
        "Comment": "An instance that answers",
        "Resource": "arn:aws:states:::aws-sdk:ec2:runInstances.waitForTaskToken",
        "Arguments": {
            "ImageId": "ami-1",
            "MinCount": 1,
            "MaxCount": 1,
            "UserData": "{% $base64encode('token=' & $states.context.Task.Token) %}",
        },
        "TimeoutSeconds": 600,
        "HeartbeatSeconds": 60,
        "Retry": [{"ErrorEquals": ["Ec2.Ec2Exception", "SpotInterrupted"]}],
        "Catch": [
            {"ErrorEquals": ["States.HeartbeatTimeout"], "Next": "Done"},
            {"ErrorEquals": ["States.ALL"], "Next": "Done"},
        ],
        "Next": "Done",
        **changes,
    }
    state = {name: value for name, value in state.items() if value is not None}
    done = {"Type": "Succeed", "Comment": "The end"}
    return {
        "QueryLanguage": "JSONata",
        "TimeoutSeconds": 3600,
        "StartAt": "Run",
        "States": {"Run": state, "Done": done},
    }


def plain(service: str, arguments: Any, **changes: Any) -> dict[str, Any]:
    """The same machine with a state that waits for no token."""
    resource = f"arn:aws:states:::{service}"
    merged = {"Resource": resource, "Arguments": arguments, "HeartbeatSeconds": None, "Retry": None, **changes}
    return machine(**merged)


START = {"StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:child", "Input": {"n": 1}}
OBJECT = {"Bucket": "b", "Key": "k"}


@pytest.mark.parametrize(
    "definition",
    [
        machine(),
        plain("states:startExecution.sync:2", START),
        plain("states:startExecution.sync:2", START, Retry=on("StepFunctions.ExecutionLimitExceededException")),
        plain("aws-sdk:sfn:startExecution", START, Retry=on("Sfn.ExecutionAlreadyExistsException")),
        plain("aws-sdk:s3:putObject", {**OBJECT, "Body": {"uri": "{% $states.input.uri %}"}}),
        plain("aws-sdk:s3:getObject", OBJECT, Retry=on("S3.NoSuchKeyException", "S3.S3Exception")),
        plain("aws-sdk:s3:headObject", OBJECT, Retry=on("S3.NoSuchKeyException")),
        plain("aws-sdk:ssm:getParameter", {"Name": "/a"}, Retry=on("Ssm.ParameterNotFoundException")),
        plain("codebuild:startBuild.sync", {"ProjectName": "p"}, Retry=on("CodeBuild.AWSCodeBuildException")),
        plain("apigateway:invoke", {"ApiEndpoint": "h", "Method": "GET"}, Retry=on("ApiGateway.503")),
        plain(
            "aws-sdk:sagemaker:listTags",
            {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m"},
            Output="{% $states.context.Execution.StartTime & $states.context.State.EnteredTime %}",
        ),
    ],
)
def test_what_is_right_is_left_alone(definition: dict[str, Any]) -> None:
    assert asl_check.check(definition) == []


@pytest.mark.parametrize(
    ("definition", "finding"),
    [
        (machine(HeartbeatSeconds=600), "HeartbeatSeconds, 600, has to be below TimeoutSeconds, 600"),
        (machine(Arguments={"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}), "nobody could answer"),
        (machine(Resource="arn:aws:states:::aws-sdk:ec2:runInstances.sync"), "aws-sdk actions have no .sync"),
        (machine(Resource="arn:aws:states:::aws-sdk:ec2:runInstances"), "only in a state whose Resource ends with"),
        (plain("aws-sdk:s3:headObject", OBJECT, HeartbeatSeconds=5), "HeartbeatSeconds does nothing"),
        (plain("aws-sdk:s3:headObject", {**OBJECT, "Key": TOKEN}), "only in a state whose Resource ends with"),
        (
            machine(Catch=[{"ErrorEquals": ["States.ALL"], "Output": TOKEN, "Next": "Done"}]),
            "only in a state whose Resource ends with",
        ),
        (
            plain("aws-sdk:s3:headObject", {**OBJECT, "Key": "{% $states.context.Execution.Nam %}"}),
            "$states.context.Execution.Nam is not there",
        ),
        (
            plain("aws-sdk:s3:headObject", {**OBJECT, "Key": "{% $states.context.Exec.Name %}"}),
            "$states.context.Exec is not there",
        ),
        (plain("states:startExecution.sync:3", START), "has no .sync:3"),
        (plain("sagemaker:createTrainingJob.sync:2", {}), "has no .sync:2"),
        (
            plain("states:startExecution.sync:2", START, Retry=on("Sfn.SfnException")),
            "Sfn.SfnException is no error of states",
        ),
        (
            plain("aws-sdk:s3:getObject", OBJECT, Retry=on("S3.NoSuchKey")),
            "is it S3.NoSuchKeyException?",
        ),
        (
            plain(
                "aws-sdk:sagemaker:describeModel", {"ModelName": "m"}, Retry=on("SageMaker.AmazonSageMakerException")
            ),
            "SageMaker.AmazonSageMakerException is no error of sagemaker",
        ),
        (
            plain("codebuild:startBuild.sync", {"ProjectName": "p"}, Retry=on("CodeBuild.CodeBuildException")),
            "is it CodeBuild.AWSCodeBuildException?",
        ),
        (machine(Retry=on("Ec2.InvalidInstanceID.NotFound")), "is no error of ec2"),
        (plain("apigateway:invoke", {"Method": "GET"}), "Arguments.ApiEndpoint is missing"),
        (
            plain("apigateway:invoke", {"ApiEndpoint": "h", "Method": "GET"}, Retry=on("ApiGateway.Busy")),
            "the HTTP status",
        ),
    ],
)
def test_a_seeded_bug_is_found_in_its_state(definition: dict[str, Any], finding: str) -> None:
    problems = asl_check.check(definition)

    assert [problem for problem in problems if problem.startswith("Run: ") and finding in problem], problems
