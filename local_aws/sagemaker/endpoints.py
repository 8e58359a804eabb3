"""Endpoints: records of what should serve, and the fleets that do."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from local_aws import archives, objects
from local_aws.codebuild import image_folder
from local_aws.errors import validation
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.sagemaker.fleet import Fleet, FleetError, Variant
from local_aws.sagemaker.resources import EndpointConfigs, Models
from local_aws.settings import Paths
from local_aws.store import Record, Store

logger = logging.getLogger("local_aws.endpoints")

Fleets = dict[str, Fleet]
_SUMMARY = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")


class Endpoints:
    """The endpoints of this local AWS. Every method runs on the event loop."""

    def __init__(self, store: Store, tags: Tags, models: Models, configs: EndpointConfigs, paths: Paths) -> None:
        self.store = store
        self.tags = tags
        self.models = models
        self.configs = configs
        self.paths = paths
        self.fleets: dict[str, Fleets] = {}
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _variants(config: Record) -> dict[str, Record]:
        return {
            one["VariantName"]: {
                "Model": one["ModelName"],
                "Weight": one["InitialVariantWeight"],
                "Desired": one["InitialInstanceCount"],
                "InstanceType": one["InstanceType"],
            }
            for one in config["ProductionVariants"]
        }

    # What an instance needs

    def _variant(self, endpoint: str, name: str, model_name: str) -> Variant:
        """Image and model on disk for a variant (blocking: run in a thread). Raises FleetError."""
        model = self.store.table("models").get(model_name)
        if model is None:
            raise FleetError(f'Could not find model "{arn("model", model_name)}".')
        container = model["PrimaryContainer"]
        image = image_folder(self.paths, container["Image"])
        if not image.is_dir():
            raise FleetError(
                f"The image '{container['Image']}' does not exist. In the local AWS an image comes from a "
                "CodeBuild build, which registers it in the local ECR."
            )
        try:
            folder = self._model_folder(container.get("ModelDataUrl"))
        except (objects.ObjectError, archives.ArchiveError) as error:
            raise FleetError(f"Failed to download model data: {error}") from error
        environment = tuple(sorted(container.get("Environment", {}).items()))
        return Variant(endpoint, name, image, folder, environment)

    def _model_folder(self, url: str | None) -> Path:
        if not url:
            folder = self.paths.models / "none"
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        data = objects.read_uri(url)
        folder = self.paths.models / hashlib.sha256(data).hexdigest()[:24]
        if not folder.exists():
            fresh = Path(tempfile.mkdtemp(dir=self.paths.models))
            archives.unpack(data, fresh)
            with contextlib.suppress(OSError):  # somebody else was first with the same content
                fresh.rename(folder)
        return folder

    async def _bring_up(self, endpoint: str, variants: dict[str, Record]) -> Fleets:
        """Fleets for all variants, healthy. Raises FleetError with nothing left behind."""
        fleets: Fleets = {}
        try:
            for name, wanted in variants.items():
                variant = await asyncio.to_thread(self._variant, endpoint, name, wanted["Model"])
                fleets[name] = Fleet(variant)
                await fleets[name].grow(wanted["Desired"])
        except BaseException:
            await self._take_down(fleets, grace=1)
            raise
        return fleets

    @staticmethod
    async def _take_down(fleets: Fleets, grace: float = 30.0) -> None:
        await asyncio.gather(*(fleet.close(grace) for fleet in fleets.values()))

    # Operations

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpoint: answers at once with the endpoint Creating."""
        name = request["EndpointName"]
        endpoint_arn = arn("endpoint", name)
        if name in self.store.table("endpoints"):
            raise validation(f'Cannot create already existing endpoint "{endpoint_arn}".')
        config = self.configs.get(request["EndpointConfigName"])
        with self.store.change():
            record: Record = {
                "EndpointName": name,
                "EndpointArn": endpoint_arn,
                "EndpointConfigName": config["EndpointConfigName"],
                "EndpointStatus": "Creating",
                "CreationTime": now(),
                "LastModifiedTime": now(),
                "Variants": self._variants(config),
            }
            self.store.table("endpoints")[name] = record
            self.tags.put(endpoint_arn, request.get("Tags", []))
        self._spawn(self._create(record))
        return {"EndpointArn": endpoint_arn}

    async def _create(self, record: Record) -> None:
        name = record["EndpointName"]
        try:
            fleets = await self._bring_up(name, record["Variants"])
        except FleetError as error:
            self._set(record, EndpointStatus="Failed", FailureReason=str(error))
            return
        if self.store.table("endpoints").get(name) is not record or record["EndpointStatus"] == "Deleting":
            await self._take_down(fleets)
            return
        self.fleets[name] = fleets
        self._set(record, EndpointStatus="InService")

    def _in_service(self, name: str) -> Record:
        record = self.get(name)
        if record["EndpointStatus"] != "InService":
            state = "in-progress" if record["EndpointStatus"] != "Failed" else "failed"
            raise validation(f'Cannot update {state} endpoint "{record["EndpointArn"]}".')
        return record

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpoint: a new fleet comes up, takes the requests over, and then the old one goes."""
        record = self._in_service(request["EndpointName"])
        config = self.configs.get(request["EndpointConfigName"])
        variants = self._variants(config)
        for name, wanted in variants.items():
            kept = record["Variants"].get(name)
            if kept and kept["InstanceType"] != wanted["InstanceType"] and self.is_scaled(record["EndpointName"], name):
                raise validation(
                    f"The instance type of variant {name} cannot change while it is registered as a scalable target "
                    "with Application Auto Scaling: deregister it first."
                )
        if request.get("RetainAllVariantProperties"):
            excluded = {one["VariantPropertyType"] for one in request.get("ExcludeRetainedVariantProperties", [])}
            for name, wanted in variants.items():
                kept = record["Variants"].get(name, {})
                if "DesiredInstanceCount" not in excluded:
                    wanted["Desired"] = kept.get("Desired", wanted["Desired"])
                if "DesiredWeight" not in excluded:
                    wanted["Weight"] = kept.get("Weight", wanted["Weight"])
        self._set(record, EndpointStatus="Updating", FailureReason=None)
        if "DeploymentConfig" in request:
            self._set(record, LastDeploymentConfig=request["DeploymentConfig"])
        self._spawn(self._update(record, config["EndpointConfigName"], variants))
        return {"EndpointArn": record["EndpointArn"]}

    async def _update(self, record: Record, config_name: str, variants: dict[str, Record]) -> None:
        name = record["EndpointName"]
        try:
            fresh = await self._bring_up(name, variants)
        except FleetError as error:
            # As on AWS: the old fleet goes on serving, the configuration's name tells that nothing changed.
            self._set(record, EndpointStatus="InService", FailureReason=str(error))
            return
        old = self.fleets.get(name, {})
        if record["EndpointStatus"] == "Deleting":
            await self._take_down(fresh)
            return
        self.fleets[name] = fresh
        self._set(record, Variants=variants, EndpointConfigName=config_name)
        await self._take_down(old)
        if record["EndpointStatus"] == "Updating":
            self._set(record, EndpointStatus="InService")

    def update_weights(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpointWeightsAndCapacities: more or fewer instances, other weights."""
        record = self._in_service(request["EndpointName"])
        wanted = {one["VariantName"]: one for one in request["DesiredWeightsAndCapacities"]}
        unknown = sorted(set(wanted) - set(record["Variants"]))
        if unknown:
            raise validation(
                f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration.'
            )
        variants = {
            name: {
                **variant,
                "Weight": wanted.get(name, {}).get("DesiredWeight", variant["Weight"]),
                "Desired": wanted.get(name, {}).get("DesiredInstanceCount", variant["Desired"]),
            }
            for name, variant in record["Variants"].items()
        }
        self._set(record, EndpointStatus="Updating", FailureReason=None)
        self._spawn(self._resize(record, variants))
        return {"EndpointArn": record["EndpointArn"]}

    async def _resize(self, record: Record, variants: dict[str, Record]) -> None:
        fleets = self.fleets[record["EndpointName"]]
        changes = {name: wanted["Desired"] - record["Variants"][name]["Desired"] for name, wanted in variants.items()}
        try:
            for name, change in changes.items():
                await fleets[name].grow(max(0, change))
        except FleetError as error:
            self._set(record, EndpointStatus="InService", FailureReason=str(error))
            return
        self._set(record, Variants=variants)
        for name, change in changes.items():
            await fleets[name].shrink(max(0, -change))
        if record["EndpointStatus"] == "Updating":
            self._set(record, EndpointStatus="InService")

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteEndpoint."""
        record = self.get(request["EndpointName"])
        if record["EndpointStatus"] in ("Creating", "Updating"):
            raise validation(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
        if record["EndpointStatus"] != "Deleting":
            self._set(record, EndpointStatus="Deleting")
            self._spawn(self._delete(record))
        return {}

    async def _delete(self, record: Record) -> None:
        name = record["EndpointName"]
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
                self._summary(name, variant, fleets.get(name)) for name, variant in record["Variants"].items()
            ]
        return answer

    def _summary(self, name: str, variant: Record, fleet: Fleet | None) -> dict[str, Any]:
        model = self.store.table("models").get(variant["Model"], {})
        image = model.get("PrimaryContainer", {}).get("Image", "")
        return {
            "VariantName": name,
            "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}] if image else [],
            "CurrentWeight": variant["Weight"],
            "DesiredWeight": variant["Weight"],
            "CurrentInstanceCount": sum(one.healthy for one in fleet.instances) if fleet else 0,
            "DesiredInstanceCount": variant["Desired"],
        }

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListEndpoints."""
        records = self.store.table("endpoints").values()
        found, more = page(records, request, "EndpointName", "EndpointStatus", "Descending")
        return {"Endpoints": [chosen(one, _SUMMARY) for one in found], **more}

    # For the data plane

    def fleet(self, name: str, variant: str | None) -> tuple[str, Fleet] | None:
        """A variant's name and fleet: the one asked for, or one drawn by weight. None when none serves."""
        fleets = self.fleets.get(name)
        record = self.store.table("endpoints").get(name)
        if not fleets or record is None:
            return None
        if variant is not None:
            return (variant, fleets[variant]) if variant in fleets else None
        if len(fleets) == 1:
            return next(iter(fleets.items()))
        names = list(fleets)
        weights = [record["Variants"][one]["Weight"] for one in names]
        drawn = random.choices(names, weights if sum(weights) else None)[0]  # noqa: S311 - a share of traffic, no secret
        return drawn, fleets[drawn]

    # Start and end of the emulator

    def restore(self) -> None:
        """At start: what was there before comes up again, in the background."""
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
        await asyncio.gather(*(self._take_down(fleets, grace=2) for fleets in self.fleets.values()))
