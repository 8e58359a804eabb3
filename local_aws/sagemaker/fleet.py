"""The instances of one production variant, kept alive, and chosen in turn.

Everything here runs on the emulator's event loop; only unpacking a model goes to a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from local_aws import settings
from local_aws.sagemaker.instance import TERMINATE_SECONDS, Instance, Variant, first_start
from local_aws.store import Record

logger = logging.getLogger("local_aws.endpoints")

PING_EVERY_SECONDS = 5.0
PINGS_MISSED_MAX = 3
BODY_MAX_BYTES = 6_291_456
_RESTART_PAUSE_MAX = 5.0


class Fleet:
    """`size` instances of a variant, kept alive. `instances` holds the ones that may take requests, healthy or not."""

    body_max_bytes = BODY_MAX_BYTES

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.instances: list[Instance] = []
        # How many of the instances take requests while traffic shifts to this fleet; None: all.
        self.active: int | None = None
        self._turn = 0
        # One task a place in the fleet: by the instance in it, or by the one that is being replaced.
        self._keepers: dict[Instance, asyncio.Task[None]] = {}

    @property
    def size(self) -> int:
        """The instances wanted: those that are there, and those being restarted."""
        return len(self._keepers)

    @property
    def ready(self) -> list[Instance]:
        """The instances that answer."""
        return [one for one in self.instances if one.healthy and one.alive]

    async def grow(self, count: int) -> None:
        """Brings up `count` more instances together. Raises FleetError, with none of them left, if one fails."""
        starting = [asyncio.create_task(first_start(self.variant)) for _ in range(count)]
        try:
            results = await asyncio.gather(*starting, return_exceptions=True)
        except asyncio.CancelledError:
            results = await asyncio.gather(*starting, return_exceptions=True)
            await asyncio.gather(*(one.stop(grace=1) for one in results if isinstance(one, Instance)))
            raise
        started = [one for one in results if isinstance(one, Instance)]
        failures = [one for one in results if isinstance(one, BaseException)]
        if failures:
            await asyncio.gather(*(instance.stop(grace=1) for instance in started))
            raise failures[0]
        for instance in started:
            self.instances.append(instance)
            self._keepers[instance] = asyncio.create_task(self._keep(instance))

    async def _keep(self, instance: Instance) -> None:
        """Keeps one place of the fleet filled, until it is cancelled."""
        while True:
            await self._until_gone(instance)
            logger.warning(
                "endpoint %s: instance %s is gone, starting another", self.variant.endpoint, instance.identity
            )
            self.instances.remove(instance)
            await instance.stop(grace=0)
            fresh = await self._successor()
            self._keepers[fresh] = self._keepers.pop(instance)
            self.instances.append(fresh)
            instance = fresh

    @staticmethod
    async def _until_gone(instance: Instance) -> None:
        """Returns when the process has ended (at once) or has missed its pings."""
        assert instance.process is not None
        missed = 0
        while missed < PINGS_MISSED_MAX:
            try:
                async with asyncio.timeout(PING_EVERY_SECONDS):
                    await instance.process.wait()
            except TimeoutError:
                missed = 0 if await instance.ping() else missed + 1
            else:
                return

    async def _successor(self) -> Instance:
        """Another healthy instance, however often it takes."""
        pause = 0.1
        while True:
            fresh = Instance(self.variant)
            try:
                await fresh.start()
                if await fresh.wait_healthy():
                    return fresh
            except BaseException:
                await fresh.stop(grace=0)
                raise
            await fresh.stop(grace=0)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RESTART_PAUSE_MAX)

    def choose(self, avoid: Instance | None = None) -> Instance | None:
        """The next healthy instance in turn other than `avoid`, or None."""
        ready = [one for one in self.ready[: self.active] if one is not avoid]
        if not ready:
            return None
        self._turn += 1
        return ready[self._turn % len(ready)]

    async def acquire(self, avoid: Instance | None = None) -> Instance | None:
        """`choose`, with the request counted; give the instance to `release` afterwards."""
        instance = self.choose(avoid)
        if instance is not None:
            instance.in_flight += 1
        return instance

    def release(self, instance: Instance) -> None:
        """The request on `instance` has ended."""
        instance.in_flight -= 1

    async def shrink(self, count: int, grace: float = TERMINATE_SECONDS) -> None:
        """Takes `count` instances away: no new requests, then what is in flight ends, then the process.

        Those that are being restarted go first: they serve nobody.
        """
        restarting = [one for one in self._keepers if one not in self.instances]
        leaving = (restarting + self.instances[::-1])[:count]
        self.instances = [one for one in self.instances if one not in leaving]
        keepers = [self._keepers.pop(one) for one in leaving]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        deadline = time.monotonic() + settings.invoke_timeout_seconds()
        while any(one.in_flight for one in leaving) and time.monotonic() < deadline and grace > 0:
            await asyncio.sleep(0.05)
        await asyncio.gather(*(instance.stop(grace) for instance in leaving))

    async def close(self, grace: float = TERMINATE_SECONDS) -> None:
        """Takes every instance away, and those being restarted."""
        await self.shrink(self.size, grace)

    def summary(self, wanted: Record) -> dict[str, Any]:
        """Its part of a variant's summary in DescribeEndpoint."""
        return {"CurrentInstanceCount": len(self.ready), "DesiredInstanceCount": wanted["Desired"]}
