"""Roles of the embedded AWS are enforced: over HTTP, in state machines, jobs, endpoints, functions and targets."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from . import machines
from .conftest import ROLE, LocalAws, Stage, emulator, wait_for

ACCOUNT = "000000000000"
IMAGE = {"Sid": "Image", "Action": "ecr:*", "Resource": "*"}
LOGS = {"Sid": "Logs", "Action": "logs:*", "Resource": "*"}
READ = {"Sid": "Read", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::stage*"]}
WRITE = {"Sid": "Write", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::stage/*"}


def role(aws: LocalAws, *statements: dict[str, Any], trusts: Any = None, when: Any = None) -> str:
    """A new role with the statements as its policy `does`; gives its ARN. It trusts every service, or `trusts`."""
    services = [f"{one}.amazonaws.com" for one in ("sagemaker", "lambda", "states", "codebuild", "events")]
    principal = trusts or {"Service": services, "AWS": ACCOUNT}
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, "Condition": when or {}}
    name, iam = f"r-{uuid.uuid4().hex[:8]}", aws.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    document = {"Statement": [{"Effect": "Allow", "Resource": "*", **one} for one in statements]}
    iam.put_role_policy(RoleName=name, PolicyName="does", PolicyDocument=json.dumps(document))
    return str(made["Role"]["Arn"])


def assumed(aws: LocalAws, arn: str) -> boto3.Session:
    """A session of the role."""
    given = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], "us-east-1")


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    """Code and message of the error that the call must give."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def page(aws: LocalAws) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{aws.info['endpoint_url']}/_local_aws/iam").json()
    return found


def switch(aws: LocalAws, arn: str, sid: str, enabled: bool) -> None:
    request = {"role": arn, "policy": "does", "sid": sid, "enabled": enabled}
    httpx.post(f"{aws.info['endpoint_url']}/_local_aws/iam", json=request).raise_for_status()


