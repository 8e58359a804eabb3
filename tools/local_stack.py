"""Bring the stack up on the embedded AWS and take it away again, through the same commands a person would type."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from tools.stack import local_environment

ROOT = Path(__file__).resolve().parent.parent
SAM = Path(os.environ.get("KENNEL_SAM", ROOT / ".venv-sam" / "bin" / "sam"))
NAME = "kennel-local"
SHOWN_LINES = 25
# State machines wait 10 to 15 s between looks at an endpoint that takes minutes on AWS and a second here, a deployment
# is watched for minutes, cooldowns last as long. Only waits are quickened, never work (local_aws/COVERAGE.md).
TIME_FACTOR = "10"


class LocalStackError(Exception):
    """A command failed; the message holds the end of what it said."""


def start(state: Path) -> None:
    """Start the embedded AWS with its state in ``state`` and point every AWS client of this process at it."""
    os.environ.setdefault("LOCAL_AWS_TIME_FACTOR", TIME_FACTOR)
    run([sys.executable, "-m", "local_aws", "up", "--state", str(state)], "starting the embedded AWS")
    running = json.loads((state / "local_aws.json").read_text())
    environment = local_environment(running["endpoint_url"], running["region"], os.environ)
    os.environ.clear()
    os.environ.update(environment)


def is_up(state: Path) -> bool:
    """Whether the embedded AWS with its state there runs."""
    command = [sys.executable, "-m", "local_aws", "status", "--state", str(state)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def stop(state: Path) -> None:
    """Stop the embedded AWS and every process it started. Does nothing when it is not up."""
    run([sys.executable, "-m", "local_aws", "down", "--state", str(state)], "stopping the embedded AWS")


def sam(*arguments: str, scratch: Path | None = None) -> None:
    """Run the SAM CLI in the repository root, unmodified: AWS_ENDPOINT_URL alone points it at the embedded AWS.

    Its temporary files lie in ``scratch``, so that they go with it even where Ctrl-C comes while their folder is made.
    """
    if not SAM.exists():
        raise LocalStackError(f"the SAM CLI is missing ({SAM.relative_to(ROOT)}): 'make setup' installs it")
    # The SAM CLI leaves an empty temporary folder for each thing it packages: they go with this one.
    with tempfile.TemporaryDirectory(prefix="kennel-sam-", dir=scratch) as folder:
        run([str(SAM), *arguments], f"sam {arguments[0]}", TMPDIR=folder)


def build_and_deploy(scratch: Path, *options: str) -> None:
    """`sam build` into ``scratch`` and `sam deploy` from there, so that two at once in this checkout do not meet."""
    build(scratch)
    deploy(scratch, *options)


def build(scratch: Path) -> None:
    """`sam build` into ``scratch``, for `deploy`."""
    sam("build", "--build-dir", str(scratch / "build"), scratch=scratch)
    # As JSON, which is YAML: `sam deploy` reads it seven times, and YAML without the help of C, which takes it longer
    # than all else that it does.
    template = scratch / "build" / "template.yaml"
    template.write_text(json.dumps(yaml.load(template.read_text(), yaml.CSafeLoader), default=str))


def deploy(scratch: Path, *options: str) -> None:
    """`sam deploy` of what was built into ``scratch``; ``options`` go on to the SAM CLI."""
    template, settings = str(scratch / "build" / "template.yaml"), str(ROOT / "samconfig.toml")
    arguments = ("--config-env", "local", "--config-file", settings, "--template-file", template, *options)
    sam("deploy", *arguments, scratch=scratch)


def run(command: list[str], what: str, **variables: str) -> None:
    """Run a command quietly in the repository root, with ``variables`` added to the environment."""
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-SHOWN_LINES:]
        raise LocalStackError(f"{what} failed (exit status {done.returncode}):\n" + "\n".join(said))


@contextlib.contextmanager
def stopped_afterwards(state: Path) -> Iterator[None]:
    """Whatever happens in the block, the embedded AWS is stopped at its end."""
    try:
        yield
    finally:
        # A second Ctrl-C must not cut the clean-up short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stop(state)
