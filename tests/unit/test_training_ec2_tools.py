"""What the bootstrap of an EC2 training instance leaves to Python."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws.ec2_metadata import Metadata
from training import ec2_tools


def test_hyperparameters_become_arguments_with_any_character(capsys: pytest.CaptureFixture[str]) -> None:
    encoded = base64.b64encode(json.dumps({"run": "a-1", "ranges": '{"x": "it\'s $HOME\\n"}'}).encode()).decode()

    ec2_tools.main(["arguments", encoded])

    assert capsys.readouterr().out.split("\0") == ["--run", "a-1", "--ranges", '{"x": "it\'s $HOME\\n"}', ""]


@pytest.mark.parametrize("document", ["[]", '{"epochs": 3}'])
def test_hyperparameters_are_an_object_of_strings(document: str) -> None:
    with pytest.raises(ValueError, match="JSON object of strings"):
        ec2_tools.arguments(base64.b64encode(document.encode()).decode())


def test_only_packages_that_are_not_there_are_missing() -> None:
    requirements = "# pinned\npytest==0.0.1  # there, in another version\n\nno-such-package==1.2.3\n"

    assert ec2_tools.missing(requirements) == ["no-such-package==1.2.3"]


def test_success_tells_the_last_value_of_every_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASK_TOKEN", "token")
    log = tmp_path / "log"
    log.write_text("metric train:loss=1.5 epoch=1\nmetric train:loss=0.25 epoch=2\nnot metric x=1\n")

    ec2_tools.main(["success", str(log), "s3://b/model.tar.gz", "12", "i-1"])

    request = json.loads(capsys.readouterr().out)
    assert request["taskToken"] == "token"
    assert json.loads(request["output"]) == {
        "model_data": "s3://b/model.tar.gz",
        "seconds": 12,
        "instance_id": "i-1",
        "metrics": {"train:loss": 0.25},
    }


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("error: first\nTraceback\nerror: no pictures in 'a\"b'\nafterwards\n", "error: no pictures in 'a\"b'"),
        ("nothing was said", "error: training failed"),
        ("", "error: training failed"),
    ],
)
def test_the_cause_is_the_programs_own_last_error(log: str, cause: str) -> None:
    assert ec2_tools.cause(log, "training failed") == cause


def test_a_long_cause_is_cut() -> None:
    assert len(ec2_tools.cause("error: " + "x" * 5000, "")) == ec2_tools.MAX_CAUSE


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """A metadata service of version 2."""
    tree = {"meta-data": {"instance-id": "i-1", "spot": {"instance-action": lambda: None}}}
    server = Metadata(tree, {"HttpTokens": "required", "HttpEndpoint": "enabled"}, lambda minutes: None)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    yield server
    server.close()


@pytest.mark.usefixtures("service")
def test_the_metadata_service_is_asked_with_a_session_token() -> None:
    assert ec2_tools.look_up("instance-id") == "i-1"
    assert ec2_tools.main(["metadata", "spot/instance-action"]) == 1


def test_without_a_metadata_service_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")

    assert ec2_tools.look_up("instance-id") is None
