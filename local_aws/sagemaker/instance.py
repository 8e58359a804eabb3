"""One serving process of a production variant: started under the container contract, pinged, read, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
import sys
import time
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from local_aws import logs, settings
from local_aws.httpclient import Client, ConnectionLostError
from local_aws.processes import child_environment, free_port, signal_group

PING_TIMEOUT_SECONDS = 2.0
TERMINATE_SECONDS = 30.0
STARTS_MAX = 2


class FleetError(Exception):
    """The variant cannot be brought up; the message is the endpoint's FailureReason."""


class Unpacked:
    """A folder that is there for as long as anything refers to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


@dataclass(frozen=True)
class Variant:
    """What an instance of a variant runs."""

    endpoint: str
    config: str
    name: str
    image: Path
    model: Unpacked
    environment: tuple[tuple[str, str], ...]
    logs: bool = True  # whether the model's role may write them


def log_group(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class Instance:
    """One serving process."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.identity = f"i-{secrets.token_hex(8)}"
        self.port = free_port()
        self.client = Client(self.port)
        self.healthy = False
        self.in_flight = 0
        self.last_lines: deque[str] = deque(maxlen=5)
        self.process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def log_group(self) -> str:
        """The endpoint's log group."""
        return log_group(self.variant.endpoint)

    @property
    def log_stream(self) -> str:
        """The instance's log stream."""
        return f"{self.variant.name}/{self.identity}"

    async def start(self) -> None:
        """Starts the process; healthy once it answers GET /ping (see `wait_healthy`)."""
        image = str(self.variant.image)
        environment = child_environment(
            **dict(self.variant.environment),
            MODEL_DIR=str(self.variant.model.folder),
            HOST="127.0.0.1",
            PORT=str(self.port),
            SAGEMAKER_BIND_TO_PORT=str(self.port),
            PYTHONPATH=image,
        )
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "serving", "serve",
            cwd=image, env=environment, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # a line longer than the reader's limit ends the log, not the instance
            async for raw in self.process.stdout:
                line = raw.decode(errors="replace").rstrip()
                self.last_lines.append(line)
                if self.variant.logs:
                    logs.append(self.log_group, self.log_stream, [line])

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.returncode is None

    async def ping(self) -> bool:
        """One health check."""
        try:
            answer = await self.client.request("GET", "/ping", {}, b"", PING_TIMEOUT_SECONDS)
        except (ConnectionLostError, TimeoutError):
            return False
        return answer.status == 200

    async def wait_healthy(self) -> bool:
        """True at the first good ping; False when the process ends before, or the health check's time is over."""
        deadline = time.monotonic() + settings.health_check_timeout_seconds()
        while self.alive and time.monotonic() < deadline:
            if await self.ping():
                self.healthy = True
                return True
            await asyncio.sleep(0.05)
        return False

    async def stop(self, grace: float = TERMINATE_SECONDS) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds, as AWS stops a container."""
        self.healthy = False
        self.client.close()
        if self.process is None:
            return
        signal_group(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self.process.wait()
        signal_group(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=1)


async def first_start(variant: Variant) -> Instance:
    """A healthy instance of `variant`. Raises FleetError, with nothing left, when it does not come up."""
    instance = Instance(variant)
    for _ in range(STARTS_MAX):
        instance = Instance(variant)
        try:
            await instance.start()
            if await instance.wait_healthy():
                return instance
        except BaseException:
            await instance.stop(grace=0)
            raise
        code = instance.process.returncode if instance.process is not None else None
        await instance.stop(grace=1)
        if code is None:
            break  # it ran and never answered: a second wait would be as long
    said = f" The container's last words: {' | '.join(instance.last_lines)}" if instance.last_lines else ""
    raise FleetError(
        f"The primary container for production variant {variant.name} did not pass the ping health check. "
        f"Please check CloudWatch logs for this endpoint.{said}"[:1024]
    )