def test_a_role_may_what_its_policy_says_and_nothing_else(stage: Stage) -> None:
    only = {"Sid": "Data", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::stage/data/*"}
    arn = role(stage.aws, only, {"Sid": "Own", "Action": "sagemaker:ListModels"})
    session, url = assumed(stage.aws, arn), stage.aws.info["endpoint_url"]
    s3, sagemaker = session.client("s3", endpoint_url=url), session.client("sagemaker", endpoint_url=url)
    me = f"arn:aws:sts::{ACCOUNT}:assumed-role/{arn.rpartition('/')[2]}/me"

    picture = s3.get_object(Bucket="stage", Key="data/train/0.jpg")["Body"].read()
    code, message = refusal(s3.get_object, Bucket="stage", Key="code/source.tar.gz")

    assert picture == b"picture"
    assert (code, message) == (
        "AccessDenied",
        f"User: {me} is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::stage/code/source.tar.gz "
        "because no identity-based policy allows the s3:GetObject action",
    )
    assert sagemaker.list_models()["Models"] is not None
    assert refusal(sagemaker.describe_model, ModelName="m") == (
        "AccessDeniedException",
        f"User: {me} is not authorized to perform: sagemaker:DescribeModel on resource: "
        f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/m because no identity-based policy allows the "
        "sagemaker:DescribeModel action",
    )
    assert session.client("sts", endpoint_url=url).get_caller_identity()["Arn"] == me


def test_what_is_not_there_is_told_only_to_who_may_list(stage: Stage) -> None:
    read = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::stage/*"}
    listed = {"Action": "s3:ListBucket", "Condition": {"StringLike": {"s3:prefix": "code/*"}}}
    s3 = assumed(stage.aws, role(stage.aws, read, listed)).client("s3", endpoint_url=stage.aws.info["endpoint_url"])

    assert refusal(s3.head_object, Bucket="stage", Key="code/absent")[0] == "404"
    assert refusal(s3.head_object, Bucket="stage", Key="data/absent")[0] == "403"


def test_a_bucket_policy_may_deny_and_tls_is_what_local_traffic_stands_for(stage: Stage) -> None:
    bucket = f"b-{uuid.uuid4().hex[:8]}"
    everything = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": everything}
    tls = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    admin = stage.aws.client("s3")
    admin.create_bucket(Bucket=bucket)
    arn = role(stage.aws, {"Action": "s3:*"})
    s3 = assumed(stage.aws, arn).client("s3", endpoint_url=stage.aws.info["endpoint_url"])

    admin.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [tls]}))
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    admin.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [{**deny, "Action": "s3:PutObject"}]}))

    assert "with an explicit deny in a resource-based policy" in refusal(s3.put_object, Bucket=bucket, Key="k")[1]


def test_a_permissions_boundary_takes_away_what_it_does_not_allow_and_gives_nothing(stage: Stage) -> None:
    arn = role(stage.aws, {"Sid": "Read", "Action": "s3:GetObject"}, {"Sid": "Own", "Action": "sagemaker:ListModels"})
    name, iam = arn.rpartition("/")[2], stage.aws.client("iam")
    bounds = {"Effect": "Allow", "Action": ["s3:*"], "Resource": "arn:aws:s3:::stage/data/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": bounds})
    policy = iam.create_policy(PolicyName=f"b-{name}", PolicyDocument=document)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=policy)
    session, url = assumed(stage.aws, arn), stage.aws.info["endpoint_url"]
    s3, sagemaker = session.client("s3", endpoint_url=url), session.client("sagemaker", endpoint_url=url)

    assert s3.get_object(Bucket="stage", Key="data/train/0.jpg")["Body"].read() == b"picture"
    _, outside = refusal(s3.get_object, Bucket="stage", Key="code/source.tar.gz")
    _, elsewhere = refusal(sagemaker.list_models)
    _, not_given = refusal(s3.delete_object, Bucket="stage", Key="data/train/0.jpg")

    assert outside.endswith("because no permissions boundary allows the s3:GetObject action")
    assert elsewhere.endswith("because no permissions boundary allows the sagemaker:ListModels action")
    assert not_given.endswith("because no identity-based policy allows the s3:DeleteObject action")


def test_objects_under_a_key_take_the_right_to_it_through_s3(stage: Stage) -> None:
    key = stage.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    admin, bucket = stage.aws.client("s3"), f"kept-{uuid.uuid4().hex[:8]}"
    admin.create_bucket(Bucket=bucket)
    admin.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    admin.put_object(Bucket=bucket, Key="a", Body=b"a")

    def through(service: str) -> dict[str, Any]:
        via = {"StringEquals": {"kms:ViaService": f"{service}.us-east-1.amazonaws.com"}}
        return {"Action": "kms:Decrypt", "Resource": key, "Condition": via}

    def of(*statements: dict[str, Any]) -> Any:
        arn = role(stage.aws, {"Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}*"}, *statements)
        return assumed(stage.aws, arn).client("s3", endpoint_url=stage.aws.info["endpoint_url"])

    assert of(through("s3")).get_object(Bucket=bucket, Key="a")["Body"].read() == b"a"
    for s3 in (of(), of(through("sagemaker"))):
        assert "kms:Decrypt" in refusal(s3.get_object, Bucket=bucket, Key="a")[1]
    assert "kms:GenerateDataKey" in refusal(of(through("s3")).put_object, Bucket=bucket, Key="b", Body=b"b")[1]


def test_an_operation_that_is_not_in_the_table_is_refused_and_says_where_to_add_it(stage: Stage) -> None:
    session = assumed(stage.aws, role(stage.aws, {"Action": "*"}))
    client = session.client("ssm", endpoint_url=stage.aws.info["endpoint_url"])

    code, message = refusal(client.describe_parameters)

    assert (code, "local_aws/iam/actions.py" in message) == ("AccessDeniedException", True)


def test_a_policy_that_cannot_be_judged_refuses_and_names_what_is_not_known(stage: Stage) -> None:
    odd = {"Sid": "Odd", "Action": "*", "Condition": {"StringEquals": {"aws:MadeUp": "a"}}}
    s3 = assumed(stage.aws, role(stage.aws, odd)).client("s3", endpoint_url=stage.aws.info["endpoint_url"])

    assert (
        "statement Odd: the local AWS's IAM does not know the condition key aws:MadeUp"
        in refusal(s3.get_object, Bucket="stage", Key="data/train/0.jpg")[1]
    )


def test_temporary_credentials_that_were_not_issued_here_are_refused(stage: Stage) -> None:
    session = boto3.Session("ASIAQQQQQQQQQQQQQQQQ", "secret", "token", "us-east-1")

    code, _ = refusal(session.client("sagemaker", endpoint_url=stage.aws.info["endpoint_url"]).list_models)

    assert code == "UnrecognizedClientException"


def test_a_statement_is_counted_where_it_allowed_and_can_be_switched_off(stage: Stage) -> None:
    arn = role(stage.aws, READ, {"Sid": "Idle", "Action": ["sqs:*", "sns:Publish"]})
    s3 = assumed(stage.aws, arn).client("s3", endpoint_url=stage.aws.info["endpoint_url"])

    s3.get_object(Bucket="stage", Key="data/train/0.jpg")
    switch(stage.aws, arn, "Read", enabled=False)
    refused = refusal(s3.get_object, Bucket="stage", Key="data/train/0.jpg")
    switch(stage.aws, arn, "Read", enabled=True)
    s3.get_object(Bucket="stage", Key="data/train/0.jpg")

    mine = {one["sid"]: one for one in page(stage.aws)["statements"] if one["role"] == arn}
    assert refused[0] == "AccessDenied"
    assert mine["Read"]["allowed"] == {"s3:GetObject": 2}
    assert mine["Read"]["unused"] == ["s3:ListBucket"]
    assert mine["Idle"]["unused"] == ["sqs:*", "sns:Publish"]
    assert [one["action"] for one in page(stage.aws)["denied"] if one["role"] == arn] == ["s3:GetObject"]


def test_all_of_it_can_be_switched_off(tmp_path: Path) -> None:
    with emulator(tmp_path / "aws", LOCAL_AWS_IAM="off") as aws:
        session = assumed(aws, role(aws, LOGS))

        session.client("s3", endpoint_url=aws.info["endpoint_url"]).create_bucket(Bucket="mine")


# State machines


def machine(stage: Stage, arn: str, states: dict[str, Any]) -> str:
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    created = stage.aws.client("stepfunctions").create_state_machine(
        name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=arn
    )
    return str(created["stateMachineArn"])


def run(stage: Stage, arn: str, resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    made = machine(stage, arn, {"Do": machines.task(resource, arguments)})
    client = stage.aws.client("stepfunctions")
    return machines.ended(stage, client.start_execution(stateMachineArn=made, input="{}")["executionArn"])


@pytest.mark.parametrize(
    ("resource", "arguments", "error", "action"),
    [
        ("aws-sdk:ec2:describeInstances", {}, "Ec2.Ec2Exception", "ec2:DescribeInstances"),
        ("aws-sdk:sagemaker:listModels", {}, "SageMaker.SageMakerException", "sagemaker:ListModels"),
        (
            "sagemaker:addTags",
            {"ResourceArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/m", "Tags": []},
            "SageMaker.AmazonSageMakerException",
            "sagemaker:AddTags",
        ),
        ("lambda:invoke", {"FunctionName": "f", "Payload": {}}, "Lambda.AWSLambdaException", "lambda:InvokeFunction"),
    ],
)
def test_a_state_fails_when_the_machines_role_may_not(
    stage: Stage, resource: str, arguments: dict[str, Any], error: str, action: str
) -> None:
    done = run(stage, role(stage.aws, {"Action": "sts:*"}), resource, arguments)

    assert (done["status"], done["error"]) == ("FAILED", error)
    assert f"is not authorized to perform: {action} on resource: " in done["cause"]


def test_handing_a_role_to_sagemaker_is_part_of_creating_a_job(stage: Stage) -> None:
    job = stage.job(f"job-{uuid.uuid4().hex[:8]}", mode="good")
    passing = {"Action": "iam:PassRole", "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}
    arn = role(stage.aws, {"Action": ["sagemaker:*", "events:*"]}, passing)

    done = run(stage, arn, "sagemaker:createTrainingJob.sync", job)

    assert done["error"] == "SageMaker.AmazonSageMakerException"
    assert f"is not authorized to perform: iam:PassRole on resource: {job['RoleArn']}" in done["cause"]


def test_a_machine_whose_role_cannot_hear_of_ends_or_deliver_logs_is_not_created(stage: Stage) -> None:
    arn = role(stage.aws, {"Action": "sagemaker:*"})
    definition = {"StartAt": "A", "States": {"A": machines.task("sagemaker:createTrainingJob.sync", {})}}
    client = stage.aws.client("stepfunctions")
    plain = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}

    rule = refusal(client.create_state_machine, name="m-rule", definition=json.dumps(definition), roleArn=arn)
    logged = refusal(
        client.create_state_machine,
        name="m-logs",
        definition=json.dumps(plain),
        roleArn=arn,
        loggingConfiguration={"level": "ALL", "includeExecutionData": True, "destinations": []},
    )
    elsewhere = {"ArnLike": {"aws:SourceArn": f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:other"}}
    strange = [
        refusal(
            client.create_state_machine,
            name="m-trust",
            definition=json.dumps(plain),
            roleArn=role(stage.aws, {"Action": "*"}, trusts={"Service": f"{service}.amazonaws.com"}, when=when),
        )[1]
        for service, when in (("lambda", {}), ("states", elsewhere))
    ]

    assert (rule[0], f"'{arn}' is not authorized to create managed-rule." in rule[1]) == ("AccessDeniedException", True)
    assert "not authorized to access the Log Destination" in logged[1]
    assert all("authorized to assume the provided role" in one for one in strange)


# Jobs and endpoints


@pytest.mark.parametrize(
    ("statements", "trusts", "reason"),
    [
        ([IMAGE, READ, WRITE, LOGS], {"Service": "lambda.amazonaws.com"}, "Could not assume role"),
        ([READ, WRITE, LOGS], None, "does not have BatchGetImage permission for the image"),
        ([IMAGE, WRITE, LOGS], None, "s3:ListBucket on resource: arn:aws:s3:::stage"),
        ([IMAGE, READ, LOGS], None, "s3:PutObject on resource: arn:aws:s3:::stage/"),
    ],
)
def test_a_job_fails_with_what_its_role_may_not(
    stage: Stage, statements: list[dict[str, Any]], trusts: Any, reason: str
) -> None:
    arn = role(stage.aws, *statements, {"Action": ["ecr:GetAuth*", "ecr:BatchCheck*"]}, trusts=trusts)
    job = {**stage.job(f"job-{uuid.uuid4().hex[:8]}", mode="good"), "RoleArn": arn}
    client = stage.aws.client("sagemaker")

    client.create_training_job(**job)
    name = {"TrainingJobName": job["TrainingJobName"]}
    wait_for(lambda: client.describe_training_job(**name)["TrainingJobStatus"] == "Failed", "the job's failure")

    told = client.describe_training_job(**name)["FailureReason"]
    assert told.startswith("ClientError: ")
    assert reason in told


def test_a_job_without_the_right_to_logs_runs_and_has_none(stage: Stage) -> None:
    job = {**stage.job(f"job-{uuid.uuid4().hex[:8]}", mode="good"), "RoleArn": role(stage.aws, IMAGE, READ, WRITE)}
    client, name = stage.aws.client("sagemaker"), {"TrainingJobName": job["TrainingJobName"]}

    client.create_training_job(**job)
    wait_for(lambda: client.describe_training_job(**name)["TrainingJobStatus"] == "Completed", "the job's end")

    streams = stage.aws.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job['TrainingJobName']}/"
    )
    assert streams["logStreams"] == []


def test_a_model_that_its_role_may_not_read_is_refused(stage: Stage) -> None:
    stage.model("readable", **{"version.txt": "1"})
    client = stage.aws.client("sagemaker")
    container = client.describe_model(ModelName="readable")["PrimaryContainer"]

    code, message = refusal(
        client.create_model, ModelName="m", PrimaryContainer=container, ExecutionRoleArn=role(stage.aws, IMAGE)
    )

    assert (code, message.startswith("Could not access model data at ")) == ("ValidationException", True)


# Functions and targets


def function(stage: Stage, arn: str, code: str) -> str:
    buffer, name = io.BytesIO(), f"f-{uuid.uuid4().hex[:8]}"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", code)
    stage.aws.client("lambda").create_function(
        FunctionName=name, Runtime="python3.13", Role=arn, Handler="app.handler", Code={"ZipFile": buffer.getvalue()}
    )
    return name


def call(stage: Stage, name: str) -> Any:
    return json.loads(stage.aws.client("lambda").invoke(FunctionName=name)["Payload"].read())


ASKS = """
import boto3
def handler(event, context):
    print("hello")
    try:
        boto3.client("s3").get_object(Bucket="stage", Key="data/train/0.jpg")
    except Exception as error:
        return [boto3.client("sts").get_caller_identity()["Arn"], str(error)]
"""


def test_a_function_has_its_roles_credentials(stage: Stage) -> None:
    arn = role(stage.aws, LOGS)
    name = function(stage, arn, ASKS)

    me, error = call(stage, name)

    assert me == f"arn:aws:sts::{ACCOUNT}:assumed-role/{arn.rpartition('/')[2]}/{name}"
    assert f"User: {me} is not authorized to perform: s3:GetObject" in error


def test_a_function_without_the_right_to_logs_works_and_has_none(stage: Stage) -> None:
    names = [function(stage, role(stage.aws, *given, READ), ASKS) for given in ([], [LOGS])]

    answers = [call(stage, name) for name in names]

    logs = stage.aws.client("logs")
    groups = [logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"] for name in names]
    assert answers == [None, None]
    assert [len(one) for one in groups] == [0, 1]


def test_a_rule_starts_a_machine_only_if_its_role_may(stage: Stage) -> None:
    events, states = stage.aws.client("events"), stage.aws.client("stepfunctions")
    made = machine(stage, role(stage.aws, {"Action": "sts:*"}), {"Done": {"Type": "Succeed"}})
    bare, able = role(stage.aws, LOGS), role(stage.aws, {"Action": "states:StartExecution", "Resource": made})
    for name, arn in (("refused", bare), ("started", able)):
        events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": made, "RoleArn": arn, "Input": json.dumps(name)}])

    for name in ("refused", "started"):
        events.put_events(Entries=[{"Source": name, "DetailType": "t", "Detail": "{}"}])
    wait_for(lambda: states.list_executions(stateMachineArn=made)["executions"], "the execution")
    time.sleep(0.3)

    started = [
        states.describe_execution(executionArn=one["executionArn"])["input"]
        for one in states.list_executions(stateMachineArn=made)["executions"]
    ]
    assert started == ['"started"']
    assert any(one["role"] == bare and one["action"] == "states:StartExecution" for one in page(stage.aws)["denied"])


# What takes more than one right


def test_an_endpoint_fails_when_its_models_role_may_not_pull_the_image_any_more(stage: Stage) -> None:
    name, client, arn = f"e-{uuid.uuid4().hex[:8]}", stage.aws.client("sagemaker"), role(stage.aws, IMAGE, READ)
    stage.model("pulled", **{"version.txt": "1"})
    container = client.describe_model(ModelName="pulled")["PrimaryContainer"]
    client.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=arn)
    stage.config(name, name)

    switch(stage.aws, arn, "Image", enabled=False)
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wait_for(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Failed", "the failure")

    reason = client.describe_endpoint(EndpointName=name)["FailureReason"]
    assert reason.startswith(f"The role '{arn}' does not have GetAuthorizationToken permission for the image: ")


def test_launching_an_instance_takes_rights_to_all_that_comes_with_it(stage: Stage) -> None:
    url, bare = stage.aws.info["endpoint_url"], {"ImageId": "ami-0abcdef1234567890", "MinCount": 1, "MaxCount": 1}
    only = {"Action": "ec2:RunInstances", "Resource": f"arn:aws:ec2:us-east-1:{ACCOUNT}:*/*"}
    image = {"Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:us-east-1::image/*"}
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "kennel:stack", "Value": "a"}]}]
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}}
    few, more = (
        assumed(stage.aws, role(stage.aws, *given)).client("ec2", endpoint_url=url) for given in ([only], [only, image])
    )

    refusals = [
        refusal(few.run_instances, **bare),
        refusal(more.run_instances, **bare, TagSpecifications=tags),
        refusal(more.run_instances, **bare, **spot),
    ]

    assert {code for code, _ in refusals} == {"UnauthorizedOperation"}
    missing = [message.partition("perform: ")[2].partition(" because")[0] for _, message in refusals]
    assert missing == [
        "ec2:RunInstances on resource: arn:aws:ec2:us-east-1::image/ami-0abcdef1234567890",
        f"ec2:CreateTags on resource: arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*",
        f"iam:CreateServiceLinkedRole on resource: arn:aws:iam::{ACCOUNT}:role/aws-service-role/spot.amazonaws.com/"
        "AWSServiceRoleForEC2Spot",
    ]


