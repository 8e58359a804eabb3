"""Instances that run: user data, metadata, credentials, every way to end, and what is refused."""

from __future__ import annotations

import base64
import json
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws import supervisor
from local_aws.ec2_guest import INSTANCE_MARK
from local_aws.processes import carrying, marked
from local_aws.settings import REPOSITORY_ROOT

from .conftest import LocalAws, emulator, wait_for

DLAMI = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.10-ubuntu-24.04/latest/ami-id"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
MAY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


def make_profile(aws: LocalAws) -> str:
    """An instance profile whose role may use S3."""
    iam, name = aws.client("iam"), f"worker-{uuid.uuid4().hex[:8]}"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName=name, PolicyName="s3", PolicyDocument=json.dumps(MAY))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


@pytest.fixture(scope="module")
def profile(local_aws: LocalAws) -> str:
    """The session's instance profile."""
    return make_profile(local_aws)


def asking(**changes: Any) -> dict[str, Any]:
    """A right RunInstances request."""
    request = {"ImageId": f"resolve:ssm:{DLAMI}", "InstanceType": "c7i.large", "MinCount": 1, "MaxCount": 1}
    return request | changes


def launch(aws: LocalAws, script: str = "#!/bin/bash\n", **changes: Any) -> str:
    """A new instance; gives its id."""
    launched = aws.client("ec2").run_instances(**asking(UserData=script, **changes))["Instances"][0]
    assert launched["State"]["Name"] == "pending"
    return str(launched["InstanceId"])


def look(aws: LocalAws, instance: str) -> dict[str, Any]:
    """What DescribeInstances says."""
    found: dict[str, Any] = aws.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]
    one: dict[str, Any] = found["Instances"][0]
    return one


def console(aws: LocalAws, instance: str) -> str:
    """What the instance has printed."""
    said: str = aws.client("ec2").get_console_output(InstanceId=instance)["Output"]
    return said


def reach(aws: LocalAws, instance: str, state: str, seconds: float = 15.0) -> None:
    """Waits for a state."""
    wait_for(lambda: look(aws, instance)["State"]["Name"] == state, f"{instance} {state}", seconds)


def test_user_data_works_with_its_roles_credentials_from_the_metadata_service(
    local_aws: LocalAws, profile: str
) -> None:
    local_aws.client("s3").create_bucket(Bucket="from-instance")
    script = f"""#!/bin/bash
env | grep -c AWS_ACCESS_KEY_ID
export PYTHONPATH={REPOSITORY_ROOT}
for path in instance-id placement/availability-zone iam/security-credentials/ tags/instance/color; do
  python3 -m training.ec2_tools metadata $path
done
echo woof > greeting && aws s3 cp --only-show-errors greeting s3://from-instance/greeting
shutdown -h now
"""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "color", "Value": "red"}]}]

    instance = launch(
        local_aws,
        script,
        IamInstanceProfile={"Name": profile},
        TagSpecifications=tags,
        InstanceInitiatedShutdownBehavior="terminate",
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
    )
    reach(local_aws, instance, "terminated", 30)

    assert console(local_aws, instance).splitlines() == ["0", instance, "us-east-1a", profile, "red"]
    body = local_aws.client("s3").get_object(Bucket="from-instance", Key="greeting")["Body"].read()
    assert body == b"woof\n"
    assert look(local_aws, instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_the_end_of_user_data_is_not_the_instances_and_shutdown_stops_by_default(local_aws: LocalAws) -> None:
    ended = launch(local_aws, "#!/bin/bash\necho done\n")
    shut = launch(local_aws, "#!/bin/bash\nshutdown -h now\n")

    reach(local_aws, shut, "stopped")
    assert (console(local_aws, ended), look(local_aws, ended)["State"]["Name"]) == ("done\n", "running")

    local_aws.client("ec2").terminate_instances(InstanceIds=[ended, shut])
    reach(local_aws, ended, "terminated")
    reach(local_aws, shut, "terminated")


def test_terminating_ends_every_process_and_lets_them_say_goodbye(local_aws: LocalAws) -> None:
    script = "#!/bin/bash\ntrap 'echo goodbye; exit' TERM\nsetsid sleep 600 &\necho up\nsleep 600 & wait\n"
    instance = launch(local_aws, script)
    wait_for(lambda: "up" in console(local_aws, instance), "the user data's start")
    volume = look(local_aws, instance)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]

    changes = local_aws.client("ec2").terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    reach(local_aws, instance, "terminated")

    assert [changes[member]["Name"] for member in ("PreviousState", "CurrentState")] == ["running", "shutting-down"]
    assert "goodbye" in console(local_aws, instance)
    assert carrying(INSTANCE_MARK, instance) == []
    with pytest.raises(ClientError, match=r"InvalidVolume\.NotFound"):
        local_aws.client("ec2").describe_volumes(VolumeIds=[volume])


def test_a_client_token_gives_the_same_instance_and_no_other_request(local_aws: LocalAws) -> None:
    token = uuid.uuid4().hex

    first = launch(local_aws, ClientToken=token)
    again = local_aws.client("ec2").run_instances(**asking(UserData="#!/bin/bash\n", ClientToken=token))
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        launch(local_aws, "#!/bin/bash\necho other\n", ClientToken=token)

    assert [one["InstanceId"] for one in again["Instances"]] == [first]
    local_aws.client("ec2").terminate_instances(InstanceIds=[first])


