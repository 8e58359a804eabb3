"""One update of an endpoint: a new fleet beside the old one, traffic shifted step by step, and back if need be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.sagemaker import deployment
from local_aws.sagemaker.common import now
from local_aws.sagemaker.deployment import Divider, Step
from local_aws.sagemaker.fleet import Fleet
from local_aws.sagemaker.instance import FleetError
from local_aws.sagemaker.serverless import ServerlessFleet
from local_aws.settings import time_factor
from local_aws.store import Record

AnyFleet = Fleet | ServerlessFleet
Fleets = dict[str, AnyFleet]
_LOOK_SECONDS = 0.1


class RollbackError(Exception):
    """The deployment must be rolled back; the message says why."""


@dataclass(eq=False)
class Rollout:
    """Shifts the traffic of an endpoint from `old` to `new` fleets (by variant), whose instances it starts.

    `wanted` gives the records of the new variants, `had` those of the old ones; `before` is an update that neither
    came to its end nor could be rolled back, and whose mixture of fleets serves until this one is through.
    """

    config_name: str
    config: Mapping[str, Any]
    old: Fleets
    new: Fleets
    had: Mapping[str, Record]
    wanted: Mapping[str, Record]
    alarm_state: Callable[[str], str | None]
    before: Rollout | None = None

    def __post_init__(self) -> None:
        self.started = now()
        self.counts = {name: int(one["Desired"]) for name, one in self.wanted.items()}
        self.steps = deployment.steps(self.config, self.counts)
        self._dividers = {name: Divider() for name in self.new}
        self._status: dict[str, Record] = {}
        limit = deployment.timeout_seconds(self.config)
        waits = sum(step.bake_seconds for step in self.steps)
        # Waits are known, and shorter under a time factor; what is left of the limit is for starting instances.
        self._launch_seconds = None if limit is None else limit - waits

    # For the data plane

    def fleet(self, variant: str) -> AnyFleet | None:
        """Where the next request to `variant` goes."""
        divider = self._dividers.get(variant)
        if divider is not None and divider.new():
            return self.new[variant]
        return self.before.fleet(variant) if self.before is not None else self.old.get(variant)

    # What DescribeEndpoint says

    def _tell(self, status: str, messages: Mapping[str, str]) -> None:
        for name, message in messages.items():
            self._status[name] = {"Status": status, "StatusMessage": message, "StartTime": now()}

    def summary(self) -> dict[str, Any]:
        """PendingDeploymentSummary."""
        variants = []
        for name, wanted in self.wanted.items():
            one = {"VariantName": name, **self.new[name].summary(wanted)}
            one["CurrentWeight"] = one["DesiredWeight"] = wanted["Weight"]
            if name in self._status:
                one["VariantStatus"] = [self._status[name]]
            variants.append(one)
        return {"EndpointConfigName": self.config_name, "StartTime": self.started, "ProductionVariants": variants}

    # Forward

    async def run(self) -> None:
        """Brings the new fleets up and all traffic to them. Raises RollbackError, with things as they then are."""
        rolling = bool(self.config.get("RollingUpdatePolicy"))
        try:
            if not rolling:
                await self._launch(self.counts)
            for step in self.steps:
                if rolling:
                    await self._launch(step.active)
                self._activate(step)
                await self._bake(step)
                if rolling:
                    await self._retire(step)
        except FleetError as error:
            raise RollbackError(str(error)) from error
        for fleet in self.new.values():
            fleet.active = None

    async def _launch(self, sizes: Mapping[str, int]) -> None:
        """Brings every new fleet to its size in `sizes`."""
        missing = {name: size - self.new[name].size for name, size in sizes.items()}
        self._tell("Creating", {name: f"Launching {count} instance(s)." for name, count in missing.items()})
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._launch_seconds):
                for name, count in missing.items():
                    await self.new[name].grow(max(0, count))
        except TimeoutError:
            raise RollbackError("The deployment took longer than MaximumExecutionTimeoutInSeconds.") from None
        if self._launch_seconds is not None:
            self._launch_seconds -= time.monotonic() - started

    def _capacity(self, step: Step, name: str) -> str:
        return f"{step.stage} capacity of {step.active[name]} instance(s)."

    def _activate(self, step: Step) -> None:
        self._tell(
            "ActivatingTraffic", {name: f"Activating traffic on {self._capacity(step, name)}" for name in step.active}
        )
        for name, active in step.active.items():
            self.new[name].active = active
            self._dividers[name].share = active / self.counts[name] if self.counts[name] else 1.0

    async def _bake(self, step: Step) -> None:
        """Waits while the alarms are looked at. Raises RollbackError as soon as one is in ALARM."""
        text = f"Baking for {step.bake_seconds:g} seconds ({step.bake_name}) with traffic enabled on "
        self._tell("Baking", {name: text + self._capacity(step, name) for name in step.active})
        end = time.monotonic() + step.bake_seconds / time_factor()
        while True:
            tripped = [name for name in deployment.alarm_names(self.config) if self.alarm_state(name) == "ALARM"]
            if tripped:
                raise RollbackError(f"Rolled back: the alarm(s) [{', '.join(tripped)}] went into ALARM.")
            left = end - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    async def _retire(self, step: Step) -> None:
        """Ends the old instances whose part the new ones have taken over."""
        for name, active in step.active.items():
            keep = deployment.old_instances_left(self.had[name]["Desired"], active, self.counts[name])
            surplus = self.old[name].size - keep
            self._tell("Deleting", {name: f"Terminating {surplus} instance(s)."})
            await self.old[name].shrink(max(0, surplus))

    # Back

    async def roll_back(self) -> None:
        """All traffic back to the old fleets, which get back what they had; the new ones go.

        Raises FleetError when old instances do not come up: both fleets then serve on as they are.
        """
        for name, divider in self._dividers.items():
            had = self.had.get(name)
            if had is not None and divider.share:
                await self._restore(name, int(had["Desired"]), divider)
            divider.share = 0.0
        self._tell("Deleting", {name: f"Terminating {fleet.size} instance(s)." for name, fleet in self.new.items()})
        await asyncio.gather(*(fleet.close() for fleet in self.new.values()))

    async def _restore(self, name: str, total: int, divider: Divider) -> None:
        """Brings the old fleet back to `total` instances, batch by batch."""
        size = self.config.get("RollingUpdatePolicy", {}).get("RollbackMaximumBatchSize")
        most = deployment.batch(size, total) if size else total
        while self.old[name].size < total:
            await self.old[name].grow(min(most, total - self.old[name].size))
            divider.share = min(divider.share, 1 - self.old[name].size / total)

    async def close(self, grace: float = 30.0) -> None:
        """Ends the new fleets, and those of an update before that came to no end."""
        fleets = [*self.new.values(), *(self.before.new.values() if self.before is not None else ())]
        await asyncio.gather(*(fleet.close(grace) for fleet in fleets))
