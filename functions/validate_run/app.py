"""First state of the pipeline: everything that can be known to be wrong is refused before money is spent.

`{"input", "execution", "started"}` from the state machine -> the run's plan (`kennel.plan`).
Raises InvalidRun with every problem found, one a line, each naming its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError
from kennel import dataset, naming, plan, runs, s3uri, secured
from kennel.errors import InvalidRun, SettingsError
from kennel.settings import ValidateRunSettings, validate_run_settings

logger = Logger()


@cache
def _s3() -> Any:
    return boto3.client("s3")


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Turn a pipeline input into a plan, or raise InvalidRun."""
    settings = validate_run_settings()
    if not naming.is_tag(event["execution"]):
        raise InvalidRun(["the execution's name: may hold letters, digits and _ . : / = + - @ only: it becomes a tag"])
    asked = _parse(event["input"], settings)
    run = naming.run_name(asked[""]["run"], event["execution"], event["started"])
    weights = _weights(asked["features"], settings)
    found = _inspect(_folder("data", asked[""]["data"] or f"s3://{settings.data_bucket}/dogImages/", settings))
    made = plan.plan(plan.Run(run, event["execution"], event["started"]), asked, found, weights, settings)
    logger.info("validated", extra={"run": run, "pictures": found.pictures, "classes": found.classes})
    return made


def _parse(run_input: object, settings: ValidateRunSettings) -> dict[str, dict[str, Any]]:
    if len(settings.stack_name) > naming.MAX_STACK:
        raise SettingsError(
            f"the stack's name, {settings.stack_name}, has more than {naming.MAX_STACK} characters: names in SageMaker "
            "begin with it; deploy the stack under a shorter one"
        )
    try:
        runs.parse_run({}, settings.defaults)
    except InvalidRun as error:  # the stack's fault, not the caller's
        raise SettingsError(f"environment variable DEFAULTS is not valid: {error}") from error
    asked = runs.parse_run(run_input, settings.defaults)
    if problems := secured.problems(settings.secured, asked):
        raise InvalidRun(problems)
    return asked


def _folder(field: str, uri: str, settings: ValidateRunSettings) -> s3uri.S3Uri:
    """The folder that `field` of the input names."""
    try:
        return s3uri.data_folder(uri, settings.data_bucket)
    except ValueError as error:
        raise InvalidRun([f"{field}: {error}"]) from None


def _weights(features: Mapping[str, Any], settings: ValidateRunSettings) -> plan.Weights | None:
    """The backbone's weights, checked to be there; None when they come with a package."""
    backbone, given = features["backbone"], features["pretrained"]
    if given is None:
        if backbone in runs.PACKAGED_BACKBONES:
            return None
        raise InvalidRun([f"features.pretrained: is needed for {backbone}, whose weights no package carries"])
    folder = _folder("features.pretrained", given, settings)
    wanted = [f"{folder.key}{backbone}{suffix}" for suffix in (".safetensors", ".pth")]
    found = _s3().list_objects_v2(Bucket=folder.bucket, Prefix=f"{folder.key}{backbone}.").get("Contents", [])
    etags = [item["ETag"] for item in found if item["Key"] in wanted]
    if not etags:
        raise InvalidRun([f"features.pretrained: {folder} has neither {backbone}.safetensors nor {backbone}.pth"])
    return plan.Weights(folder, " ".join(etags))


def _inspect(folder: s3uri.S3Uri) -> dataset.Dataset:
    try:
        return dataset.inspect(_s3(), folder)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchBucket", "AccessDenied", "403"):
            raise InvalidRun([f"data: {folder} cannot be read: {code}"]) from error
        raise
