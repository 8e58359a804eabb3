"""Models and endpoint configurations: records that name what an endpoint will run."""

from __future__ import annotations

from typing import Any

from local_aws import objects
from local_aws.errors import validation
from local_aws.iam import services
from local_aws.iam.callers import AccessDeniedError, acting
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.sagemaker.endpoint_changes import check_concurrency
from local_aws.sagemaker.packages import ModelPackages
from local_aws.store import Record, Store

# What a model or variant may ask for on AWS that no local process can give: refused, not ignored.
_CONTAINER_UNSUPPORTED = ("ModelDataSource", "AdditionalModelDataSources", "MultiModelConfig")
_VARIANT_UNSUPPORTED = ("InstancePools", "AcceleratorType", "CoreDumpConfig")
# What a serverless variant has no use for.
_OF_INSTANCES = (
    "InstanceType",
    "InitialInstanceCount",
    "ContainerStartupHealthCheckTimeoutInSeconds",
    "ModelDataDownloadTimeoutInSeconds",
    "VolumeSizeInGB",
)
_CONFIG_UNSUPPORTED = ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants")


def refuse(record: dict[str, Any], members: tuple[str, ...], where: str) -> None:
    """Raises ValidationException if `record` has a member that is valid on AWS and not here."""
    for name in members:
        if record.get(name):
            raise validation(f"{where}.{name} is not there in the local AWS: see local_aws/COVERAGE.md")


def _may_read(uri: str, role: str, source_arn: str) -> bool:
    """Whether SageMaker, under `role`, finds the object."""
    try:
        principal = services.sagemaker(role, source_arn)
    except AccessDeniedError:
        return False
    with acting(principal):
        return objects.exists(uri)


class Models:
    """CreateModel, DescribeModel, ListModels, DeleteModel."""

    def __init__(self, store: Store, tags: Tags, packages: ModelPackages) -> None:
        self.store = store
        self.tags = tags
        self.packages = packages

    def get(self, name: str) -> Record:
        """The model's record. Raises ValidationException as AWS does."""
        record = self.store.table("models").get(name)
        if record is None:
            raise validation(f'Could not find model "{arn("model", name)}".')
        return record

    def container(self, name: str) -> Record | None:
        """What an instance of the model runs: Image, ModelDataUrl, Environment. None when there is no such model."""
        record = self.store.table("models").get(name)
        if record is None:
            return None
        found: Record = record.get("Resolved") or record["PrimaryContainer"]
        return found

    def _resolved(self, container: dict[str, Any]) -> Record | None:
        """The container of the model package that `container` names: a model keeps it when the package goes."""
        package = container.get("ModelPackageName")
        if not package:
            return None
        for member in ("Image", "ModelDataUrl"):
            if container.get(member):
                raise validation(f"{member} cannot be specified together with ModelPackageName.")
        found = self.packages.container(package)
        return {**found, "Environment": {**found.get("Environment", {}), **container.get("Environment", {})}}

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateModel."""
        name = request["ModelName"]
        model_arn = arn("model", name)
        if name in self.store.table("models"):
            raise validation(f'Cannot create already existing model "{model_arn}".')
        container = request.get("PrimaryContainer")
        if request.get("Containers") or not container:
            raise validation("The local AWS runs models with one PrimaryContainer: see local_aws/COVERAGE.md")
        refuse(container, _CONTAINER_UNSUPPORTED, "PrimaryContainer")
        resolved = self._resolved(container)
        if not (resolved or container).get("Image"):
            raise validation("You must provide the registry path of the container image in PrimaryContainer.Image.")
        if not request.get("ExecutionRoleArn"):
            raise validation("ExecutionRoleArn is required.")
        data_url = (resolved or container).get("ModelDataUrl")
        if data_url and not _may_read(data_url, request["ExecutionRoleArn"], model_arn):
            raise validation(
                f"Could not access model data at {data_url}. Please ensure that the role "
                f'"{request["ExecutionRoleArn"]}" exists and that its trust relationship policy allows the action '
                '"sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". Also ensure that the role has '
                '"s3:GetObject" permissions and that the object is located in us-east-1.'
            )
        with self.store.change():
            record = {key: value for key, value in request.items() if key != "Tags"}
            record |= {"ModelArn": model_arn, "CreationTime": now()} | ({"Resolved": resolved} if resolved else {})
            record.setdefault("EnableNetworkIsolation", False)
            self.store.table("models")[name] = record
            self.tags.put(model_arn, request.get("Tags", []))
        return {"ModelArn": model_arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeModel."""
        return {key: value for key, value in self.get(request["ModelName"]).items() if key != "Resolved"}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListModels."""
        records, more = page(self.store.table("models").values(), request, "ModelName", "", "Descending")
        return {"Models": [chosen(one, ("ModelName", "ModelArn", "CreationTime")) for one in records], **more}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteModel."""
        record = self.get(request["ModelName"])
        with self.store.change():
            del self.store.table("models")[request["ModelName"]]
            self.tags.forget(record["ModelArn"])
        return {}


