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
# What the training script takes besides the run's name: the rest of `train` is for SageMaker.
_HYPERPARAMETERS = ("epochs", "batch_size", "learning_rate", "weight_decay", "label_smoothing", "seed", "max_bad_share")


@cache
def _s3() -> Any:
    return boto3.client("s3")


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Turn a pipeline input into a plan, or raise InvalidRun."""
    settings = validate_run_settings()
    asked = _parse(event["input"], settings)
    run = naming.run_name(asked[""]["run"], event["execution"], event["started"])
    found = _inspect(_data_folder(asked[""]["data"], settings))
    plan = _plan(run, asked, found, settings)
    logger.info("validated", extra={"run": run, "pictures": found.pictures, "classes": found.classes})
    return plan


def _parse(run_input: object, settings: ValidateRunSettings) -> dict[str, dict[str, Any]]:
    try:
        contracts.parse_run({}, settings.defaults)
    except InvalidRun as error:  # the stack's fault, not the caller's
        raise SettingsError(f"environment variable DEFAULTS is not valid: {error}") from error
    return contracts.parse_run(run_input, settings.defaults)


def _data_folder(data: str | None, settings: ValidateRunSettings) -> s3uri.S3Uri:
    try:
        folder = s3uri.parse(data or f"s3://{settings.data_bucket}/dogImages/").folder()
    except ValueError as error:
        raise InvalidRun([f"data: {error}"]) from None
    if folder.bucket not in (settings.data_bucket, settings.artifact_bucket):
        raise InvalidRun(
            [f"data: {folder.bucket} is not one of this stack's own buckets; its data bucket is {settings.data_bucket}"]
        )
    return folder


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
    parameters = {"run": run, **features, **{name: train[name] for name in _HYPERPARAMETERS}}
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
