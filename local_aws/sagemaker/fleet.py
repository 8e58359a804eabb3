"""The instances of one production variant: serving processes, started, watched, replaced, and chosen in turn.

Everything here runs on the emulator's event loop; only unpacking a model goes to a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from local_aws import logs, settings
from local_aws.httpclient import Client, ConnectionLostError
from local_aws.processes import child_environment, free_port, signal_group

logger = logging.getLogger("local_aws.endpoints")

PING_EVERY_SECONDS = 5.0
PING_TIMEOUT_SECONDS = 2.0
PINGS_MISSED_MAX = 3
TERMINATE_SECONDS = 30.0
STARTS_MAX = 2
_RESTART_PAUSE_MAX = 5.0


class FleetError(Exception):
    """The variant cannot be brought up; the message is the endpoint's FailureReason."""


@dataclass(frozen=True)
class Variant:
    """What an instance of a variant runs."""

    endpoint: str
    name: str
    image: Path
    model: Path
    environment: tuple[tuple[str, str], ...]


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
        return f"/aws/sagemaker/Endpoints/{self.variant.endpoint}"

    @property
    def log_stream(self) -> str:
        """The instance's log stream."""
        return f"{self.variant.name}/{self.identity}"

    async def start(self) -> None:
        """Starts the process; healthy once it answers GET /ping (see `wait_healthy`)."""
        image = str(self.variant.image)
        environment = child_environment(
            **dict(self.variant.environment),
            MODEL_DIR=str(self.variant.model),
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
            await asyncio.wait_for(self.process.wait(), grace)
        signal_group(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=1)


class Fleet:
    """`size` instances of a variant, kept alive. `instances` holds the ones that may take requests, healthy or not."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.instances: list[Instance] = []
        self._turn = 0
        self._keepers: dict[Instance, asyncio.Task[None]] = {}
        self._closing = False

    async def grow(self, count: int) -> None:
        """Brings up `count` more instances together. Raises FleetError, with none of them left, if one fails."""
        results = await asyncio.gather(*(self._first_start() for _ in range(count)), return_exceptions=True)
        started = [one for one in results if isinstance(one, Instance)]
        failures = [one for one in results if isinstance(one, BaseException)]
        if failures:
            await asyncio.gather(*(instance.stop(grace=1) for instance in started))
            raise failures[0]
        for instance in started:
            self._keep(instance)

    async def _first_start(self) -> Instance:
        instance = Instance(self.variant)
        for _ in range(STARTS_MAX):
            instance = Instance(self.variant)
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
            f"The primary container for production variant {self.variant.name} did not pass the ping health check. "
            f"Please check CloudWatch logs for this endpoint.{said}"[:1024]
        )

    def _keep(self, instance: Instance) -> None:
        self.instances.append(instance)
        self._keepers[instance] = asyncio.create_task(self._watch(instance))

    async def _watch(self, instance: Instance) -> None:
        """Replaces the instance when its process ends or stops answering pings."""
        assert instance.process is not None
        missed = 0
        while missed < PINGS_MISSED_MAX:
            try:
                await asyncio.wait_for(instance.process.wait(), PING_EVERY_SECONDS)
                break
            except TimeoutError:
                missed = 0 if await instance.ping() else missed + 1
        logger.warning("endpoint %s: instance %s is gone, starting another", self.variant.endpoint, instance.identity)
        await instance.stop(grace=0)
        self.instances.remove(instance)
        self._keepers.pop(instance, None)
        pause = 0.1
        while not self._closing:
            fresh = Instance(self.variant)
            try:
                await fresh.start()
                if await fresh.wait_healthy():
                    self._keep(fresh)
                    return
            except asyncio.CancelledError:
                await fresh.stop(grace=0)
                raise
            await fresh.stop(grace=0)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RESTART_PAUSE_MAX)

    def choose(self, avoid: Instance | None = None) -> Instance | None:
        """The next healthy instance in turn other than `avoid`, or None."""
        ready = [one for one in self.instances if one.healthy and one.alive and one is not avoid]
        if not ready:
            return None
        self._turn += 1
        return ready[self._turn % len(ready)]

    async def shrink(self, count: int, grace: float = TERMINATE_SECONDS) -> None:
        """Takes `count` instances away: no new requests, then what is in flight ends, then the process."""
        leaving, self.instances = (
            self.instances[-count:] if count else [],
            self.instances[: len(self.instances) - count],
        )
        for instance in leaving:
            keeper = self._keepers.pop(instance, None)
            if keeper is not None:
                keeper.cancel()
        deadline = time.monotonic() + settings.invoke_timeout_seconds()
        while any(one.in_flight for one in leaving) and time.monotonic() < deadline and grace > 0:
            await asyncio.sleep(0.05)
        await asyncio.gather(*(instance.stop(grace) for instance in leaving))

    async def close(self, grace: float = TERMINATE_SECONDS) -> None:
        """Takes every instance away, and those being restarted."""
        self._closing = True
        for keeper in list(self._keepers.values()):
            keeper.cancel()
        await self.shrink(len(self.instances), grace)