class EndpointConfigs:
    """CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

    def __init__(self, store: Store, tags: Tags, models: Models) -> None:
        self.store = store
        self.tags = tags
        self.models = models

    def get(self, name: str) -> Record:
        """The configuration's record. Raises ValidationException as AWS does."""
        record = self.store.table("endpoint_configs").get(name)
        if record is None:
            raise validation(f'Could not find endpoint configuration "{arn("endpoint-config", name)}".')
        return record

    def _check_variant(self, variant: dict[str, Any]) -> None:
        refuse(variant, _VARIANT_UNSUPPORTED, "ProductionVariants")
        if not variant.get("ModelName"):
            raise validation(
                "ModelName is required for each production variant (inference components are not there locally)."
            )
        model = self.models.get(variant["ModelName"])
        if variant.get("ServerlessConfig"):
            self._check_serverless(variant, model)
            return
        missing = [name for name in ("InstanceType", "InitialInstanceCount") if not variant.get(name)]
        if missing:
            raise validation(f"{' and '.join(missing)} must be set for production variant {variant['VariantName']}.")

    @staticmethod
    def _check_serverless(variant: dict[str, Any], model: Record) -> None:
        given = [name for name in _OF_INSTANCES if variant.get(name)]
        if given:
            raise validation(f"{' and '.join(given)} must not be set together with ServerlessConfig.")
        if model.get("EnableNetworkIsolation") or model.get("VpcConfig"):
            raise validation(
                f"Model {model['ModelName']} has network isolation or a VPC: serverless endpoints support neither."
            )
        check_concurrency(variant["ServerlessConfig"])

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpointConfig."""
        name = request["EndpointConfigName"]
        config_arn = arn("endpoint-config", name)
        if name in self.store.table("endpoint_configs"):
            raise validation(f'Cannot create already existing endpoint configuration "{config_arn}".')
        refuse(request, _CONFIG_UNSUPPORTED, "CreateEndpointConfig")
        names = [variant["VariantName"] for variant in request["ProductionVariants"]]
        if len(set(names)) != len(names):
            raise validation("Production variant names must be unique.")
        for variant in request["ProductionVariants"]:
            self._check_variant(variant)
        if any(variant.get("ServerlessConfig") for variant in request["ProductionVariants"]):
            if len(names) > 1:
                raise validation("A serverless endpoint has one production variant.")
            refuse(request, ("DataCaptureConfig",), "A serverless endpoint's CreateEndpointConfig")
        with self.store.change():
            record = {key: value for key, value in request.items() if key != "Tags"}
            record["ProductionVariants"] = [
                {"InitialVariantWeight": 1.0, **one} for one in request["ProductionVariants"]
            ]
            record |= {"EndpointConfigArn": config_arn, "CreationTime": now()}
            record.setdefault("EnableNetworkIsolation", False)
            self.store.table("endpoint_configs")[name] = record
            self.tags.put(config_arn, request.get("Tags", []))
        return {"EndpointConfigArn": config_arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeEndpointConfig."""
        return dict(self.get(request["EndpointConfigName"]))

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListEndpointConfigs."""
        records, more = page(
            self.store.table("endpoint_configs").values(), request, "EndpointConfigName", "", "Descending"
        )
        members = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return {"EndpointConfigs": [chosen(one, members) for one in records], **more}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteEndpointConfig. One in use may go, as on AWS: a running endpoint keeps what it runs."""
        record = self.get(request["EndpointConfigName"])
        with self.store.change():
            del self.store.table("endpoint_configs")[request["EndpointConfigName"]]
            self.tags.forget(record["EndpointConfigArn"])
        return {}
