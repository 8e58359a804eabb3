"""First state of a batch, and again after each of its jobs: what is still to be asked, as the next job's manifest.

`{"input", "execution", "started", "part"}` from the state machine -> the next part's plan. What the batch was begun
with lies beside its results, so that a later start of the same name goes on with the same pictures, model and `top_k`.
Raises InvalidBatch with every problem found, one a line, each naming its field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError
from kennel import batches, naming, objects, s3uri, secured, served
from kennel.errors import EndpointUnavailable, InvalidBatch
from kennel.settings import PlanBatchSettings, plan_batch_settings

logger = Logger()

_KEPT = ("pictures", "run", "top_k")  # what a batch is begun with, and its input may not change


@cache
def _client(service: str) -> Any:
    return boto3.client(service)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The plan of the next part, or InvalidBatch."""
    settings = plan_batch_settings()
    execution, started = event["execution"], event["started"]
    if not naming.is_tag(execution):
        raise InvalidBatch(
            ["the execution's name: may hold letters, digits and _ . : / = + - @ only: it becomes a tag"]
        )
    asked = batches.parse_batch(event["input"], settings.defaults)
    files = batches.Files(settings.artifact_bucket, naming.batch_name(asked["batch"], execution, started))
    known = _known(files)
    begun = _as_begun(known, files, asked, settings) if known else _as_asked(files, asked, settings)
    pictures = _pictures(s3uri.parse(begun["pictures"]))
    _check_model(begun["model"])
    if not known:
        _put(files.uri("settings.json"), begun)
    results = files.results(_client("s3"))
    sent = [picture for picture in pictures if picture.is_sent]
    left = [picture.name for picture in sent if not batches.has_result(picture, results)]
    job = naming.transform_job(settings.stack_name, files.batch, execution, started, event["part"])
    manifest = files.uri(f"manifests/{job}.json")
    taken = left[: asked["pictures_a_job"]]
    if taken:
        _put(manifest, [{"prefix": begun["pictures"]}, *taken])
    logger.info("planned", extra={"batch": files.batch, "left": len(left), "taken": len(taken)})
    return {
        **begun,
        "batch": files.batch,
        "job": job,
        "manifest": str(manifest),
        "results": str(files.uri("results/")),
        "taken": len(taken),
        "left": len(left),
        "answered": len(sent) - len(left),
        **{name: asked[name] for name in ("instance_type", "instances", "max_runtime_seconds")},
        "secured": secured.of_batch(settings.secured, asked["instance_type"]),
        "tags": [
            {"Key": "kennel:stack", "Value": settings.stack_name},
            {"Key": "kennel:run", "Value": begun["run"]},
            {"Key": "kennel:execution", "Value": execution},
        ],
    }


def _known(files: batches.Files) -> dict[str, Any] | None:
    """`pictures`, `run`, `model` and `top_k` that the batch was begun with; None when it was not."""
    where = files.uri("settings.json")
    try:
        found: dict[str, Any] = json.load(_client("s3").get_object(Bucket=where.bucket, Key=where.key)["Body"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None
    return found


def _as_begun(
    known: dict[str, Any], files: batches.Files, asked: Mapping[str, Any], settings: PlanBatchSettings
) -> dict[str, Any]:
    given = {name: asked[name] for name in _KEPT if asked[name] is not None}
    if "pictures" in given:
        given["pictures"] = str(_folder(given["pictures"], settings))
    problems = [
        f"{name}: the batch {files.batch} was begun with {known[name]}; another one needs another name"
        for name, value in given.items()
        if value != known[name]
    ]
    if problems:
        raise InvalidBatch(problems)
    return known


def _as_asked(files: batches.Files, asked: Mapping[str, Any], settings: PlanBatchSettings) -> dict[str, Any]:
    if asked["pictures"] is None:
        raise InvalidBatch([f"pictures: is not given, and no batch {files.batch} was begun"])
    folder = _folder(asked["pictures"], settings)
    run, model = _model(asked["run"], settings)
    return {"pictures": str(folder), "run": run, "model": model, "top_k": asked["top_k"] or batches.TOP_K}


def _folder(uri: str, settings: PlanBatchSettings) -> s3uri.S3Uri:
    try:
        return s3uri.data_folder(uri, settings.data_bucket)
    except ValueError as error:
        raise InvalidBatch([f"pictures: {error}"]) from None


def _pictures(folder: s3uri.S3Uri) -> list[batches.Picture]:
    try:
        found = list(islice(batches.pictures(_client("s3"), folder), batches.MAX_PICTURES + 1))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchBucket", "AccessDenied", "403"):
            raise InvalidBatch([f"pictures: {folder} cannot be read: {code}"]) from error
        raise
    if not found:
        raise InvalidBatch([f"pictures: {folder} has no pictures"])
    if len(found) > batches.MAX_PICTURES:
        raise InvalidBatch([f"pictures: {folder} has more than {batches.MAX_PICTURES}; make batches of its folders"])
    return found


def _model(run: str | None, settings: PlanBatchSettings) -> tuple[str, str]:
    """The run, and the model that its deployment made: both it and the endpoint's configuration are named STACK-RUN."""
    if run is not None:
        return run, naming.run_resource(settings.stack_name, run)
    try:
        found = served.look(_client("sagemaker"), settings.endpoint_name)
    except EndpointUnavailable as error:
        raise InvalidBatch([f"run: is not given, and {error}"]) from error
    return found.run, found.config


def _check_model(model: str) -> None:
    try:
        _client("sagemaker").describe_model(ModelName=model)
    except ClientError as error:
        if "could not find" not in str(error).lower():
            raise
        text = f"run: there is no model {model}; a run has one from its deployment on, until a teardown"
        raise InvalidBatch([text]) from error


def _put(where: s3uri.S3Uri, content: object) -> None:
    objects.write(_client("s3"), where, [json.dumps(content).encode()], "application/json")
