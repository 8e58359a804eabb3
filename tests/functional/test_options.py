"""The stack with its options on, deployed on the embedded AWS: its main paths work, and what they make is secured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from tests.functional.failures.conftest import deployed
from tests.functional.failures.quick import Quick
from tools import local_stack
from tools.pipeline import Outcome
from tools.stack import describe_stack

PICTURES = "somebodys-pictures"
THROUGH_S3 = {"ReadWithKey", "WriteWithKey", "StoreWithKey"}
pytestmark = pytest.mark.slow


def overrides(parameters: dict[str, str]) -> tuple[str, ...]:
    return ("--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items() if value))


def options() -> tuple[str, ...]:
    """A key, a boundary, a data bucket that is there already, and parameters that name them."""
    bounds = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "NotAction": "iam:CreateUser", "Resource": "*"}}
    boundary = boto3.client("iam").create_policy(PolicyName="bounds", PolicyDocument=json.dumps(bounds))
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    boto3.client("s3").create_bucket(Bucket=PICTURES)
    boto3.client("s3").put_bucket_encryption(Bucket=PICTURES, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return overrides(
        {
            "ApiAuth": "AWS_IAM",
            "DataBucketName": PICTURES,
            "KmsKeyArn": key,
            "LogRetentionDays": "1",
            "Network": "PRIVATE",
            "PermissionsBoundaryArn": boundary["Policy"]["Arn"],
            "TrainingImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/training:own",
            "TrainingPrecision": "f32",
        }
    )


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("options")


@pytest.fixture(scope="module")
def secured(scratch: Path) -> Iterator[Quick]:
    with deployed(scratch, options) as found:
        yield found


@pytest.fixture(scope="module")
def outcome(secured: Quick) -> Outcome:
    """How a run ended."""
    return secured.run({"tune": {"strategy": "random", "trials": 2}})


def parameters() -> dict[str, str]:
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=local_stack.NAME)["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def asked(secured: Quick, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and body of classify's answer, asked without the API."""
    found = secured.client("cloudformation").describe_stack_resource(
        StackName=local_stack.NAME, LogicalResourceId="ClassifyFunction"
    )
    name = f"{found['StackResourceDetail']['PhysicalResourceId']}:live"
    answer = secured.client("lambda").invoke(FunctionName=name, Payload=json.dumps(request).encode())
    proxied = json.load(answer["Payload"])
    return proxied["statusCode"], json.loads(proxied["body"])


def test_a_run_trains_in_the_network_on_the_bucket_that_was_there_and_serves(secured: Quick, outcome: Outcome) -> None:
    assert outcome.status == "SUCCEEDED", outcome.cause
    sagemaker, key = secured.client("sagemaker"), parameters()["KmsKeyArn"]
    jobs = [one["TrainingJobName"] for one in sagemaker.list_training_jobs()["TrainingJobSummaries"]]
    assert len(jobs) >= 5  # features, two trials, training, evaluation
    for job in (sagemaker.describe_training_job(TrainingJobName=name) for name in jobs):
        assert len(job["VpcConfig"]["Subnets"]) == 2 and job["EnableNetworkIsolation"] is True
        assert job["OutputDataConfig"]["KmsKeyId"] == job["ResourceConfig"]["VolumeKmsKeyId"] == key
    serving = sagemaker.describe_endpoint(EndpointName=local_stack.NAME)["EndpointConfigName"]
    assert sagemaker.describe_endpoint_config(EndpointConfigName=serving)["KmsKeyId"] == key
    assert sagemaker.describe_model(ModelName=serving)["VpcConfig"]["Subnets"]


@pytest.mark.usefixtures("outcome")
def test_a_picture_of_that_bucket_is_answered_and_a_url_is_refused(secured: Quick) -> None:
    key = secured.client("s3").list_objects_v2(Bucket=PICTURES)["Contents"][0]["Key"]

    assert asked(secured, {"s3": f"s3://{PICTURES}/{key}"})[0] == 200
    status, problem = asked(secured, {"url": "https://example.com/dog.jpg"})
    assert (status, problem["type"]) == (403, "about:blank#urls-not-read")


@pytest.mark.usefixtures("outcome")
def test_a_batch_works_and_what_cannot_be_private_is_refused(secured: Quick) -> None:
    given = json.dumps({"pictures": f"s3://{PICTURES}/dogImages/test/"})
    started = secured.client("stepfunctions").start_execution(
        stateMachineArn=secured.stack.state_machines["batch"], input=given
    )
    ended = secured.ended(started["executionArn"], 60.0)
    refused = secured.run({"train": {"mode": "ec2"}})

    assert ended.status == "SUCCEEDED", ended.cause
    assert (refused.status, refused.error) == ("FAILED", "InvalidRun") and "train.mode: ec2" in refused.cause


@pytest.mark.usefixtures("outcome")
def test_every_right_to_the_key_through_s3_was_needed_and_nothing_was_denied(secured: Quick) -> None:
    told = secured.switch("GET", "iam")
    unused = {
        (one["role"].rpartition("/")[2], action)
        for one in told["statements"]
        if one.get("sid") in THROUGH_S3 and not ("Ec2" in one["role"] or "Site" in one["role"])
        for action in one["unused"]
    }
    assert [one for one in told["denied"] if not one["action"].startswith("xray:")] == []
    # An upload in parts reads its own parts back; kms:Encrypt is SageMaker's own check. Neither is here.
    assert {action for _, action in unused} <= {"kms:Decrypt", "kms:Encrypt"}, unused


@pytest.mark.usefixtures("secured")
def test_a_stack_that_takes_tokens_of_a_user_pool_takes_nothing_else(scratch: Path) -> None:
    pool = "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_Abcdefghi"  # none can be made here

    local_stack.deploy(scratch, *overrides(parameters() | {"ApiAuth": "COGNITO", "CognitoUserPoolArn": pool}))

    api = describe_stack(local_stack.NAME).api_url

    def status(path: str, **headers: str) -> int:
        return httpx.get(f"{api}/{path}", headers=headers).status_code

    assert [status("model"), status("model", authorization="a.b.c"), status("health")] == [401, 401, 200]
