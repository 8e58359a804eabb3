"""First state of the pipeline: everything that can be known to be wrong is refused before money is spent.

`{"input", "execution", "started"}` from the state machine -> the run's plan: names, data, code, hyperparameters, sizes.
Raises InvalidRun with every problem found, one a line, each naming its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError
from kennel import contracts, dataset, naming, s3uri
from kennel.errors import InvalidRun, SettingsError
from kennel.settings import ValidateRunSettings, validate_run_settings

logger = Logger()

_IMAGE_TAG = 16  # characters of the code's sha256
# What the training script takes besides the run's name: the rest of `features` and `train` is for SageMaker.
_HYPERPARAMETERS = (
    *("backbone", "views", "epochs", "batch_size", "learning_rate", "weight_decay", "label_smoothing"),
    *("seed", "max_bad_share"),
)


@cache
def _s3() -> Any:
    return boto3.client("s3")


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Turn a pipeline input into a plan, or raise InvalidRun."""
    settings = validate_run_settings()
    asked = _parse(event["input"], settings)
    run = naming.run_name(asked[""]["run"], event["execution"], event["started"])
    asked["features"]["pretrained"] = _weights_folder(asked["features"], settings)
    found = _inspect(_folder("data", asked[""]["data"] or f"s3://{settings.data_bucket}/dogImages/", settings))
    plan = _plan(run, asked, found, settings)
    logger.info("validated", extra={"run": run, "pictures": found.pictures, "classes": found.classes})
    return plan


def _parse(run_input: object, settings: ValidateRunSettings) -> dict[str, dict[str, Any]]:
    try:
        contracts.parse_run({}, settings.defaults)
    except InvalidRun as error:  # the stack's fault, not the caller's
        raise SettingsError(f"environment variable DEFAULTS is not valid: {error}") from error
    return contracts.parse_run(run_input, settings.defaults)


def _folder(field: str, uri: str, settings: ValidateRunSettings) -> s3uri.S3Uri:
    """The folder that `field` of the input names; training may read the data bucket only."""
    try:
        folder = s3uri.parse(uri).folder()
    except ValueError as error:
        raise InvalidRun([f"{field}: {error}"]) from None
    if folder.bucket != settings.data_bucket:
        raise InvalidRun([f"{field}: {folder.bucket} is not this stack's data bucket, {settings.data_bucket}"])
    return folder


def _weights_folder(features: Mapping[str, Any], settings: ValidateRunSettings) -> str | None:
    """Where the backbone's weights lie, checked to be there; None when they come with a package."""
    backbone, given = features["backbone"], features["pretrained"]
    if given is None:
        if backbone in contracts.PACKAGED_BACKBONES:
            return None
        raise InvalidRun([f"features.pretrained: is needed for {backbone}, whose weights no package carries"])
    folder = _folder("features.pretrained", given, settings)
    wanted = [f"{folder.key}{backbone}{suffix}" for suffix in (".safetensors", ".pth")]
    found = _s3().list_objects_v2(Bucket=folder.bucket, Prefix=f"{folder.key}{backbone}.").get("Contents", [])
    if not any(item["Key"] in wanted for item in found):
        raise InvalidRun([f"features.pretrained: {folder} has neither {backbone}.safetensors nor {backbone}.pth"])
    return str(folder)


def _inspect(folder: s3uri.S3Uri) -> dataset.Dataset:
    try:
        return dataset.inspect(_s3(), folder)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchBucket", "AccessDenied", "403"):
            raise InvalidRun([f"data: {folder} cannot be read: {code}"]) from error
        raise


def _plan(
    run: str, asked: Mapping[str, dict[str, Any]], found: dataset.Dataset, settings: ValidateRunSettings
) -> dict[str, Any]:
    features, train = asked["features"], asked["train"]
    parameters = {"run": run, **{name: {**features, **train}[name] for name in _HYPERPARAMETERS}}
    resource = naming.run_resource(settings.stack_name, run)
    return {
        "run": run,
        "names": {"job": resource, "model": resource, "endpoint_config": resource, "endpoint": settings.endpoint_name},
        "data": {
            "uri": str(found.folder),
            "pictures": found.pictures,
            "classes": found.classes,
            "smoke_picture": str(found.smoke_picture),
        },
        "code": {"uri": settings.code_uri, "sha256": settings.code_sha256},
        "image_uri": f"{settings.serving_repository_uri}:{settings.code_sha256[:_IMAGE_TAG]}",
        "hyperparameters": {name: str(value) for name, value in parameters.items()},
        "features": features,
        "train": train,
        "endpoint": asked["endpoint"],
        "output_uri": f"s3://{settings.artifact_bucket}/runs/{run}/",
    }
