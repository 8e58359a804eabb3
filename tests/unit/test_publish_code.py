"""publish_code: the same code is the same bytes, and CloudFormation always gets an answer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.publish_code import app

BUCKET = "kennel-artifacts"


class CloudFormation:
    """The signed URL that a custom resource answers to; `failures` of its first answers are lost."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.failures = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.failures:
                    outer.failures -= 1
                    self.send_error(503)
                    return
                outer.received.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/response?Signature=secret"


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    service = CloudFormation()
    threading.Thread(target=service.server.serve_forever, args=(0.01,), daemon=True).start()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bundle"
    for name in ("training/train.py", "serving/Dockerfile", "serving/__main__.py", "requirements.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    monkeypatch.setattr(app, "BUNDLE", folder)
    return folder


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        app._s3.cache_clear()
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
        app._s3.cache_clear()


def event(cloudformation: CloudFormation, kind: str, **extra: Any) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": cloudformation.url,
        "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/kennel/1",
        "RequestId": "request-1",
        "LogicalResourceId": "PublishedCode",
        "ResourceProperties": {"ServiceToken": "arn", "Bucket": BUCKET, "Version": "arn:1"},
        **extra,
    }


def test_create_publishes_and_answers_where(s3: Any, cloudformation: CloudFormation, bundle: Path) -> None:
    app.handler(event(cloudformation, "Create"), None)

    (answer,) = cloudformation.received
    data = answer["Data"]
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == data["CodeSha256"]
    assert data["CodeUri"] == f"s3://{BUCKET}/code/{data['CodeSha256']}/source.tar.gz"
    assert [answer[key] for key in ("RequestId", "LogicalResourceId")] == ["request-1", "PublishedCode"]
    body = s3.get_object(Bucket=BUCKET, Key=data["CodeUri"].removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    assert hashlib.sha256(gzip.decompress(body)).hexdigest() == data["CodeSha256"]
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == [
            "requirements.txt",
            "serving/Dockerfile",
            "serving/__main__.py",
            "training/train.py",
        ]
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in members} == {(0, 0, 0, 0o644)}


def test_the_same_code_is_the_same_bytes_whenever_and_wherever_it_was_built(bundle: Path) -> None:
    before = app.pack(bundle)
    for path in bundle.rglob("*"):
        os.utime(path, (1, 1))
    (bundle / "training" / "train.py").chmod(0o700)
    cache = bundle / "training" / "__pycache__"
    cache.mkdir()
    (cache / "train.pyc").write_bytes(b"compiled")
    assert app.pack(bundle) == before

    (bundle / "training" / "train.py").write_text("changed")
    assert app.pack(bundle) != before


def test_publishing_again_writes_nothing(s3: Any, cloudformation: CloudFormation, bundle: Path) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    app.handler(event(cloudformation, "Create"), None)
    app.handler(event(cloudformation, "Update", PhysicalResourceId="old"), None)

    first, second = cloudformation.received
    assert first["Data"] == second["Data"]
    assert len(s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1


def test_changed_code_is_a_new_resource_and_the_old_one_stays(
    s3: Any, cloudformation: CloudFormation, bundle: Path
) -> None:
    app.handler(event(cloudformation, "Create"), None)
    (bundle / "training" / "train.py").write_text("changed")
    app.handler(event(cloudformation, "Update", PhysicalResourceId="old"), None)
    app.handler(
        event(cloudformation, "Delete", PhysicalResourceId=cloudformation.received[0]["PhysicalResourceId"]), None
    )

    first, second, deleted = cloudformation.received
    assert first["PhysicalResourceId"] != second["PhysicalResourceId"]
    assert deleted["Status"] == "SUCCESS"
    assert deleted["PhysicalResourceId"] == first["PhysicalResourceId"]
    assert len(s3.list_objects_v2(Bucket=BUCKET)["Contents"]) == 2


@pytest.mark.parametrize("damage", ["no bucket", "no bundle", "no property"])
def test_a_failure_is_answered_with_its_reason(
    s3: Any, cloudformation: CloudFormation, bundle: Path, damage: str
) -> None:
    request = event(cloudformation, "Create")
    if damage == "no bucket":
        request["ResourceProperties"]["Bucket"] = "no-such-bucket"
    elif damage == "no property":
        request["ResourceProperties"] = {}
    else:
        for path in sorted(bundle.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    app.handler(request, None)

    (answer,) = cloudformation.received
    assert answer["Status"] == "FAILED"
    assert answer["Reason"]
    assert answer["PhysicalResourceId"] == "not-published"


def test_deleting_what_was_never_published_succeeds(cloudformation: CloudFormation) -> None:
    app.handler(event(cloudformation, "Delete", PhysicalResourceId="not-published"), None)
    assert cloudformation.received[0]["Status"] == "SUCCESS"


def test_a_lost_answer_is_sent_again(
    s3: Any, cloudformation: CloudFormation, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.publish_code.app.time.sleep", lambda seconds: None)
    cloudformation.failures = 2
    app.handler(event(cloudformation, "Create"), None)
    assert cloudformation.received[0]["Status"] == "SUCCESS"