def test_a_condition_on_tags_holds_for_tagged_resources_only_and_what_is_not_there_has_none(stage: Stage) -> None:
    admin, mine = stage.aws.client("sagemaker"), {"StringEquals": {"aws:ResourceTag/kennel:stack": "a"}}
    container = {"Image": stage.image}
    for name, value in (("tagged-a", "a"), ("tagged-b", "b")):
        tags = [{"Key": "kennel:stack", "Value": value}]
        admin.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=tags)
    session = assumed(stage.aws, role(stage.aws, {"Action": "sagemaker:DeleteModel", "Condition": mine}))
    client = session.client("sagemaker", endpoint_url=stage.aws.info["endpoint_url"])

    client.delete_model(ModelName="tagged-a")

    assert refusal(client.delete_model, ModelName="tagged-b")[0] == "AccessDeniedException"
    assert refusal(client.delete_model, ModelName="tagged-a")[0] == "AccessDeniedException"


def test_scaling_validates_the_callers_rights_in_sagemaker(stage: Stage) -> None:
    session = assumed(stage.aws, role(stage.aws, {"Action": "application-autoscaling:*"}))
    client = session.client("application-autoscaling", endpoint_url=stage.aws.info["endpoint_url"])

    code, message = refusal(
        client.register_scalable_target,
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/e/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )

    assert (code, "sagemaker:DescribeEndpoint on resource" in message) == ("ValidationException", True)


