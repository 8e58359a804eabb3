"""Destroying a stack, without one: what is asked, what is emptied, what is refused, how it goes on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from rich.console import Console

from tools import destroy, local_stack, pipeline, remains
from tools.progress import Progress

TARGET = destroy.Target("kennel-dev", "us-east-1", "123", "arn:teardown", ("data", "artifacts"))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


def ended(status: str, error: str = "", cause: str = "") -> pipeline.Outcome:
    return pipeline.Outcome(status, {}, error, cause, 1.0)


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


def test_the_whole_name_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    destroy.confirm(TARGET, lambda _: "kennel-dev ")
    shown = capsys.readouterr().out
    assert "account 123, us-east-1" in shown and shown.endswith("emptied:\n  data\n  artifacts\n")


@pytest.mark.parametrize("typed", ["", "y", "yes", "kennel", "KENNEL-DEV"])
def test_anything_else_is_a_no(typed: str) -> None:
    with pytest.raises(destroy.DestroyError, match="nothing was touched"):
        destroy.confirm(TARGET, lambda _: typed)


def test_nobody_there_to_be_asked_is_a_no() -> None:
    def nobody(_: str) -> str:
        raise EOFError

    with pytest.raises(destroy.DestroyError, match="YES=1"):
        destroy.confirm(TARGET, nobody)


def test_a_bucket_loses_every_version_and_every_marker(aws: None) -> None:
    # given a versioned bucket with more than one page of versions, and a deleted object
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="pictures")
    s3.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
    for number in range(1001):
        s3.put_object(Bucket="pictures", Key=f"{number % 7}", Body=b"x")
    s3.delete_object(Bucket="pictures", Key="1")
    # when it is emptied
    told: list[int] = []
    count = destroy.empty(s3, "pictures", told.append)
    # then all of them are gone, so that the bucket can be deleted
    assert (count, told[-1]) == (1002, 1002)
    s3.delete_bucket(Bucket="pictures")


def test_a_missing_bucket_is_empty(aws: None) -> None:
    assert destroy.empty(boto3.client("s3"), "gone", print) == 0


def test_an_object_that_cannot_be_deleted_is_named() -> None:
    class Locked:
        def list_object_versions(self, **_: str) -> dict[str, Any]:
            return {"Versions": [{"Key": "kept.jpg", "VersionId": "1"}]}

        def delete_objects(self, **_: Any) -> dict[str, Any]:
            return {"Errors": [{"Key": "kept.jpg", "Code": "AccessDenied"}]}

    with pytest.raises(destroy.DestroyError, match=r"1 objects of data stay: kept.jpg: AccessDenied"):
        destroy.empty(Locked(), "data", print)


def test_a_teardown_that_fails_keeps_the_stack_and_its_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(pipeline, "start", lambda *_: "arn:execution")
    monkeypatch.setattr(pipeline, "follow", lambda *_: ended("FAILED", "LeftOver", "1 left: model kennel-dev-a"))
    monkeypatch.setattr(destroy, "empty", lambda *_: done.append("emptied"))
    monkeypatch.setattr(local_stack, "sam", lambda *_: done.append("deleted"))

    with quiet() as progress, pytest.raises(destroy.DestroyError, match="LeftOver: 1 left: model kennel-dev-a"):
        destroy.destroy(TARGET, progress)
    assert done == []


def test_the_order_is_teardown_then_buckets_then_the_stack(monkeypatch: pytest.MonkeyPatch, aws: None) -> None:
    done: list[str] = []
    monkeypatch.setattr(pipeline, "start", lambda machine, given: done.append(f"{machine} {given}"))
    monkeypatch.setattr(pipeline, "follow", lambda *_: ended("SUCCEEDED"))
    monkeypatch.setattr(destroy, "empty", lambda s3, bucket, gone: done.append(bucket))
    monkeypatch.setattr(local_stack, "sam", lambda *words: done.append(" ".join(words)))

    with quiet() as progress:
        destroy.destroy(TARGET, progress)

    assert done == [
        "arn:teardown {'artifacts': True}",
        "data",
        "artifacts",
        "delete --no-prompts --stack-name kennel-dev --region us-east-1",
    ]


OURS = {name: name.lower() for name in ("PipelineStateMachine", "TeardownStateMachine", "DataBucket", "ArtifactBucket")}


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_whole_stack_of_ours_is_torn_down(status: str) -> None:
    assert destroy.teardown_of("kennel-dev", status, OURS) == "teardownstatemachine"


def test_a_stack_on_somebodys_data_bucket_is_torn_down_too() -> None:
    without = {name: one for name, one in OURS.items() if name != "DataBucket"}
    assert destroy.teardown_of("kennel-dev", "CREATE_COMPLETE", without) == "teardownstatemachine"


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "DELETE_FAILED"])
def test_a_stack_that_is_half_there_goes_without_teardown(status: str) -> None:
    assert destroy.teardown_of("kennel-dev", status, OURS) == destroy.teardown_of("kennel-dev", status, {}) == ""


@pytest.mark.parametrize(
    ("status", "missing", "why"),
    [
        ("DELETE_IN_PROGRESS", "", "wait for that to end"),
        ("CREATE_COMPLETE", "PipelineStateMachine", "not one of Kennel's"),
        ("CREATE_COMPLETE", "ArtifactBucket", "not one of Kennel's"),
        ("CREATE_COMPLETE", "TeardownStateMachine", "deploy it again"),
    ],
)
def test_a_stack_that_is_not_to_be_touched_is_refused(status: str, missing: str, why: str) -> None:
    with pytest.raises(destroy.DestroyError, match=why):
        destroy.teardown_of("kennel-dev", status, {name: x for name, x in OURS.items() if name != missing})


def test_what_is_left_fails_and_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(remains, "find", lambda _: ["bucket kennel-dev-databucket-1", "model kennel-dev-a"])

    assert destroy.report("kennel-dev", was_there=True) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[:3] == [
        "error: 2 left of stack kennel-dev:",
        "  bucket kennel-dev-databucket-1",
        "  model kennel-dev-a",
    ]


def test_an_interrupt_says_that_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(destroy, "find_target", lambda _: TARGET)
    monkeypatch.setattr(destroy, "destroy", interrupted)
    monkeypatch.setattr(remains, "find", interrupted)

    assert destroy.main(["kennel-dev", "--yes"]) == 130
    assert "the same command goes on with the rest" in capsys.readouterr().err
