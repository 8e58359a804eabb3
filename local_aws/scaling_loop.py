"""The clock of CloudWatch alarms, and Application Auto Scaling acting on them.

Sleeps while there is no alarm; wakes once a minute, or every ten seconds when an alarm has so short a period.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
from typing import Any

from local_aws import alarms, metrics, scaling_alarms
from local_aws.autoscaling import AutoScaling, target_key
from local_aws.errors import ApiError
from local_aws.sagemaker.api import SageMaker
from local_aws.sagemaker.common import now as timestamp
from local_aws.scaling_logic import Change, Limits, Past, Reading, decide
from local_aws.settings import time_factor
from local_aws.store import Record

logger = logging.getLogger("local_aws.scaling")

DEFAULT_COOLDOWN_SECONDS = 300
SAMPLES_A_PERIOD = 5
_SAMPLE_SECONDS_MIN = 0.05
_LOOK_SECONDS = 0.1
ACTIVITIES_KEPT = 200


class ScalingLoop:
    """Evaluates alarms when it is time, and changes the capacity of scalable targets by them."""

    def __init__(self, autoscaling: AutoScaling, sagemaker: SageMaker) -> None:
        self.autoscaling = autoscaling
        self.sagemaker = sagemaker
        self.factor = time_factor()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._clock: asyncio.Task[None] | None = None
        self._changes: dict[str, asyncio.Task[None]] = {}
        self._evaluated = 0.0
        autoscaling.follow = self.follow
        autoscaling.unfollow = alarms.delete

    # Start and end

    def start(self) -> None:
        """At the emulator's start: alarms that a killed one could not save are there again."""
        self._loop = asyncio.get_running_loop()
        with self.autoscaling.store.change():
            table = self.autoscaling.store.table("activities")
            for name, activity in table.items():
                if activity["StatusCode"] == "InProgress":
                    activity.update(StatusCode="Failed", StatusMessage="The local AWS ended.", EndTime=timestamp())
                    table.changed.append(name)
        for policy in self._policies():
            for alarm in policy["Alarms"]:
                if alarms.get(alarm["AlarmName"]) is None:
                    self.follow(policy)
                    break
        self._clock = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """At the emulator's end."""
        tasks = [task for task in (self._clock, *self._changes.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """An alarm was made or changed. Any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def follow(self, policy: Record) -> None:
        """Makes (or changes) the alarms of a policy. Any thread."""
        if scaling_alarms.followed(policy):
            for alarm in policy["Alarms"]:
                alarms.put(scaling_alarms.request(policy, alarm["AlarmName"]))

    # The clock

    def _policies(self) -> list[Record]:
        # A list first: Step Functions makes policies in threads.
        policies = list(self.autoscaling.store.table("policies").values())
        return [one for one in policies if scaling_alarms.followed(one)]

    def _sampled(self) -> list[dict[str, str]]:
        """The variants whose concurrency is measured: those with a policy on it."""
        found = {
            one["ResourceId"]
            for one in self._policies()
            if scaling_alarms.predefined(one) == scaling_alarms.CONCURRENCY
        }
        return [scaling_alarms.dimensions(resource) for resource in sorted(found)]

    async def _run(self) -> None:
        self._evaluated = time.time()
        while True:
            try:
                await self._turn()
            except Exception:
                logger.exception("scaling: an evaluation failed")
                await asyncio.sleep(1)

    async def _turn(self) -> None:
        """Waits until it is time, or something changes, and does what is due."""
        self._wake.clear()
        step = min((alarms.seconds_between_evaluations(one) for one in alarms.metric_alarms()), default=None)
        delay = None
        if step is not None:
            delay = (math.floor(self._evaluated / step) + 1) * step - time.time()
            if self._sampled():
                delay = min(delay, max(_SAMPLE_SECONDS_MIN, 10 / self.factor / SAMPLES_A_PERIOD))
            delay = max(0.001, delay)  # never without a pause: the event loop belongs to the requests
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), delay)
        self._sample()
        now = time.time()
        if step is not None and math.floor(now / step) > math.floor(self._evaluated / step):
            self._evaluated = now
            self._tick(now)

    def _sample(self) -> None:
        for dimensions in self._sampled():
            fleet = self.sagemaker.endpoints.fleets.get(dimensions["EndpointName"], {}).get(dimensions["VariantName"])
            if fleet is not None and fleet.instances:
                value = sum(one.in_flight for one in fleet.instances) / len(fleet.instances)
                metrics.put("AWS/SageMaker", "ConcurrentRequestsPerModel", value, "None", dimensions)

    def _tick(self, now: float) -> None:
        for alarm in alarms.metric_alarms():
            alarms.evaluate(alarm, now)
        policies = self._policies()
        for resource in {one["ResourceId"] for one in policies}:
            # As on AWS: a variant that can scale and has no traffic has the metric, at zero.
            dimensions = scaling_alarms.dimensions(resource)
            if dimensions["VariantName"] in self.sagemaker.endpoints.fleets.get(dimensions["EndpointName"], {}):
                metrics.put("AWS/SageMaker", "InvocationsPerInstance", 0.0, "None", dimensions)
        for key, target in list(self.autoscaling.store.table("targets").items()):
            mine = [one for one in policies if target_key(one) == key]
            if mine and key not in self._changes:
                self._follow_target(key, target, mine, now)

    # Acting

    def _reading(self, policy: Record, now: float) -> Reading:
        configuration = policy["TargetTrackingScalingPolicyConfiguration"]
        values: dict[str, float | None] = {"High": None, "Low": None}
        period = 60.0
        for named in policy["Alarms"]:
            alarm = alarms.get(named["AlarmName"])
            if alarm is None or not alarm["ActionsEnabled"]:
                continue
            period = float(alarm["Period"])
            side = "High" if "-AlarmHigh-" in named["AlarmName"] else "Low"
            seen = [value for value in alarms.datapoints(alarm, now) if value is not None]
            if alarm["StateValue"] == "ALARM" and seen:
                # Out by the latest load, in by the highest of the whole time looked at: as fast as it can, but slowly.
                values[side] = seen[-1] if side == "High" else max(seen[-alarm["EvaluationPeriods"] :])
        return Reading(
            policy=policy["PolicyName"],
            target=float(configuration["TargetValue"]),
            high=values["High"],
            low=values["Low"],
            scales_in=not configuration.get("DisableScaleIn"),
            out_cooldown=configuration.get("ScaleOutCooldown", DEFAULT_COOLDOWN_SECONDS) / self.factor,
            in_cooldown=configuration.get("ScaleInCooldown", DEFAULT_COOLDOWN_SECONDS) / self.factor,
            settling=2 * period / self.factor,
        )

    def _follow_target(self, key: str, target: Record, policies: list[Record], now: float) -> None:
        names = scaling_alarms.dimensions(target["ResourceId"])
        endpoint = self.sagemaker.endpoints.store.table("endpoints").get(names["EndpointName"])
        if endpoint is None or endpoint["EndpointStatus"] != "InService":
            return
        variant = endpoint["Variants"].get(names["VariantName"])
        if variant is None:
            return
        suspended = target["SuspendedState"]
        limits = Limits(
            target["MinCapacity"],
            target["MaxCapacity"],
            out_suspended=suspended["DynamicScalingOutSuspended"],
            in_suspended=suspended["DynamicScalingInSuspended"],
        )
        past = Past(**self.autoscaling.store.table("cooldowns").get(key, {}))
        readings = [self._reading(policy, now) for policy in policies]
        change = decide(readings, variant["Desired"], limits, past, now)
        if change is not None:
            policy = next(one for one in policies if one["PolicyName"] == change.policy)
            task = asyncio.create_task(self._change(key, target, policy, endpoint, change))
            self._changes[key] = task
            task.add_done_callback(lambda _: self._changes.pop(key, None))

    def _record(self, target: Record, policy: Record, change: Change) -> Record:
        side = "-AlarmHigh-" if change.out else "-AlarmLow-"
        alarm = next(one["AlarmName"] for one in policy["Alarms"] if side in one["AlarmName"])
        activity: Record = {
            "ActivityId": str(uuid.uuid4()),
            **{name: target[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")},
            "Description": f"Setting desired instance count to {change.capacity}.",
            "Cause": f"monitor alarm {alarm} in state ALARM triggered policy {policy['PolicyName']}",
            "StartTime": timestamp(),
            "StatusCode": "InProgress",
            "StatusMessage": (
                f"Successfully set desired instance count to {change.capacity}. "
                "Waiting for change to be fulfilled by sagemaker."
            ),
        }
        with self.autoscaling.store.change():
            table = self.autoscaling.store.table("activities")
            table[activity["ActivityId"]] = activity
            for surplus in list(table)[:-ACTIVITIES_KEPT]:
                del table[surplus]
        return activity

    async def _change(self, key: str, target: Record, policy: Record, endpoint: Record, change: Change) -> None:
        """One scaling activity, from its start to its end, by UpdateEndpointWeightsAndCapacities."""
        names = scaling_alarms.dimensions(target["ResourceId"])
        before = endpoint["Variants"][names["VariantName"]]["Desired"]
        activity = self._record(target, policy, change)
        wanted = {"VariantName": names["VariantName"], "DesiredInstanceCount": change.capacity}
        outcome: dict[str, Any]
        try:
            await self.sagemaker.service.call(
                "UpdateEndpointWeightsAndCapacities",
                {"EndpointName": names["EndpointName"], "DesiredWeightsAndCapacities": [wanted]},
            )
            while endpoint["EndpointStatus"] == "Updating":
                await asyncio.sleep(_LOOK_SECONDS)
            done = endpoint["Variants"].get(names["VariantName"], {}).get("Desired") == change.capacity
            outcome = {
                "StatusCode": "Successful" if done else "Failed",
                "StatusMessage": (
                    f"Successfully set desired instance count to {change.capacity}. "
                    "Change successfully fulfilled by sagemaker."
                    if done
                    else f"Failed to set desired instance count to {change.capacity}. {endpoint.get('FailureReason')}"
                ),
            }
        except ApiError as error:
            outcome = {"StatusCode": "Failed", "StatusMessage": f"Failed to set desired count. Reason: {error.message}"}
        with self.autoscaling.store.change():
            activity.update(outcome, EndTime=timestamp())
            self.autoscaling.store.table("activities").changed.append(activity["ActivityId"])
            if outcome["StatusCode"] == "Successful":
                cooldowns = self.autoscaling.store.table("cooldowns")
                stamps = cooldowns.setdefault(key, {})
                cooldowns.changed.append(key)
                if change.out:
                    # Scaling out ends the cooldown of an earlier scale-in.
                    stamps.pop("in_ended", None)
                    stamps.update(out_ended=time.time(), out_from=before)
                else:
                    stamps.update(in_ended=time.time())
