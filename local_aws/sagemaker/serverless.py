"""The workers of a serverless variant: serving processes started on demand, one request at a time on each.

As with Lambda, a request takes an idle worker or starts one (a cold start); a worker that nobody needed for a while is
ended, down to ProvisionedConcurrency. Everything here runs on the emulator's event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from local_aws import metrics
from local_aws.errors import ApiError
from local_aws.sagemaker.instance import TERMINATE_SECONDS, FleetError, Instance, Variant, first_start
from local_aws.settings import invoke_timeout_seconds, time_factor
from local_aws.store import Record

logger = logging.getLogger("local_aws.endpoints")

BODY_MAX_BYTES = 4 * 1024 * 1024
# AWS does not say how long a worker stays; a time factor shortens it.
IDLE_SECONDS = 300.0


class ServerlessFleet:
    """At most `MaxConcurrency` requests at once, each on a worker of its own; `ProvisionedConcurrency` stay warm."""

    body_max_bytes = BODY_MAX_BYTES

    def __init__(self, variant: Variant, config: Record) -> None:
        self.variant = variant
        self.config = config
        self.instances: list[Instance] = []
        self.size = 0
        # Traffic shifts to a serverless variant at once: there is no part of it to switch on.
        self.active: int | None = None
        self._busy = 0
        self._idle_since: dict[Instance, float] = {}
        self._tender: asyncio.Task[None] | None = None
        self._warming = asyncio.Lock()

    @property
    def _provisioned(self) -> int:
        return int(self.config.get("ProvisionedConcurrency", 0))

    @property
    def _idle_seconds(self) -> float:
        return IDLE_SECONDS / time_factor()

    async def grow(self, count: int) -> None:
        """Puts the variant into service: one worker, to see that the container starts, and the provisioned ones.

        Raises FleetError, with nothing left, when they do not come up.
        """
        self.size += count
        if count and self._tender is None:
            await self._warm(max(1, self._provisioned))
            self._tender = asyncio.create_task(self._tend())

    async def resize(self, config: Record) -> None:
        """Takes another concurrency. Raises FleetError when more provisioned workers do not come up."""
        self.config = config
        await self._warm(self._provisioned)

    async def _warm(self, count: int) -> None:
        """As many workers as that, at least. Raises FleetError, with no new one left, when one does not come up."""
        async with self._warming:
            await self._start(count - sum(one.alive for one in self.instances))

    async def _start(self, count: int) -> None:
        starting = [asyncio.create_task(first_start(self.variant)) for _ in range(count)]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            results = await asyncio.gather(*starting, return_exceptions=True)
            await asyncio.gather(*(one.stop(grace=1) for one in results if isinstance(one, Instance)))
            raise
        for task in starting:
            self._park(task.result())
            self.instances.append(task.result())

    def _park(self, instance: Instance) -> None:
        self._idle_since[instance] = time.monotonic()

    async def _tend(self) -> None:
        """Ends workers that idle too long, and keeps the provisioned ones there."""
        while True:
            await asyncio.sleep(self._idle_seconds / 10)
            for instance in [one for one in self._idle_since if not one.alive]:
                await self._end(instance)
            oldest = time.monotonic() - self._idle_seconds
            # The least recently used are first.
            surplus = len(self.instances) - self._provisioned
            for instance in [one for one, since in self._idle_since.items() if since < oldest][: max(0, surplus)]:
                await self._end(instance)
            try:
                await self._warm(self._provisioned)
            except FleetError as error:
                logger.warning("endpoint %s: %s", self.variant.endpoint, error)

    async def _end(self, instance: Instance, grace: float = TERMINATE_SECONDS) -> None:
        self._idle_since.pop(instance, None)
        self.instances.remove(instance)
        await instance.stop(grace)

    def _take(self) -> Instance | None:
        """The idle worker used last, so that the others may end. Dead ones are left to `_tend`."""
        for instance in reversed(self._idle_since):
            if instance.alive:
                del self._idle_since[instance]
                return instance
        return None

    async def acquire(self, avoid: Instance | None = None) -> Instance | None:
        """A worker for one request; give it to `release` afterwards. None when a second one fails the same request.

        Raises ApiError: ThrottlingException beyond MaxConcurrency, ModelError when the worker does not come up.
        """
        if avoid is not None:
            return None  # its worker died of the request: as with Lambda, it is not tried again
        if self._busy >= self.config["MaxConcurrency"]:
            raise ApiError("ThrottlingException", "Rate exceeded", 429)
        self._busy += 1
        try:
            instance = self._take() or await self._cold_start()
        except BaseException:
            self._busy -= 1
            raise
        instance.in_flight += 1
        return instance

    async def _cold_start(self) -> Instance:
        instance = Instance(self.variant)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(invoke_timeout_seconds()):
                await instance.start()
                up = await instance.wait_healthy()
        except TimeoutError:
            up = False
        except BaseException:
            await instance.stop(grace=0)
            raise
        if not up:
            await instance.stop(grace=0)
            raise ApiError(
                "ModelError",
                "The container did not pass the ping health check while it was started for this request.",
                424,
                OriginalStatusCode=0,
                OriginalMessage=" | ".join(instance.last_lines),
            )
        self.instances.append(instance)
        dimensions = {"EndpointName": self.variant.endpoint, "VariantName": self.variant.name}
        spent = (time.perf_counter() - started) * 1e6
        metrics.put("AWS/SageMaker", "ModelSetupTime", spent, "Microseconds", dimensions)
        return instance

    def release(self, instance: Instance) -> None:
        """The request on `instance` has ended."""
        self._busy -= 1
        instance.in_flight -= 1
        if instance in self.instances:
            self._park(instance)

    async def shrink(self, count: int, grace: float = TERMINATE_SECONDS) -> None:
        """Out of service, whole: requests in flight end, then the workers."""
        if not count:
            return
        self.size = 0
        if self._tender is not None:
            self._tender.cancel()
            await asyncio.gather(self._tender, return_exceptions=True)
            self._tender = None
        deadline = time.monotonic() + 2 * invoke_timeout_seconds()
        while self._busy and time.monotonic() < deadline and grace > 0:
            await asyncio.sleep(0.05)
        await asyncio.gather(*(self._end(one, grace) for one in list(self.instances)))

    async def close(self, grace: float = TERMINATE_SECONDS) -> None:
        """Ends every worker."""
        await self.shrink(1, grace)

    def summary(self, wanted: Record) -> dict[str, Any]:
        """Its part of a variant's summary in DescribeEndpoint."""
        return {"CurrentServerlessConfig": self.config, "DesiredServerlessConfig": wanted["Serverless"]}
