"""SageMaker as one service: control plane and runtime sign alike, so one handler takes both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.dispatch import JsonService
from local_aws.errors import Response
from local_aws.sagemaker.common import Tags
from local_aws.sagemaker.endpoints import Endpoints
from local_aws.sagemaker.jobs import TrainingJobs
from local_aws.sagemaker.packages import ModelPackages
from local_aws.sagemaker.registry import ModelPackageGroups
from local_aws.sagemaker.resources import EndpointConfigs, Models
from local_aws.sagemaker.runtime import Runtime
from local_aws.sagemaker.transform import TransformJobs
from local_aws.sagemaker.tuning import TuningJobs
from local_aws.settings import Paths
from local_aws.store import Store


class SageMaker:
    """Everything SageMaker of one local AWS."""

    def __init__(self, paths: Paths) -> None:
        self.store = Store(paths.root / "sagemaker.db")
        self.tags = Tags(self.store)
        self.jobs = TrainingJobs(self.store, self.tags, paths.jobs)
        self.tuning = TuningJobs(self.store, self.tags, self.jobs)
        self.groups = ModelPackageGroups(self.store, self.tags)
        self.packages = ModelPackages(self.store, self.tags, self.groups)
        self.models = Models(self.store, self.tags, self.packages)
        self.configs = EndpointConfigs(self.store, self.tags, self.models)
        self.endpoints = Endpoints(self.store, self.tags, self.models, self.configs, paths)
        self.runtime = Runtime(self.endpoints)
        self.transforms = TransformJobs(self.store, self.tags, self.models, self.endpoints.provisioner)
        self.service = JsonService(
            "sagemaker",
            {
                "CreateTrainingJob": self.jobs.create,
                "DescribeTrainingJob": self.jobs.describe,
                "ListTrainingJobs": self.jobs.list,
                "StopTrainingJob": self.jobs.stop,
                "CreateHyperParameterTuningJob": self.tuning.create,
                "DescribeHyperParameterTuningJob": self.tuning.describe,
                "ListHyperParameterTuningJobs": self.tuning.list,
                "ListTrainingJobsForHyperParameterTuningJob": self.tuning.list_trials,
                "StopHyperParameterTuningJob": self.tuning.stop,
                "CreateTransformJob": self.transforms.create,
                "DescribeTransformJob": self.transforms.describe,
                "ListTransformJobs": self.transforms.list,
                "StopTransformJob": self.transforms.stop,
                "CreateModel": self.models.create,
                "DescribeModel": self.models.describe,
                "ListModels": self.models.list,
                "DeleteModel": self.models.delete,
                "CreateModelPackageGroup": self.groups.create,
                "DescribeModelPackageGroup": self.groups.describe,
                "ListModelPackageGroups": self.groups.list,
                "DeleteModelPackageGroup": self.groups.delete,
                "CreateModelPackage": self.packages.create,
                "DescribeModelPackage": self.packages.describe,
                "ListModelPackages": self.packages.list,
                "UpdateModelPackage": self.packages.update,
                "DeleteModelPackage": self.packages.delete,
                "CreateEndpointConfig": self.configs.create,
                "DescribeEndpointConfig": self.configs.describe,
                "ListEndpointConfigs": self.configs.list,
                "DeleteEndpointConfig": self.configs.delete,
                "CreateEndpoint": self.endpoints.create,
                "DescribeEndpoint": self.endpoints.describe,
                "ListEndpoints": self.endpoints.list,
                "UpdateEndpoint": self.endpoints.update,
                "UpdateEndpointWeightsAndCapacities": self.endpoints.update_weights,
                "DeleteEndpoint": self.endpoints.delete,
                "AddTags": self.tags.add,
                "ListTags": self.tags.list,
                "DeleteTags": self.tags.delete,
            },
        )

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query_params: Mapping[str, Any]
    ) -> Response:
        """MiniStack's handler signature."""
        if path.startswith("/endpoints/"):
            return await self.runtime.handle(path, headers, body)
        return await self.service.handle(headers, body)

    def start(self) -> None:
        """After the event loop runs: what an earlier process left comes up again or is marked as failed."""
        self.jobs.fail_interrupted()
        self.tuning.fail_interrupted()
        self.transforms.fail_interrupted()
        self.endpoints.restore()

    def abandon_jobs(self) -> None:
        """The emulator is ending: no tuning job starts another trial, and every job's processes are killed."""
        self.tuning.abandon()
        self.jobs.abandon()
        self.transforms.abandon()
