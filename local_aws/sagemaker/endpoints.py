"""Endpoints: records of what should serve, and the fleets that do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from local_aws import alarms
from local_aws.errors import validation
from local_aws.iam import services
from local_aws.iam.callers import AccessDeniedError
from local_aws.sagemaker import endpoint_changes as changes
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.sagemaker.instance import FleetError
from local_aws.sagemaker.provisioning import Provisioner
from local_aws.sagemaker.resources import EndpointConfigs, Models
from local_aws.sagemaker.rollout import AnyFleet, Fleets, RollbackError, Rollout
from local_aws.sagemaker.serverless import ServerlessFleet
from local_aws.settings import Paths
from local_aws.store import Record, Store

_SUMMARY = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
_SETTLED = ("InService", "Failed", "UpdateRollbackFailed", "Deleting")


def _alarm_state(name: str) -> str | None:
    """The state of a CloudWatch metric alarm, None when there is none of that name."""
    alarm = alarms.get(name)
    return None if alarm is None else str(alarm["StateValue"])


class Endpoints:
    """The endpoints of this local AWS. Every method runs on the event loop."""

    def __init__(self, store: Store, tags: Tags, models: Models, configs: EndpointConfigs, paths: Paths) -> None:
        self.store = store
        self.tags = tags
        self.models = models
        self.configs = configs
        self.provisioner = Provisioner(models, paths)
        self.fleets: dict[str, Fleets] = {}
        # Updates under way, and those that could neither be finished nor rolled back.
        self.rollouts: dict[str, Rollout] = {}
        # Whether a variant is a scalable target; set where both services are known (server.py).
        self.is_scaled: Callable[[str, str], bool] = lambda endpoint, variant: False
        self._tasks: set[asyncio.Task[None]] = set()

    # Records

    def get(self, name: str) -> Record:
        """The endpoint's record. Raises ValidationException as AWS does."""
        record = self.store.table("endpoints").get(name)
        if record is None:
            raise validation(f'Could not find endpoint "{arn("endpoint", name)}".')
        return record

    def _set(self, record: Record, **members: Any) -> None:
        with self.store.change():
            record.update(members)
            record["LastModifiedTime"] = now()
            self.store.table("endpoints").changed.append(record["EndpointName"])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _take_down(fleets: Mapping[str, AnyFleet], grace: float = 30.0) -> None:
        await asyncio.gather(*(fleet.close(grace) for fleet in fleets.values()))

    # Create

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpoint: answers at once with the endpoint Creating."""
        name = request["EndpointName"]
        endpoint_arn = arn("endpoint", name)
        if name in self.store.table("endpoints"):
            raise validation(f'Cannot create already existing endpoint "{endpoint_arn}".')
        config = self.configs.get(request["EndpointConfigName"])
        variants = changes.variants(config)
        if "DeploymentConfig" in request:
            changes.check_deployment(request["DeploymentConfig"], variants, variants, _alarm_state)
        with self.store.change():
            record: Record = {
                "EndpointName": name,
                "EndpointArn": endpoint_arn,
                "EndpointConfigName": config["EndpointConfigName"],
                "EndpointStatus": "Creating",
                "CreationTime": now(),
                "LastModifiedTime": now(),
                "LastDeploymentConfig": request.get("DeploymentConfig"),
                "Variants": variants,
            }
            self.store.table("endpoints")[name] = record
            self.tags.put(endpoint_arn, request.get("Tags", []))
        self._spawn(self._create(record))
        return {"EndpointArn": endpoint_arn}

    async def _create(self, record: Record) -> None:
        name = record["EndpointName"]
        fleets: Fleets = {}
        try:
            fleets = await self.provisioner.fleets(name, record["EndpointConfigName"], record["Variants"])
            for variant, fleet in fleets.items():
                await fleet.grow(record["Variants"][variant]["Desired"])
        except FleetError as error:
            await self._take_down(fleets, grace=1)
            self._set(record, EndpointStatus="Failed", FailureReason=str(error))
            return
        except BaseException:
            await self._take_down(fleets, grace=1)
            raise
        self.fleets[name] = fleets
        self._set(record, EndpointStatus="InService")

    # Update

    def _changeable(self, name: str, *also: str) -> Record:
        """The record of an endpoint that may be changed now: InService, or one of `also`."""
        record = self.get(name)
        if record["EndpointStatus"] not in ("InService", *also):
            state = "failed" if record["EndpointStatus"] in ("Failed", "UpdateRollbackFailed") else "in-progress"
            raise validation(f'Cannot update {state} endpoint "{record["EndpointArn"]}".')
        return record

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpoint: a new fleet comes up, takes the requests over as asked for, and then the old one goes."""
        record = self._changeable(request["EndpointName"], "UpdateRollbackFailed")
        config = self.configs.get(request["EndpointConfigName"])
        had = record["Variants"]
        variants = changes.retained(changes.variants(config), had, request)
        changes.check_types(record["EndpointName"], had, variants, self.is_scaled)
        retained = record.get("LastDeploymentConfig") if request.get("RetainDeploymentConfig") else None
        deployment = request.get("DeploymentConfig") or retained or {}
        if deployment:
            if record["EndpointStatus"] == "UpdateRollbackFailed":
                raise validation(
                    f'Endpoint "{record["EndpointArn"]}" serves a mixture of configurations after a failed roll-back: '
                    "update it without a deployment configuration first."
                )
            changes.check_deployment(deployment, had, variants, _alarm_state)
            self._check_alarm_rights(record, deployment, variants)
            self._set(record, LastDeploymentConfig=deployment)
        self._set(record, EndpointStatus="Updating", FailureReason=None)
        if changes.is_serverless(variants) or changes.is_serverless(had):
            deployment = {}  # as documented: all at once, not baked
        self._spawn(self._update(record, config["EndpointConfigName"], variants, deployment))
        return {"EndpointArn": record["EndpointArn"]}

    def _check_alarm_rights(self, record: Record, deployment: dict[str, Any], variants: dict[str, Record]) -> None:
        """The models' roles may look at the alarms that would take the update back. Raises ValidationException."""
        names = [one["AlarmName"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
        roles = {self.models.get(one["Model"])["ExecutionRoleArn"] for one in variants.values()} if names else set()
        for role in sorted(roles):
            try:
                services.describe_alarms(role, record["EndpointArn"], names)
            except AccessDeniedError as error:
                raise validation(error.message) from error

    async def _update(
        self, record: Record, config_name: str, variants: dict[str, Record], deployment: dict[str, Any]
    ) -> None:
        name = record["EndpointName"]
        before = self.rollouts.get(name)
        old = self.fleets.get(name, {})
        try:
            new = await self.provisioner.fleets(name, config_name, variants)
        except FleetError as error:
            self._set(record, EndpointStatus=self._settled(before), FailureReason=str(error))
            return
        rollout = Rollout(config_name, deployment, old, new, record["Variants"], variants, _alarm_state, before)
        self.rollouts[name] = rollout
        try:
            await rollout.run()
        except RollbackError as error:
            await self._roll_back(record, rollout, str(error))
            return
        del self.rollouts[name]
        self.fleets[name] = new
        self._set(record, Variants=variants, EndpointConfigName=config_name)
        await asyncio.gather(self._take_down(old), self._take_down(before.new if before is not None else {}))
        self._set(record, EndpointStatus="InService")

    @staticmethod
    def _settled(before: Rollout | None) -> str:
        return "InService" if before is None else "UpdateRollbackFailed"

    async def _roll_back(self, record: Record, rollout: Rollout, reason: str) -> None:
        """As on AWS: the old fleet serves on, and only the configuration's name tells that nothing changed."""
        name = record["EndpointName"]
        self._set(record, EndpointStatus="RollingBack")
        try:
            await rollout.roll_back()
        except FleetError as error:
            reason = f"{reason} The roll-back failed, too: {error}"[:1024]
            self._set(record, EndpointStatus="UpdateRollbackFailed", FailureReason=reason)
            return
        if rollout.before is None:
            del self.rollouts[name]
        else:
            self.rollouts[name] = rollout.before
        self._set(record, EndpointStatus=self._settled(rollout.before), FailureReason=reason)

    def update_weights(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpointWeightsAndCapacities: more or fewer instances, other weights, other serverless concurrency."""
        record = self._changeable(request["EndpointName"])
        variants = changes.resized(record["Variants"], request["DesiredWeightsAndCapacities"])
        self._set(record, EndpointStatus="Updating", FailureReason=None)
        self._spawn(self._resize(record, variants))
        return {"EndpointArn": record["EndpointArn"]}

    async def _resize(self, record: Record, variants: dict[str, Record]) -> None:
        fleets = self.fleets[record["EndpointName"]]
        sizes = {name: wanted["Desired"] - record["Variants"][name]["Desired"] for name, wanted in variants.items()}
        try:
            for name, change in sizes.items():
                fleet = fleets[name]
                if isinstance(fleet, ServerlessFleet):
                    await fleet.resize(variants[name]["Serverless"])
                else:
                    await fleet.grow(max(0, change))
        except FleetError as error:
            self._set(record, EndpointStatus="InService", FailureReason=str(error))
            return
        self._set(record, Variants=variants)
        for name, change in sizes.items():
            await fleets[name].shrink(max(0, -change))
        self._set(record, EndpointStatus="InService")

    # Delete, describe, list

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteEndpoint."""
        record = self.get(request["EndpointName"])
        if record["EndpointStatus"] not in _SETTLED:
            raise validation(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
        if record["EndpointStatus"] != "Deleting":
            self._set(record, EndpointStatus="Deleting")
            self._spawn(self._delete(record))
        return {}

    async def _delete(self, record: Record) -> None:
        name = record["EndpointName"]
        rollout = self.rollouts.pop(name, None)
        if rollout is not None:
            await rollout.close()
        await self._take_down(self.fleets.pop(name, {}))
        with self.store.change():
            self.store.table("endpoints").pop(name, None)
            self.tags.forget(record["EndpointArn"])

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeEndpoint."""
        record = self.get(request["EndpointName"])
        answer = {key: value for key, value in record.items() if key != "Variants" and value is not None}
        fleets = self.fleets.get(record["EndpointName"], {})
        if fleets:
            answer["ProductionVariants"] = [
                self._summary(name, variant, fleets[name]) for name, variant in record["Variants"].items()
            ]
        rollout = self.rollouts.get(record["EndpointName"])
        if rollout is not None and record["EndpointStatus"] in ("Updating", "RollingBack"):
            answer["PendingDeploymentSummary"] = rollout.summary()
        return answer

    def _summary(self, name: str, variant: Record, fleet: AnyFleet) -> dict[str, Any]:
        container = self.models.container(variant["Model"])
        image = container["Image"] if container is not None else ""
        return {
            "VariantName": name,
            "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}] if image else [],
            "CurrentWeight": variant["Weight"],
            "DesiredWeight": variant["Weight"],
            **fleet.summary(variant),
        }

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListEndpoints."""
        records = self.store.table("endpoints").values()
        found, more = page(records, request, "EndpointName", "EndpointStatus", "Descending")
        return {"Endpoints": [chosen(one, _SUMMARY) for one in found], **more}

    # For the data plane

    def fleet(self, name: str, variant: str | None) -> tuple[str, AnyFleet] | None:
        """A variant's name, and the fleet for its next request: the variant asked for, or one drawn by weight.

        None when none serves.
        """
        fleets = self.fleets.get(name)
        record = self.store.table("endpoints").get(name)
        if not fleets or record is None or (variant is not None and variant not in fleets):
            return None
        names = list(fleets)
        if variant is None and len(names) > 1:
            weights = [record["Variants"][one]["Weight"] for one in names]
            variant = random.choices(names, weights if sum(weights) else None)[0]  # noqa: S311 - a share of traffic, no secret
        variant = variant or names[0]
        rollout = self.rollouts.get(name)
        fleet = rollout.fleet(variant) if rollout is not None else None
        return variant, fleet or fleets[variant]

    # Start and end of the emulator

    def restore(self) -> None:
        """At start: what was there before comes up again, in the background; an update that was cut off did not be."""
        for record in list(self.store.table("endpoints").values()):
            if record["EndpointStatus"] == "Deleting":
                with self.store.change():
                    self.store.table("endpoints").pop(record["EndpointName"])
            elif record["EndpointStatus"] != "Failed":
                self._set(record, EndpointStatus="Creating" if record["EndpointStatus"] == "Creating" else "Updating")
                self._spawn(self._create(record))

    async def shutdown(self) -> None:
        """Ends every serving process; the records stay, for `restore`."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(
            *(self._take_down(fleets, grace=2) for fleets in self.fleets.values()),
            *(rollout.close(grace=2) for rollout in self.rollouts.values()),
        )
