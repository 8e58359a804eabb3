"""`aws-sdk:` integrations and states on the embedded AWS: names, values and errors as Step Functions gives them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from . import machines
from .conftest import ROLE, Stage


def put(stage: Stage, body: Any) -> dict[str, Any]:
    """The object that s3:putObject writes of a Body."""
    key = f"put/{uuid.uuid4().hex} ü.json"
    states = {"Put": machines.task("aws-sdk:s3:putObject", {"Bucket": "stage", "Key": key, "Body": body})}
    output = json.loads(machines.run(stage, states)["output"])
    found: dict[str, Any] = stage.aws.client("s3").get_object(Bucket="stage", Key=key)
    assert output["ETag"] == found["ETag"]
    return found


@pytest.mark.parametrize(
    ("body", "written"),
    [({"a": [1, "ü"]}, '{"a":[1,"ü"]}'), ("text", '"text"'), (False, "false"), ("{% 1 + 1 %}", "2")],
)
def test_put_object_writes_every_body_as_json(stage: Stage, body: Any, written: str) -> None:
    found = put(stage, body)

    assert found["Body"].read().decode() == written
    assert found["ContentType"] == "text/plain; charset=UTF-8"


def test_get_object_gives_the_body_as_text_and_the_metadata_as_they_are(stage: Stage) -> None:
    stage.aws.client("s3").put_object(
        Bucket="stage", Key="got/a b.json", Body=b'{"uri": "s3://there"}', Metadata={"runid": "r"}
    )
    state = machines.task(
        "aws-sdk:s3:getObject",
        {"Bucket": "stage", "Key": "got/a b.json"},
        Output={"uri": "{% $parse($states.result.Body).uri %}", "all": "{% $states.result %}"},
    )

    output = json.loads(machines.run(stage, {"Get": state})["output"])

    assert output["uri"] == "s3://there"
    assert (output["all"]["ContentLength"], output["all"]["Metadata"]) == (21, {"runid": "r"})
    assert output["all"]["LastModified"].endswith("Z")


def test_objects_are_listed_and_looked_at(stage: Stage) -> None:
    stage.aws.client("s3").put_object(Bucket="stage", Key="listed/one", Body=b"12345")
    states = {
        "List": machines.task(
            "aws-sdk:s3:listObjectsV2",
            {"Bucket": "stage", "Prefix": "listed/", "MaxKeys": 5},
            Assign={"key": "{% $states.result.Contents[0].Key %}", "count": "{% $states.result.KeyCount %}"},
            End=False,
            Next="Head",
        ),
        "Head": machines.task(
            "aws-sdk:s3:headObject",
            {"Bucket": "stage", "Key": "{% $key %}"},
            Output={"size": "{% $states.result.ContentLength %}", "count": "{% $count %}"},
        ),
    }
    states["List"].pop("End")

    assert json.loads(machines.run(stage, states)["output"]) == {"size": 5, "count": 1}


@pytest.mark.parametrize(
    ("resource", "arguments", "error"),
    [
        ("s3:getObject", {"Bucket": "stage", "Key": "gone"}, "S3.NoSuchKeyException"),
        ("s3:getObject", {"Bucket": "gone-bucket", "Key": "a"}, "S3.NoSuchBucketException"),
        ("s3:putObject", {"Bucket": "gone-bucket", "Key": "a", "Body": 1}, "S3.NoSuchBucketException"),
        ("s3:headObject", {"Bucket": "stage", "Key": "gone"}, "S3.NoSuchKeyException"),
        ("s3:listObjectsV2", {"Bucket": "gone-bucket"}, "S3.NoSuchBucketException"),
        ("ec2:describeInstances", {"InstanceIds": ["i-0123456789abcdef0"]}, "Ec2.Ec2Exception"),
        ("ec2:terminateInstances", {"InstanceIds": ["i-0123456789abcdef0"]}, "Ec2.Ec2Exception"),
        ("ssm:getParameter", {"Name": "/gone"}, "Ssm.ParameterNotFoundException"),
        ("sfn:describeExecution", {"ExecutionArn": f"{ROLE}x"}, "Sfn.ExecutionDoesNotExistException"),
        (
            "sfn:startExecution",
            {"StateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:gone"},
            "Sfn.StateMachineDoesNotExistException",
        ),
        ("sfn:sendTaskSuccess", {"TaskToken": "made up", "Output": "1"}, "Sfn.InvalidTokenException"),
        ("sagemaker:describeTrainingJob", {"TrainingJobName": "gone"}, "SageMaker.SageMakerException"),
        ("eventbridge:describeRule", {"Name": "gone"}, "EventBridge.ResourceNotFoundException"),
        ("iam:getRole", {"RoleName": "gone"}, "Iam.NoSuchEntityException"),
        ("cloudformation:describeStacks", {"StackName": "gone"}, "CloudFormation.CloudFormationException"),
        ("cloudwatchlogs:describeLogStreams", {"LogGroupName": "gone"}, "CloudWatchLogs.ResourceNotFoundException"),
        (
            "resourcegroupstaggingapi:getResources",
            {"TagFilters": [{"Key": "a"}], "PaginationToken": 5},
            "States.Runtime",
        ),
        ("s3:getObject", {"Bucket": "stage", "Key": "gone", "Colour": "red"}, "States.Runtime"),
        ("s3:listObjectsV2", {"Bucket": "stage", "MaxKeys": "five"}, "States.Runtime"),
        ("s3:getObjects", {}, "States.Runtime"),
        ("sagemaker:createDomain", {"DomainName": "a"}, "States.Runtime"),
    ],
)
def test_errors_are_called_as_step_functions_calls_them(
    stage: Stage, resource: str, arguments: dict[str, Any], error: str
) -> None:
    done = machines.run(stage, {"Call": machines.task(f"aws-sdk:{resource}", arguments)})

    assert (done["status"], done["error"]) == ("FAILED", error), done["cause"]


def test_parameters_executions_and_instances_are_read(stage: Stage) -> None:
    stage.aws.client("ssm").put_parameter(Name="/kennel/in-service", Value="run-1", Type="String")
    states = {
        "Parameter": machines.task(
            "aws-sdk:ssm:getParameter",
            {"Name": "/kennel/in-service"},
            Assign={"value": "{% $states.result.Parameter.Value %}"},
            Next="Executions",
        ),
        "Executions": machines.task(
            "aws-sdk:sfn:listExecutions",
            {"StateMachineArn": "{% $states.context.StateMachine.Id %}", "StatusFilter": "RUNNING"},
            Assign={"execution": "{% $states.result.Executions[0] %}"},
            Next="Instances",
        ),
        "Instances": machines.task(
            "aws-sdk:ec2:describeInstances",
            {"Filters": [{"Name": "tag:kennel:run", "Values": ["none"]}]},
            Output={
                "value": "{% $value %}",
                "execution": "{% $execution %}",
                "me": "{% $states.context.Execution.Id %}",
                "reservations": "{% [$states.result.Reservations] %}",
            },
        ),
    }
    for name in ("Parameter", "Executions"):
        del states[name]["End"]

    output = json.loads(machines.run(stage, states)["output"])

    assert (output["value"], output["reservations"]) == ("run-1", [])
    assert output["execution"]["ExecutionArn"] == output["me"]
    assert output["execution"]["StartDate"].endswith("Z")


def test_an_execution_is_started_and_stopped_by_another(stage: Stage) -> None:
    child = machines.create(stage, {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}})
    states = {
        "Start": machines.task(
            "aws-sdk:sfn:startExecution",
            {"StateMachineArn": child, "Input": {"n": 1}},
            Assign={"child": "{% $states.result.ExecutionArn %}"},
            Next="Stop",
        ),
        "Stop": machines.task("aws-sdk:sfn:stopExecution", {"ExecutionArn": "{% $child %}"}, Output="{% $child %}"),
    }
    del states["Start"]["End"]

    arn = json.loads(machines.run(stage, states)["output"])

    found = stage.aws.client("stepfunctions").describe_execution(executionArn=arn)
    assert (found["status"], found["input"]) == ("ABORTED", '{"n":1}')


def test_an_instance_is_started_described_and_terminated_with_its_tags(stage: Stage) -> None:
    image = "{% $images.Images[0].ImageId %}"
    tags = [{"Key": "kennel:run", "Value": "r-1"}]
    states = {
        "Find": machines.task(
            "aws-sdk:ec2:describeImages", {"Owners": ["amazon"]}, Assign={"images": "{% $states.result %}"}, Next="Run"
        ),
        "Run": machines.task(
            "aws-sdk:ec2:runInstances",
            {
                "ImageId": image,
                "InstanceType": "t3.micro",
                "MinCount": 1,
                "MaxCount": 1,
                "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
            },
            Assign={"instance": "{% $states.result.Instances[0] %}"},
            Next="Describe",
        ),
        "Describe": machines.task(
            "aws-sdk:ec2:describeInstances",
            {"Filters": [{"Name": "tag:kennel:run", "Values": ["r-1"]}]},
            Assign={"found": "{% $states.result.Reservations[0].Instances[0] %}"},
            Next="Terminate",
        ),
        "Terminate": machines.task(
            "aws-sdk:ec2:terminateInstances",
            {"InstanceIds": "{% [$instance.InstanceId] %}"},
            Output={
                "found": "{% $found %}",
                "started": "{% $instance %}",
                "state": "{% $states.result.TerminatingInstances[0].CurrentState.Name %}",
            },
        ),
    }
    for name in ("Find", "Run", "Describe"):
        del states[name]["End"]

    output = json.loads(machines.run(stage, states)["output"])

    assert output["found"]["InstanceId"] == output["started"]["InstanceId"]
    assert {"Key": "kennel:run", "Value": "r-1"} in output["found"]["Tags"]
    assert output["found"]["LaunchTime"].endswith("Z")
    assert output["state"] in {"shutting-down", "terminated"}


def test_resources_are_found_by_their_tags(stage: Stage) -> None:
    client = stage.aws.client("s3")
    client.create_bucket(Bucket="tagged")
    client.put_bucket_tagging(Bucket="tagged", Tagging={"TagSet": [{"Key": "kennel:found", "Value": "yes"}]})
    filters = {"TagFilters": [{"Key": "kennel:found", "Values": ["yes"]}]}
    state = machines.task(
        "aws-sdk:resourcegroupstaggingapi:getResources",
        filters,
        Output="{% $states.result.ResourceTagMappingList.ResourceARN %}",
    )

    found = json.loads(machines.run(stage, {"Find": state})["output"])

    assert found == "arn:aws:s3:::tagged"
