"""Parts of the embedded EC2 that need no emulator: the wire, the metadata service, `shutdown`, how a guest ends."""

from __future__ import annotations

import http.client
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws import ec2_metadata, ec2_shutdown, ec2_wire, models, settings
from local_aws.ec2_guest import Ending, Guest
from local_aws.ec2_metadata import Metadata
from local_aws.errors import ApiError

OPERATIONS = ("DescribeInstances", "GetConsoleOutput", "RunInstances", "TerminateInstances")
OPTIONS = {"HttpTokens": "required", "HttpEndpoint": "enabled"}
ONE = {"MinCount": "1", "MaxCount": "1"}


def operation(name: str) -> Any:
    """botocore's model of one operation."""
    return models.service_model("ec2", OPERATIONS).operation_model(name)


def test_a_form_becomes_the_models_members() -> None:
    fields = {
        "Action": "RunInstances",
        "Version": "2016-11-15",
        **ONE,
        "TagSpecification.1.ResourceType": "instance",
        "TagSpecification.1.Tag.2.Key": "second",
        "TagSpecification.1.Tag.1.Key": "first",
        "TagSpecification.1.Tag.1.Value": "a b",
        "IamInstanceProfile.Name": "worker",
        "NetworkInterface.1.SecurityGroupId.1": "sg-00000001",
        "NetworkInterface.1.AssociatePublicIpAddress": "true",
    }

    assert ec2_wire.parse(operation("RunInstances"), fields) == {
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "first", "Value": "a b"}, {"Key": "second"}]}
        ],
        "IamInstanceProfile": {"Name": "worker"},
        "NetworkInterfaces": [{"Groups": ["sg-00000001"], "AssociatePublicIpAddress": True}],
    }


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"MinCount": "1"}, "MissingParameter", "must contain the parameter MaxCount"),
        ({**ONE, "Colour": "red"}, "UnknownParameter", "parameter Colour is not recognized"),
        ({**ONE, "IamInstanceProfile.Nome": "x"}, "UnknownParameter", "IamInstanceProfile.Nome"),
        ({**ONE, "IamInstanceProfile": "x"}, "UnknownParameter", "IamInstanceProfile"),
        ({**ONE, "ImageId": "a", "ImageId.1": "b"}, "UnknownParameter", "ImageId.1"),
        ({**ONE, "SecurityGroupId.x": "y"}, "UnknownParameter", "SecurityGroupId"),
        ({"MinCount": "one", "MaxCount": "1"}, "InvalidParameterValue", "'one' for MinCount"),
        ({**ONE, "InstanceType": "x9.huge"}, "InvalidParameterValue", "Invalid value 'x9.huge' for InstanceType."),
        ({**ONE, "EbsOptimized": "yes"}, "InvalidParameterValue", "'yes' for EbsOptimized"),
    ],
)
def test_a_wrong_form_is_refused_naming_the_field(fields: dict[str, str], code: str, said: str) -> None:
    with pytest.raises(ApiError) as refused:
        ec2_wire.parse(operation("RunInstances"), fields)

    assert refused.value.code == code
    assert said in refused.value.message


def test_an_answer_is_xml_by_the_models_names() -> None:
    answer = {"InstanceId": "i-1", "Timestamp": 0.0, "Output": "<&>", "Unknown": 1}

    _, _, body = ec2_wire.answer(operation("GetConsoleOutput"), answer)

    found = {element.tag.rpartition("}")[2]: element.text for element in ET.fromstring(body)}
    assert found.pop("requestId")
    assert found == {"instanceId": "i-1", "timestamp": "1970-01-01T00:00:00.000Z", "output": "<&>"}


