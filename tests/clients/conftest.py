"""One emulator for the clients that nobody here wrote, and how each is started: as a process, with its own settings."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import ROLE, Stage, build_stage, emulator

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
SDK_PYTHON = ROOT / ".venv-clients" / "bin" / "python"
SAM_TOOLS = ROOT / ".venv-sam" / "bin"
# The SDK asks STS by its public address for the name of its default bucket, so it is told one.
SDK_DEFAULTS = """
SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
      Session:
        DefaultS3Bucket: sdk-default
"""


def fresh(prefix: str) -> str:
    """A name nothing has yet."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Clients:
    """A filled emulator, and a folder to work in."""

    stage: Stage
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What every client is started with: nothing of this machine's own AWS settings."""
        defaults = self.folder / "sagemaker.yaml"
        defaults.write_text(SDK_DEFAULTS)
        nothing = str(self.folder / "none")
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        return {
            "PATH": f"{SAM_TOOLS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(scratch),
            "AWS_ENDPOINT_URL": self.stage.aws.info["endpoint_url"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": nothing,
            "AWS_SHARED_CREDENTIALS_FILE": nothing,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "SAM_CLI_TELEMETRY": "0",
            "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(defaults),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(defaults),
        }

    def run(self, *command: str, cwd: Path | None = None, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a client to its end, whatever that is; `typed` is what a person answers."""
        return subprocess.run(
            command,
            env=self.environment,
            cwd=cwd or self.folder,
            input=typed or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def aws(self, *arguments: str) -> str:
        """What an `aws` command that must succeed prints."""
        done = self.run("aws", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def aws_json(self, *arguments: str) -> Any:
        """The JSON an `aws` command prints; None when it prints nothing."""
        said = self.aws(*arguments, "--output", "json")
        return json.loads(said) if said.strip() else None

    def sdk(self, script: str, **arguments: Any) -> Any:
        """Runs scripts/SCRIPT under the SageMaker SDK; gives the JSON it writes, with the lines it prints as "log"."""
        if not SDK_PYTHON.exists():
            pytest.fail("the SageMaker SDK is not installed: make .venv-clients/ready")
        answer = self.folder / f"{fresh('answer')}.json"
        given = {"answer": str(answer), "role": ROLE, "image": self.stage.image, **arguments}
        done = self.run(str(SDK_PYTHON), str(SCRIPTS / script), json.dumps(given))
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return {**json.loads(answer.read_text()), "log": done.stdout.splitlines()}


@pytest.fixture(scope="package")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """The group's emulator: other tests' names and lists stay out of it."""
    with emulator(tmp_path_factory.mktemp("clients-aws"), LOCAL_AWS_STOP_GRACE="1") as aws:
        yield Clients(build_stage(aws), tmp_path_factory.mktemp("clients"))
