"""What botocore's model does not say of a CreateTrainingJob request: AWS's rules, and what is not here."""

from __future__ import annotations

import re
from typing import Any

from local_aws.dispatch import COVERAGE
from local_aws.errors import validation
from local_aws.sagemaker import entrypoint, spot
from local_aws.sagemaker.container import hyperparameters
from local_aws.sagemaker.resources import refuse

RUNTIME_DEFAULT = 86400  # seconds: MaxRuntimeInSeconds when it is absent
_UNSUPPORTED = (
    "DebugHookConfig",
    "TensorBoardOutputConfig",
    "ServerlessJobConfig",
    "ModelPackageConfig",
    "MlflowConfig",
)


def check(request: dict[str, Any]) -> None:
    """Raises ValidationException when AWS would, or when the request asks for what is not here."""
    for field in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition"):
        if not request.get(field):
            raise validation(f"{field} is required.")
    refuse(request, _UNSUPPORTED, "CreateTrainingJob")
    _check_algorithm(request)
    _check_channels(request)
    _check_spot(request)


def _check_algorithm(request: dict[str, Any]) -> None:
    specification = request.get("AlgorithmSpecification") or {}
    if not specification.get("TrainingImage") and not specification.get("AlgorithmName"):
        raise validation("TrainingImage or AlgorithmName must be specified in AlgorithmSpecification.")
    for definition in specification.get("MetricDefinitions", []):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            raise validation(f"The regular expression of metric {definition['Name']} is wrong: {error}") from None
    if problem := entrypoint.check(specification):
        raise validation(problem)
    parameters = hyperparameters(request)
    for name in ("sagemaker_program", "sagemaker_submit_directory"):
        if not parameters.get(name) and not specification.get("ContainerEntrypoint"):
            raise validation(
                "The local AWS runs script mode or a ContainerEntrypoint, so the hyperparameter "
                f"{name} is needed: see {COVERAGE}"
            )


def _check_channels(request: dict[str, Any]) -> None:
    channels = request.get("InputDataConfig", [])
    mode = (request.get("AlgorithmSpecification") or {}).get("TrainingInputMode", "File")
    for channel in channels:
        source = channel["DataSource"].get("S3DataSource")
        if not source or source["S3DataType"] != "S3Prefix" or channel.get("CompressionType", "None") != "None":
            raise validation(
                f"Channel {channel['ChannelName']}: the local AWS takes uncompressed S3Prefix channels only"
            )
        if channel.get("InputMode", mode) == "Pipe":
            raise validation(f"Channel {channel['ChannelName']}: Pipe mode is not there in the local AWS")
    if len({channel["ChannelName"] for channel in channels}) != len(channels):
        raise validation("Channel names must be unique.")


def _check_spot(request: dict[str, Any]) -> None:
    limits = request["StoppingCondition"]
    if not request.get("EnableManagedSpotTraining"):
        if "MaxWaitTimeInSeconds" in limits:
            raise validation("MaxWaitTimeInSeconds cannot be set when EnableManagedSpotTraining is false.")
        return
    if limits.get("MaxWaitTimeInSeconds", 0) < limits.get("MaxRuntimeInSeconds", RUNTIME_DEFAULT):
        raise validation(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )
    if request["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
        raise validation("KeepAlivePeriodInSeconds cannot be set when EnableManagedSpotTraining is true.")
    spot.plan(request)