def test_instances_are_found_by_tags_state_and_token(local_aws: LocalAws) -> None:
    run, token = uuid.uuid4().hex, uuid.uuid4().hex
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "kennel:run", "Value": run}]}]
    instance = launch(local_aws, TagSpecifications=tags, ClientToken=token)
    ec2 = local_aws.client("ec2")

    def found(**filters: str) -> list[str]:
        asked = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
        answer = ec2.describe_instances(Filters=[*asked, {"Name": "tag:kennel:run", "Values": [run]}])
        return [one["InstanceId"] for group in answer["Reservations"] for one in group["Instances"]]

    reach(local_aws, instance, "running")
    statuses = ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]

    assert found() == found(instance_state_name="run*") == found(client_token=token) == [instance]
    assert found(instance_state_name="stopped") == found(client_token="none") == []
    assert [one["InstanceStatus"]["Status"] for one in statuses] == ["ok"]
    with pytest.raises(ClientError, match="The filter 'color' is invalid"):
        found(color="red")
    ec2.terminate_instances(InstanceIds=[instance])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ImageId": "resolve:ssm:/aws/service/nothing"}, "InvalidParameterValue"),
        ({"ImageId": "ami-00000000000000bad"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "ubuntu"}, "InvalidAMIID.Malformed"),
        ({"InstanceType": "x9.huge"}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "Invalid IAM Instance Profile name"),
        ({"SubnetId": "subnet-0000dead"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-0000dead"]}, "InvalidGroup.NotFound"),
        ({"UserData": "x" * 16_385}, "User data is limited to 16384 bytes"),
        ({"ClientToken": "x" * 65}, "ClientToken is longer than 64"),
        ({"LaunchTemplate": {"LaunchTemplateName": "x"}}, "UnsupportedOperation"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_aws_refuses_is_refused_and_leaves_nothing(
    local_aws: LocalAws, changes: dict[str, Any], said: str
) -> None:
    def count() -> int:
        return len(local_aws.client("ec2").describe_instances()["Reservations"])

    before = count()

    with pytest.raises(ClientError, match=said):
        local_aws.client("ec2").run_instances(**asking(**changes))

    assert count() == before


@pytest.mark.parametrize(("instance", "code"), [("i-xyz", "Malformed"), ("i-00000000000000bad", "NotFound")])
def test_an_unknown_instance_is_said_to_be(local_aws: LocalAws, instance: str, code: str) -> None:
    for operation in ("terminate_instances", "stop_instances", "describe_instances"):
        with pytest.raises(ClientError, match=rf"InvalidInstanceID\.{code}"):
            getattr(local_aws.client("ec2"), operation)(InstanceIds=[instance])


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[LocalAws]:
    """An emulator in which two minutes' notice are two seconds'."""
    with emulator(tmp_path / "aws", LOCAL_AWS_TIME_FACTOR="60", LOCAL_AWS_STOP_GRACE="1") as aws:
        yield aws


def interrupt(aws: LocalAws, instance: str) -> None:
    """Takes a spot instance back, as only AWS can."""
    url = f"{aws.info['endpoint_url']}/_local_aws/interruptions"
    data = json.dumps({"InstanceId": instance}).encode()
    urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10).close()


def test_a_spot_instance_sees_its_end_coming(quick: LocalAws) -> None:
    script = f"""#!/bin/bash
export PYTHONPATH={REPOSITORY_ROOT}
until python3 -m training.ec2_tools metadata spot/instance-action; do echo not yet; sleep 0.2; done
sleep 600
"""
    market = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    instance = launch(quick, script, InstanceMarketOptions=market)
    wait_for(lambda: "not yet" in console(quick, instance), "the user data's start")
    assert look(quick, instance)["InstanceLifecycle"] == "spot"

    interrupt(quick, instance)
    wait_for(lambda: '"action": "terminate"' in console(quick, instance), "the notice")
    assert look(quick, instance)["State"]["Name"] == "running"
    reach(quick, instance, "terminated")

    assert look(quick, instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_the_emulators_end_is_every_instances_end(quick: LocalAws) -> None:
    instance = launch(quick, "#!/bin/bash\ntrap '' TERM\nsetsid sleep 600 &\necho up\nsleep 600\n")
    wait_for(lambda: "up" in console(quick, instance), "the user data's start")

    supervisor.down(quick.state)
    left = marked(quick.state)
    folders = list((quick.state / "instances").iterdir()) if (quick.state / "instances").exists() else []
    again = LocalAws(quick.state, supervisor.up(quick.state, 0))

    assert (left, folders) == ([], [])
    assert look(again, instance)["State"]["Name"] == "terminated"


def test_user_data_can_be_read_back(local_aws: LocalAws) -> None:
    instance = launch(local_aws, "#!/bin/bash\necho 'ü'\n", InstanceInitiatedShutdownBehavior="terminate")
    ec2 = local_aws.client("ec2")

    data = ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    behaviour = ec2.describe_instance_attribute(InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior")

    assert base64.b64decode(data).decode() == "#!/bin/bash\necho 'ü'\n"
    assert behaviour["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    ec2.terminate_instances(InstanceIds=[instance])
