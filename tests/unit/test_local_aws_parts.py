"""Small parts of local_aws that need no emulator: archives, Dockerfiles, the HTTP client, the container contract."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from local_aws import archives
from local_aws.codebuild import copy_sources, split_image_uri
from local_aws.httpclient import Client, ConnectionLostError
from local_aws.processes import BEHIND, behind_servers
from local_aws.sagemaker.container import Host


def archive(*members: tarfile.TarInfo) -> bytes:
    """A .tar.gz of empty members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for member in members:
            out.addfile(member)
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    """A symbolic link."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize("member", [tarfile.TarInfo("../out"), tarfile.TarInfo("/out"), link("inside", "other")])
def test_an_archive_with_a_dangerous_member_is_refused_whole(member: tarfile.TarInfo, tmp_path: Path) -> None:
    with pytest.raises(archives.ArchiveError):
        archives.unpack(archive(tarfile.TarInfo("good"), member), tmp_path / "in")

    assert list((tmp_path / "in").iterdir()) == []


def test_a_damaged_archive_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(archives.ArchiveError, match="not a readable tar archive"):
        archives.unpack(b"no archive", tmp_path)


def test_what_is_packed_unpacks(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "file").write_text("x")

    archives.pack(tmp_path / "a", tmp_path / "a.tar.gz")
    archives.unpack((tmp_path / "a.tar.gz").read_bytes(), tmp_path / "b")

    assert (tmp_path / "b" / "deep" / "file").read_text() == "x"


def test_copy_sources_are_what_the_context_must_have() -> None:
    dockerfile = """
FROM python AS build
COPY --chown=1:1 requirements.txt \\
     serving /app/
COPY --from=build /x /y
COPY ["a b", "/c"]
# COPY comment /
ADD https://example.org/x /x
"""
    assert copy_sources(dockerfile) == ["requirements.txt", "serving", "a b"]


@pytest.mark.parametrize("uri", ["", "repository:tag", "r/repository", "r/../x:tag", "r/repository@sha256:00", "r/x:"])
def test_an_image_uri_must_name_registry_repository_and_tag(uri: str) -> None:
    with pytest.raises(ValueError, match="not an image URI"):
        split_image_uri(uri)


def test_an_image_uri_may_have_a_deep_repository() -> None:
    assert split_image_uri("0.dkr.ecr.us-east-1.amazonaws.com/a/b:1.0") == ("a/b", "1.0")


def test_hyperparameters_reach_the_script_decoded_and_without_the_reserved_ones() -> None:
    record = {
        "HyperParameters": {"epochs": "3", "run": '"r-1"', "plain": "text", "on": "true", "sagemaker_program": "t.py"}
    }

    assert Host.arguments(record) == ["--epochs", "3", "--on", "True", "--plain", "text", "--run", "r-1"]


async def exchange(*answers: bytes) -> list[int]:
    """Statuses the client reads from a server that sends each of `answers` once per connection, then closes it."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = Client(server.sockets[0].getsockname()[1])
    try:
        return [(await client.request("GET", "/", {}, b"", 5)).status for _ in answers]
    finally:
        client.close()
        server.close()


def test_the_client_reads_lengths_chunks_and_bodies_until_the_end() -> None:
    statuses = asyncio.run(
        exchange(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 202 Fine\r\nConnection: close\r\n\r\nok",
        )
    )

    assert statuses == [200, 201, 202]


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", b"what\r\n\r\n"]
)
def test_half_an_answer_is_a_lost_connection(answer: bytes) -> None:
    with pytest.raises(ConnectionLostError):
        asyncio.run(exchange(answer))


def test_what_trains_and_what_it_starts_stand_behind_what_serves() -> None:
    # given a job that starts something of its own once it is told to
    script = "import os, subprocess; input(); subprocess.run(['nice'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as job:
        # when it is put behind
        behind_servers(job.pid)
        said, _ = job.communicate("\n")
    # then so is that, and a process that has ended is no error
    assert int(said) >= BEHIND
    behind_servers(job.pid)
