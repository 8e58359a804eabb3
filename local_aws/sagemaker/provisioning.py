"""From the record of a variant to a fleet that can be started: its image's code and its model on disk."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import threading
import weakref
from pathlib import Path

from local_aws import archives, objects
from local_aws.codebuild import image_folder
from local_aws.iam import services
from local_aws.iam.callers import AccessDeniedError
from local_aws.sagemaker.common import arn
from local_aws.sagemaker.fleet import Fleet
from local_aws.sagemaker.instance import FleetError, Unpacked, Variant, log_group
from local_aws.sagemaker.resources import Models
from local_aws.sagemaker.rollout import AnyFleet, Fleets
from local_aws.sagemaker.serverless import ServerlessFleet
from local_aws.sagemaker.transform_run import LOG_GROUP as TRANSFORM_LOGS
from local_aws.settings import Paths
from local_aws.store import Record


class Provisioner:
    """Makes the fleets of an endpoint, without an instance in them yet."""

    def __init__(self, models: Models, paths: Paths) -> None:
        self.models = models
        self.paths = paths
        self._models: weakref.WeakValueDictionary[str, Unpacked] = weakref.WeakValueDictionary()
        self._unpacking = threading.Lock()

    async def fleets(self, endpoint: str, config: str, variants: dict[str, Record]) -> Fleets:
        """The fleets of `variants` by name. Raises FleetError when an image or a model is not there."""
        return {name: await self._fleet(endpoint, config, name, wanted) for name, wanted in variants.items()}

    async def _fleet(self, endpoint: str, config: str, name: str, wanted: Record) -> AnyFleet:
        variant = await asyncio.to_thread(self.variant, endpoint, config, name, wanted["Model"])
        return ServerlessFleet(variant, wanted["Serverless"]) if "Serverless" in wanted else Fleet(variant)

    def variant(self, endpoint: str, config: str, name: str, model_name: str, *, transforms: bool = False) -> Variant:
        """Image and model on disk for a variant (blocking: run in a thread). Raises FleetError.

        `transforms`: it is for a transform job, whose name is `endpoint`.
        """
        container = self.models.container(model_name)
        if container is None:
            raise FleetError(f'Could not find model "{model_name}".')
        image = image_folder(self.paths, container["Image"])
        if not image.is_dir():
            raise FleetError(
                f"The image '{container['Image']}' does not exist. In the local AWS an image comes from a "
                "CodeBuild build, which registers it in the local ECR."
            )
        group = TRANSFORM_LOGS if transforms else log_group(endpoint)
        source = arn("transform-job" if transforms else "endpoint", endpoint)
        work = self._work(source, group, model_name, container["Image"])
        try:
            with services.working(work):
                model = self._unpacked(container.get("ModelDataUrl"))
        except (objects.ObjectError, archives.ArchiveError) as error:
            raise FleetError(f"Failed to download model data: {error}") from error
        environment = tuple(sorted(container.get("Environment", {}).items()))
        return Variant(endpoint, config, name, image, model, environment, logs=work.logs)

    def _work(self, source: str, group: str, model_name: str, image: str) -> services.Work:
        """The container's work under the model's role, its image pulled. Raises FleetError."""
        role = self.models.get(model_name)["ExecutionRoleArn"]
        namespace = "/".join(group.split("/")[:4])  # of the instances' metrics: /aws/sagemaker/Endpoints
        try:
            return services.begun(role, source, image, group, namespace)
        except AccessDeniedError as error:
            raise FleetError(error.message) from error

    def _unpacked(self, url: str | None) -> Unpacked:
        """The model artifact's files; those that serve the same share them."""
        data = objects.read_uri(url) if url else b""
        digest = hashlib.sha256(data).hexdigest()[:24]
        with self._unpacking:
            found = self._models.get(digest)
            if found is None:
                found = Unpacked(Path(tempfile.mkdtemp(prefix=f"{digest}-", dir=self.paths.models)))
                if url:
                    archives.unpack(data, found.folder)
                self._models[digest] = found
            return found
