"""The table of actions: what an operation takes, on which resources, with which condition keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from local_aws.iam.actions import TABLE
from local_aws.iam.actions_ec2 import prepared
from local_aws.iam.policy import Request
from local_aws.iam.s3 import UnknownOperationError, requests
from local_aws.iam.wire import Call, function_arn, operation, unflattened

SM = "arn:aws:sagemaker:us-east-1:000000000000:"


def taken(service: str, name: str, params: dict[str, Any], **tags: str) -> list[Request]:
    given = prepared(params) if service == "ec2" else params
    return [one for need in TABLE[service][name] for one in need.requests(given, lambda arn: tags)]


def short(found: Iterable[Request]) -> list[tuple[str, str]]:
    return [(one.action, one.resource) for one in found]


def test_a_training_job_takes_itself_its_tags_and_its_role() -> None:
    role = "arn:aws:iam::000000000000:role/training"

    found = taken(
        "sagemaker",
        "CreateTrainingJob",
        {"TrainingJobName": "Kennel-1", "RoleArn": role, "Tags": [{"Key": "kennel:stack", "Value": "kennel"}]},
    )

    assert short(found) == [
        ("sagemaker:CreateTrainingJob", f"{SM}training-job/kennel-1"),
        ("sagemaker:AddTags", f"{SM}training-job/kennel-1"),
        ("iam:PassRole", role),
    ]
    assert found[0].context["aws:requesttag/kennel:stack"] == "kennel"
    assert found[0].context["aws:tagkeys"] == ["kennel:stack"]
    assert found[2].context["iam:passedtoservice"] == "sagemaker.amazonaws.com"


def test_an_endpoint_is_authorised_on_its_configuration_too_and_knows_its_tags() -> None:
    found = taken("sagemaker", "UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, stack="kennel")

    assert short(found) == [
        ("sagemaker:UpdateEndpoint", f"{SM}endpoint/e"),
        ("sagemaker:UpdateEndpoint", f"{SM}endpoint-config/c"),
    ]
    assert found[0].context["aws:resourcetag/stack"] == found[0].context["sagemaker:resourcetag/stack"] == "kennel"


def test_a_model_package_is_named_by_its_arn() -> None:
    arn = f"{SM}model-package/group/3"

    assert short(taken("sagemaker", "DescribeModelPackage", {"ModelPackageName": arn})) == [
        ("sagemaker:DescribeModelPackage", arn)
    ]


def test_an_instance_is_authorised_on_all_that_comes_with_it() -> None:
    params = unflattened(
        {
            "ImageId": ["resolve:ssm:/aws/service/deeplearning/ami/latest/ami-id"],
            "InstanceType": ["g4dn.xlarge"],
            "SubnetId": ["subnet-1"],
            "SecurityGroupId.1": ["sg-1"],
            "SecurityGroupId.2": ["sg-2"],
            "TagSpecification.1.ResourceType": ["instance"],
            "TagSpecification.1.Tag.1.Key": ["kennel:stack"],
            "TagSpecification.1.Tag.1.Value": ["kennel"],
        }
    )

    found = taken("ec2", "RunInstances", params)

    ec2, run = "arn:aws:ec2:us-east-1:000000000000:", "ec2:RunInstances"
    assert short(found) == [
        (run, f"{ec2}instance/*"),
        (run, "arn:aws:ec2:us-east-1::image/ami-0123456789abcdef0"),
        (run, f"{ec2}subnet/subnet-1"),
        (run, f"{ec2}security-group/sg-1"),
        (run, f"{ec2}security-group/sg-2"),
        (run, f"{ec2}network-interface/*"),
        (run, f"{ec2}volume/*"),
        ("ec2:CreateTags", f"{ec2}instance/*"),
        ("ssm:GetParameters", "arn:aws:ssm:us-east-1::parameter/aws/service/deeplearning/ami/latest/ami-id"),
    ]
    assert found[0].context == {
        "aws:requesttag/kennel:stack": "kennel",
        "aws:tagkeys": ["kennel:stack"],
        "ec2:instancetype": "g4dn.xlarge",
    }
    assert found[7].context["ec2:createaction"] == "RunInstances"


@pytest.mark.parametrize(
    ("method", "path", "query", "action", "resource"),
    [
        ("GET", "/b", {"list-type": ["2"], "prefix": ["code/"]}, "s3:ListBucket", "b"),
        ("HEAD", "/b", {}, "s3:ListBucket", "b"),
        ("GET", "/b/a%20b/c", {}, "s3:GetObject", "b/a b/c"),
        ("HEAD", "/b/k", {"versionId": ["1"]}, "s3:GetObjectVersion", "b/k"),
        ("PUT", "/b/k", {"partNumber": ["1"], "uploadId": ["u"]}, "s3:PutObject", "b/k"),
        ("POST", "/b/k", {"uploads": [""]}, "s3:PutObject", "b/k"),
        ("DELETE", "/b/k", {"uploadId": ["u"]}, "s3:AbortMultipartUpload", "b/k"),
        ("DELETE", "/b/k", {}, "s3:DeleteObject", "b/k"),
    ],
)
def test_s3_requests(method: str, path: str, query: dict[str, Any], action: str, resource: str) -> None:
    (found,) = requests(Call("s3", method, path, {}, b"", query))

    assert (found.action, found.resource) == (action, f"arn:aws:s3:::{resource}")
    assert found.context.get("s3:prefix") == ("code/" if "prefix" in query else None)


def test_copies_read_their_source_and_batches_delete_every_key() -> None:
    copied = requests(Call("s3", "PUT", "/b/k", {"x-amz-copy-source": "/other/a%20b"}, b"", {}))
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key><VersionId>1</VersionId></Object></Delete>"
    deleted = requests(Call("s3", "POST", "/b", {}, body, {"delete": [""]}))

    assert short(copied) == [("s3:PutObject", "arn:aws:s3:::b/k"), ("s3:GetObject", "arn:aws:s3:::other/a b")]
    assert short(deleted) == [
        ("s3:DeleteObject", "arn:aws:s3:::b/a"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::b/b"),
    ]


def test_an_s3_operation_that_is_not_in_the_table_is_not_guessed() -> None:
    with pytest.raises(UnknownOperationError, match="PUT a bucket policy"):
        list(requests(Call("s3", "PUT", "/b", {}, b"", {"policy": [""]})))


def test_operations_are_read_from_every_protocol() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    calls = [
        Call("states", "POST", "/", {"x-amz-target": "AWSStepFunctions.StartExecution"}, b'{"name": "n"}', {}),
        Call("ec2", "POST", "/", form, b"Action=TerminateInstances&InstanceId.1=i-1&InstanceId.2=i-2&Version=1", {}),
        Call("monitoring", "POST", "/", form, b"Action=DeleteAlarms&AlarmNames.member.1=a", {}),
        Call("lambda", "POST", "/2015-03-31/functions/f/invocations", {}, b"", {"Qualifier": ["live"]}),
        Call("sagemaker", "POST", "/endpoints/e/invocations", {}, b"picture", {}),
    ]

    assert [operation(one) for one in calls] == [
        ("StartExecution", {"name": "n"}),
        ("TerminateInstances", {"InstanceId": ["i-1", "i-2"]}),
        ("DeleteAlarms", {"AlarmNames": ["a"]}),
        ("InvokeFunction", {"FunctionArn": function_arn("f:live")}),
        ("InvokeEndpoint", {"EndpointName": "e"}),
    ]