def ask(server: Metadata, method: str, path: str, **headers: str) -> tuple[int, str]:
    """One request to the metadata service."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def served(**options: str) -> Metadata:
    """A metadata service with something in it."""
    tree = {
        "meta-data": {"instance-id": "i-1", "placement": {"region": "r"}, "spot": {"instance-action": lambda: None}}
    }
    return Metadata(tree, {**OPTIONS, **options}, lambda minutes: None)


@pytest.fixture
def server() -> Iterator[Metadata]:
    """One that requires session tokens."""
    one = served()
    yield one
    one.close()


def test_the_metadata_service_answers_with_a_session_token_only(server: Metadata) -> None:
    status, token = ask(server, "PUT", ec2_metadata.SESSION_PATH, **{ec2_metadata.TTL_HEADER: "60"})
    known = {ec2_metadata.SESSION_HEADER: token}

    assert status == 200
    assert ask(server, "GET", "/latest/meta-data/instance-id")[0] == 401
    assert ask(server, "GET", "/latest/meta-data/instance-id", **{ec2_metadata.SESSION_HEADER: "made up"})[0] == 401
    assert ask(server, "GET", "/latest/meta-data/instance-id", **known) == (200, "i-1")
    assert ask(server, "GET", "/latest/meta-data/", **known) == (200, "instance-id\nplacement/\nspot/")
    assert ask(server, "GET", "/latest/meta-data/placement/region", **known) == (200, "r")
    assert ask(server, "GET", "/latest/meta-data/spot/instance-action", **known)[0] == 404
    assert ask(server, "GET", "/latest/nothing", **known)[0] == 404


@pytest.mark.parametrize("ttl", ["", "0", "21601", "soon"])
def test_a_session_token_lasts_one_second_to_six_hours(server: Metadata, ttl: str) -> None:
    assert ask(server, "PUT", ec2_metadata.SESSION_PATH, **{ec2_metadata.TTL_HEADER: ttl})[0] == 400


def test_version_one_answers_where_tokens_are_optional_and_nothing_does_where_it_is_off() -> None:
    optional, disabled = served(HttpTokens="optional"), served(HttpEndpoint="disabled")
    try:
        assert ask(optional, "GET", "/latest/meta-data/instance-id") == (200, "i-1")
        assert ask(disabled, "GET", "/latest/meta-data/instance-id")[0] == 403
        assert ask(disabled, "PUT", ec2_metadata.SESSION_PATH, **{ec2_metadata.TTL_HEADER: "60"})[0] == 403
    finally:
        optional.close()
        disabled.close()


@pytest.mark.parametrize(
    ("words", "minutes"),
    [("-h now", 0.0), ("-h +90", 90.0), ("-P +0", 0.0), ("", 1.0), ("-h +5 good bye", 5.0), ("-c", None)],
)
def test_shutdown_takes_what_the_real_one_takes(words: str, minutes: float | None) -> None:
    assert ec2_shutdown.minutes_of(words.split()) == minutes


@pytest.mark.parametrize("words", ["-r now", "-h 90", "-h +ten", "-h 23:00"])
def test_shutdown_refuses_what_it_cannot_do(words: str) -> None:
    with pytest.raises(ValueError, match=r"not there in the local AWS|Failed to parse"):
        ec2_shutdown.minutes_of(words.split())


@pytest.fixture
def record() -> dict[str, Any]:
    """What a guest needs of its record."""
    return {
        "InstanceId": "i-00000000000000001",
        "State": {"Code": 0, "Name": "pending"},
        "MetadataOptions": dict(OPTIONS),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "StateReason": None,
        "StateTransitionReason": "",
        "_terminated_at": 0.0,
    }


def boot(record: dict[str, Any], folder: Path, script: str) -> Guest:
    """A guest whose minutes last a tenth of a second."""
    guest = Guest(record, folder, script.encode(), {}, minute=0.1)
    guest.start(lambda live: live())
    return guest


def reaches(record: dict[str, Any], state: str, seconds: float = 10.0) -> bool:
    """Whether the record comes to the state."""
    deadline = time.monotonic() + seconds
    while record["State"]["Name"] != state and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(record["State"]["Name"] == state)


def test_a_deadline_inside_the_instance_ends_it(record: dict[str, Any], tmp_path: Path) -> None:
    boot(record, tmp_path, "#!/bin/bash\nshutdown -h +2\nsleep 60\n")

    assert reaches(record, "terminated")
    assert record["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert "Shutdown scheduled" in (tmp_path / "console.log").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["console.log"]


def test_user_data_that_is_still_open_for_writing_somewhere_runs_a_moment_later(
    record: dict[str, Any], tmp_path: Path
) -> None:
    with (tmp_path / "user-data").open("wb"):
        boot(record, tmp_path, "#!/bin/bash\nshutdown -h now\n")
        assert reaches(record, "running")
        time.sleep(0.1)

    assert reaches(record, "terminated")


def test_a_deadline_can_be_taken_back(record: dict[str, Any], tmp_path: Path) -> None:
    guest = boot(record, tmp_path, "#!/bin/bash\nshutdown -h +20\nshutdown -c\necho still here\n")
    said = tmp_path / "console.log"
    deadline = time.monotonic() + 10
    while not (said.exists() and "still here" in said.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(2.2)

    assert record["State"]["Name"] == "running"
    assert guest.end("user", Ending("stopped", "Client.UserInitiatedShutdown", "User initiated shutdown"))
    assert reaches(record, "stopped")
    assert "still here" in said.read_text()


def test_terminating_wins_over_stopping_and_comes_too_late_afterwards(record: dict[str, Any], tmp_path: Path) -> None:
    guest = boot(record, tmp_path, "")
    assert reaches(record, "running")

    guest.end("user", Ending("stopped", "Client.UserInitiatedShutdown", "User initiated shutdown"))
    guest.end("user", Ending("terminated", "Client.UserInitiatedShutdown", "User initiated shutdown"))

    assert reaches(record, "terminated")
    assert not guest.end("user", Ending("stopped", "Client.UserInitiatedShutdown", "User initiated shutdown"))
    assert record["State"]["Name"] == "terminated"


@pytest.mark.parametrize(
    ("data", "said"),
    [("#!/no/such/shell\n", "No such file"), ("#cloud-config\n", "none that is a script"), ("", "none")],
)
def test_an_instance_without_a_script_that_can_run_runs_all_the_same(
    record: dict[str, Any], tmp_path: Path, data: str, said: str
) -> None:
    guest = boot(record, tmp_path, data)

    assert reaches(record, "running")
    guest.end("user", Ending("terminated", "Client.UserInitiatedShutdown", "User initiated shutdown"))
    assert reaches(record, "terminated")
    assert said in (tmp_path / "console.log").read_text()


def test_the_aws_command_is_the_named_one_else_the_paths_else_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "aws"
    command.touch(mode=0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LOCAL_AWS_CLI", raising=False)
    assert settings.aws_command() == command
    monkeypatch.setenv("LOCAL_AWS_CLI", "/no/such/aws")
    assert settings.aws_command() is None
