"""Transform jobs: CreateTransformJob, DescribeTransformJob, ListTransformJobs, StopTransformJob."""

from __future__ import annotations

import dataclasses
from typing import Any

from local_aws.errors import ApiError, validation
from local_aws.sagemaker.common import Tags
from local_aws.sagemaker.instance import Variant
from local_aws.sagemaker.job_table import JobTable
from local_aws.sagemaker.provisioning import Provisioner
from local_aws.sagemaker.resources import Models, refuse
from local_aws.sagemaker.transform_run import PAYLOAD_DEFAULT_MB, TransformRun
from local_aws.store import Store

PAYLOAD_MAX_MB = 100
_SOURCES = ("S3Prefix", "ManifestFile")
_STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}
_UNSUPPORTED = ("DataCaptureConfig", "DataProcessing", "ExperimentConfig")
_SUMMARY = (
    "TransformJobName", "TransformJobArn", "CreationTime", "TransformEndTime", "LastModifiedTime",
    "TransformJobStatus", "FailureReason",
)  # fmt: skip


def check(request: dict[str, Any]) -> None:
    """Raises ValidationException when AWS would, or when the request asks for what is not here."""
    refuse(request, _UNSUPPORTED, "CreateTransformJob")
    given, wanted = request["TransformInput"], request["TransformOutput"]
    source = given["DataSource"]["S3DataSource"]
    if source["S3DataType"] not in _SOURCES:
        raise validation(f"DataSource.S3DataType: has to be one of {', '.join(_SOURCES)}")
    for where, record, member, only in (
        ("TransformInput", given, "SplitType", "None"),
        ("TransformInput", given, "CompressionType", "None"),
        ("TransformOutput", wanted, "AssembleWith", "None"),
    ):
        if record.get(member, only) != only:
            raise validation(f"{where}.{member}: the local AWS takes {only} only: see local_aws/COVERAGE.md")
    lanes, payload = request.get("MaxConcurrentTransforms", 0), request.get("MaxPayloadInMB", PAYLOAD_DEFAULT_MB)
    if payload > PAYLOAD_MAX_MB or max(1, lanes) * payload > PAYLOAD_MAX_MB:
        raise validation(
            f"MaxPayloadInMB, and MaxConcurrentTransforms * MaxPayloadInMB, must not exceed {PAYLOAD_MAX_MB} MB."
        )


def own_environment(request: dict[str, Any]) -> dict[str, str]:
    """What a container is told of the job that it works for, beside what the model and the job set."""
    return {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": _STRATEGIES[request.get("BatchStrategy", "MultiRecord")],
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(request.get("MaxConcurrentTransforms") or 1),
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(request.get("MaxPayloadInMB", PAYLOAD_DEFAULT_MB)),
    }


class TransformJobs(JobTable[TransformRun]):
    """The transform jobs of this local AWS."""

    kind, noun, table, end_member = "TransformJob", "transform job", "transform_jobs", "TransformEndTime"

    def __init__(self, store: Store, tags: Tags, models: Models, provisioner: Provisioner) -> None:
        super().__init__(store, tags)
        self.models = models
        self.provisioner = provisioner

    def not_found(self, name: str) -> ApiError:
        """The error for a name that is not there."""
        return ApiError("ResourceNotFound", f'Could not find transform job "{name}".')

    def in_use(self, name: str, job_arn: str) -> str:
        """The message for a name that is taken."""
        return (
            "Job name must be unique within an AWS account and region, and a job with this name already exists "
            f"({job_arn})"
        )

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateTransformJob: answers at once, the job runs in its thread."""
        check(request)
        name, model = request["TransformJobName"], request["ModelName"]
        self.models.get(model)
        record, _ = self.add(request)

        def variant() -> Variant:
            found = self.provisioner.variant(name, "", "AllTraffic", model, transforms=True)
            environment = dict(found.environment) | request.get("Environment", {}) | own_environment(request)
            return dataclasses.replace(found, environment=tuple(sorted(environment.items())))

        role = self.models.get(model)["ExecutionRoleArn"]
        run = TransformRun(record, variant, lambda **members: self.update(record, **members), role)
        self.start(name, run)
        return {"TransformJobArn": record["TransformJobArn"]}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListTransformJobs."""
        found, more = self.summaries(request, _SUMMARY, "Descending")
        return {"TransformJobSummaries": [summary for _, summary in found], **more}
