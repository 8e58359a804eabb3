"""Where a local AWS keeps its state, and the few knobs it has.

Everything a local AWS writes lies under one state directory, so that removing the directory removes all of it, and
every process it starts carries STATE_MARK=<that directory> in its environment, so that orphans can be found.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_STATE = REPOSITORY_ROOT / ".local" / "aws"
STATE_MARK = "LOCAL_AWS_STATE"
REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
MINISTACK_VERSION = "1.5.33"


@dataclass(frozen=True)
class Paths:
    """The layout of one state directory."""

    root: Path

    @property
    def info(self) -> Path:
        """local_aws.json: pid, port and endpoint of the running (or last) local AWS."""
        return self.root / "local_aws.json"

    @property
    def log(self) -> Path:
        """Output of the background process."""
        return self.root / "local_aws.log"

    @property
    def ministack(self) -> Path:
        """MiniStack's own persisted services."""
        return self.root / "ministack"

    @property
    def s3(self) -> Path:
        """Objects, one file each."""
        return self.root / "s3"

    @property
    def images(self) -> Path:
        """Unpacked "images", DIR/images/<repository>/<tag>/."""
        return self.root / "images"

    @property
    def jobs(self) -> Path:
        """One folder per running training job."""
        return self.root / "jobs"

    @property
    def instances(self) -> Path:
        """One folder per EC2 instance."""
        return self.root / "instances"

    @property
    def models(self) -> Path:
        """Unpacked model artifacts, by content."""
        return self.root / "models"

    @property
    def tmp(self) -> Path:
        """TMPDIR of everything the local AWS starts."""
        return self.root / "tmp"

    @property
    def passing(self) -> tuple[Path, ...]:
        """What belongs to running processes and goes with them."""
        return self.jobs, self.models, self.instances, self.tmp

    @property
    def executions(self) -> Path:
        """Executions of state machines, a file each."""
        return self.root / "executions"

    @property
    def logs(self) -> Path:
        """Lines of CloudWatch Logs, as they came."""
        return self.root / "logs"

    @property
    def metrics(self) -> Path:
        """Points of CloudWatch metrics, as they came."""
        return self.root / "metrics"


def stop_grace_seconds() -> float:
    """Seconds from SIGTERM to SIGKILL of a stopped training job: AWS gives 120; LOCAL_AWS_STOP_GRACE shortens it."""
    return float(os.environ.get("LOCAL_AWS_STOP_GRACE", "120"))


def guest_grace_seconds() -> float:
    """Seconds from SIGTERM to SIGKILL when an EC2 instance ends: 10, or LOCAL_AWS_STOP_GRACE where that is shorter."""
    return min(10.0, stop_grace_seconds())


def aws_command() -> Path | None:
    """What an EC2 instance's user data finds as `aws`: LOCAL_AWS_CLI, else the one on the PATH, else `make setup`'s."""
    named = os.environ.get("LOCAL_AWS_CLI") or shutil.which("aws") or str(REPOSITORY_ROOT / ".venv-sam" / "bin" / "aws")
    return Path(named) if os.access(named, os.X_OK) else None


def invoke_timeout_seconds() -> float:
    """Seconds a container may take to answer: AWS gives 60; LOCAL_AWS_INVOKE_TIMEOUT shortens it."""
    return float(os.environ.get("LOCAL_AWS_INVOKE_TIMEOUT", "60"))


def time_factor() -> float:
    """How many times faster than real AWS's waits, metric periods and cooldowns run: LOCAL_AWS_TIME_FACTOR, at least 1.

    It never touches what is computed: a request takes as long as it takes, and a rate stays a rate.
    """
    return max(1.0, float(os.environ.get("LOCAL_AWS_TIME_FACTOR", "1")))


def autosave_seconds() -> float:
    """Seconds between two looks at whether MiniStack's services are to be saved."""
    return float(os.environ.get("LOCAL_AWS_AUTOSAVE", "5"))


def health_check_timeout_seconds() -> float:
    """Seconds until a container's first good ping: AWS's default is 240; LOCAL_AWS_STARTUP_TIMEOUT shortens it."""
    return float(os.environ.get("LOCAL_AWS_STARTUP_TIMEOUT", "240"))
