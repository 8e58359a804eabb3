"""The real server as a process, for tests: started, waited for, asked, stopped."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Reply:
    """A status, headers with lower-case names, the JSON body."""

    status: int
    headers: dict[str, str]
    json: Any


@dataclass(frozen=True)
class ServerProcess:
    """A running server. `log` collects its standard output."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int

    def connect(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """One request on a connection of its own; header names with _ for -."""
        connection = self.connect()
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            return read_reply(connection)

    def classify(self, body: bytes, attributes: str = "", content_type: str = "image/jpeg") -> Reply:
        """POST /invocations."""
        return self.ask(
            "POST",
            "/invocations",
            body,
            Content_Type=content_type,
            X_Amzn_SageMaker_Custom_Attributes=attributes,
        )

    def log_lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def read_reply(connection: http.client.HTTPConnection) -> Reply:
    """The answer that waits on `connection`."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, json.loads(response.read()))


@contextlib.contextmanager
def running(model_dir: Path, log: Path, **environment: str) -> Iterator[ServerProcess]:
    """The server on a free port with the model of `model_dir`, ready; stopped at the end."""
    settings = {"MODEL_DIR": str(model_dir), "HOST": "127.0.0.1", "PORT": "0"} | environment
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "serve"], cwd=ROOT, env=os.environ | settings, stdout=file
        )
    try:
        yield ServerProcess(process, log, _wait_until_ready(process, log))
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if any(line["event"] == "ready" for line in lines):
            return int(next(line["port"] for line in lines if line["event"] == "listening"))
        time.sleep(0.02)
    raise AssertionError("the server did not get ready: " + log.read_text())