def test_a_build_fails_when_its_projects_role_may_not_push(stage: Stage) -> None:
    client, arn = stage.aws.client("codebuild"), role(stage.aws, READ, LOGS)
    environment = {
        "type": "LINUX_CONTAINER",
        "image": "aws/codebuild/standard:7.0",
        "computeType": "BUILD_GENERAL1_SMALL",
    }
    none = {"type": "NO_SOURCE", "buildspec": "version: 0.2"}
    client.create_project(
        name="pushes", source=none, artifacts={"type": "NO_ARTIFACTS"}, environment=environment, serviceRole=arn
    )
    given = {"CODE_URI": "s3://stage/code/source.tar.gz", "IMAGE_URI": stage.image}
    override = [{"name": name, "value": value} for name, value in given.items()]
    build = client.start_build(projectName="pushes", environmentVariablesOverride=override)["build"]["id"]

    wait_for(lambda: client.batch_get_builds(ids=[build])["builds"][0]["buildComplete"], "the build's end")

    (done,) = client.batch_get_builds(ids=[build])["builds"]
    said = [context["message"] for phase in done["phases"] for context in phase.get("contexts", [])]
    assert done["buildStatus"] == "FAILED"
    assert "is not authorized to perform: ecr:GetAuthorizationToken" in said[0]
