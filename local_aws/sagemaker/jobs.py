"""Training jobs: CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs, StopTrainingJob."""

from __future__ import annotations

import contextvars
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_aws.dispatch import COVERAGE
from local_aws.errors import ApiError, validation
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.sagemaker.container import hyperparameters
from local_aws.sagemaker.resources import refuse
from local_aws.sagemaker.runner import JobRun
from local_aws.store import Record, Store

ENDED = ("Completed", "Failed", "Stopped")
_MESSAGES = {
    "Starting": "Launching requested ML instances",
    "Downloading": "Downloading the training image and input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "Failed": "Training job failed",
}
_UNSUPPORTED = (
    "DebugHookConfig",
    "TensorBoardOutputConfig",
    "ServerlessJobConfig",
    "ModelPackageConfig",
    "MlflowConfig",
)
_SUMMARY = (
    "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime", "TrainingJobStatus",
    "SecondaryStatus",
)  # fmt: skip


def _require(request: dict[str, Any]) -> None:
    for field in ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition"):
        if not request.get(field):
            raise validation(f"{field} is required.")


class TrainingJobs:
    """The jobs of this local AWS; each running one has a thread."""

    def __init__(self, store: Store, tags: Tags, folder: Path) -> None:
        self.store = store
        self.tags = tags
        self.folder = folder
        self.runs: dict[str, JobRun] = {}

    def get(self, name: str) -> Record:
        """The job's record. Raises ValidationException as AWS does."""
        record = self.store.table("training_jobs").get(name)
        if record is None:
            raise validation("Requested resource not found.")
        return record

    def fail_interrupted(self) -> None:
        """At start: a job that was running when the emulator ended has failed."""
        for record in self.store.table("training_jobs").values():
            if record["TrainingJobStatus"] not in ENDED:
                reason = "InternalServerError: the local AWS was stopped while the job was running."
                self._update(record, "Failed", TrainingJobStatus="Failed", FailureReason=reason, TrainingEndTime=now())

    def _update(self, record: Record, secondary: str | None, **members: Any) -> None:
        """Changes a job's record; `secondary` other than None begins a new secondary status."""
        with self.store.change():
            record.update(members)
            record["LastModifiedTime"] = now()
            transitions = record["SecondaryStatusTransitions"]
            if secondary is None or (transitions and transitions[-1]["Status"] == secondary):
                return
            if transitions:
                transitions[-1]["EndTime"] = record["LastModifiedTime"]
            message = members.get("FailureReason") or _MESSAGES[secondary]
            transitions.append({"Status": secondary, "StartTime": now(), "StatusMessage": message})
            if secondary in (*ENDED, "MaxRuntimeExceeded"):
                transitions[-1]["EndTime"] = now()
            record["SecondaryStatus"] = secondary

    @staticmethod
    def check(request: dict[str, Any]) -> None:
        """What the model does not say of a request. Raises ValidationException."""
        _require(request)
        refuse(request, _UNSUPPORTED, "CreateTrainingJob")
        specification = request.get("AlgorithmSpecification") or {}
        if not specification.get("TrainingImage") and not specification.get("AlgorithmName"):
            raise validation("TrainingImage or AlgorithmName must be specified in AlgorithmSpecification.")
        for definition in specification.get("MetricDefinitions", []):
            try:
                re.compile(definition["Regex"])
            except re.error as error:
                raise validation(f"The regular expression of metric {definition['Name']} is wrong: {error}") from None
        parameters = hyperparameters(request)
        for name in ("sagemaker_program", "sagemaker_submit_directory"):
            if not parameters.get(name):
                raise validation(
                    f"The local AWS runs script mode only, so the hyperparameter {name} is needed: see {COVERAGE}"
                )
        for channel in request.get("InputDataConfig", []):
            source = channel["DataSource"].get("S3DataSource")
            if not source or source["S3DataType"] != "S3Prefix" or channel.get("CompressionType", "None") != "None":
                raise validation(
                    f"Channel {channel['ChannelName']}: the local AWS takes uncompressed S3Prefix channels only"
                )
            if channel.get("InputMode", specification.get("TrainingInputMode", "File")) == "Pipe":
                raise validation(f"Channel {channel['ChannelName']}: Pipe mode is not there in the local AWS")
        names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
        if len(set(names)) != len(names):
            raise validation("Channel names must be unique.")
        limits = request["StoppingCondition"]
        if request.get("EnableManagedSpotTraining"):
            if limits.get("MaxWaitTimeInSeconds", 0) < limits.get("MaxRuntimeInSeconds", 86400):
                raise validation(
                    "MaxWaitTimeInSeconds must be equal to or greater than MaxRuntimeInSeconds for spot training."
                )
        elif "MaxWaitTimeInSeconds" in limits:
            raise validation("MaxWaitTimeInSeconds cannot be set when EnableManagedSpotTraining is false.")

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob: answers at once, the job runs in its thread."""
        return self.launch(request)

    def launch(
        self, request: dict[str, Any], on_metric: Callable[[str, float], None] | None = None, **members: Any
    ) -> dict[str, Any]:
        """Starts a job whose description also has `members`; `on_metric` hears every value it prints. Any thread."""
        name = request["TrainingJobName"]
        job_arn = arn("training-job", name)
        self.check(request)
        record: Record = {key: value for key, value in request.items() if key != "Tags"}
        for field in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
            record.setdefault(field, False)
        record |= {
            "TrainingJobArn": job_arn,
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [],
            "ModelArtifacts": {"S3ModelArtifacts": ""},
            "CreationTime": now(),
            **members,
        }
        with self.store.change():
            if name in self.store.table("training_jobs"):
                raise ApiError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a training job with this "
                    f"name already exists ({job_arn})",
                )
            self.store.table("training_jobs")[name] = record
            self.tags.put(job_arn, request.get("Tags", []))
        self._update(record, "Starting")
        run = JobRun(
            record,
            self.folder / name,
            lambda secondary, **members: self._update(record, secondary, **members),
            on_metric,
        )
        self.runs[name] = run
        # The thread acts for the caller's account and region, which MiniStack keeps in context variables.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run, name, run), name=f"job-{name}", daemon=True).start()
        return {"TrainingJobArn": job_arn}

    def _run(self, name: str, run: JobRun) -> None:
        try:
            run.run()
        finally:
            self.runs.pop(name, None)

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return dict(self.get(request["TrainingJobName"]))

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobs."""
        records = list(self.store.table("training_jobs").values())
        found, more = page(records, request, "TrainingJobName", "TrainingJobStatus", "Descending")
        return {"TrainingJobSummaries": [chosen(one, _SUMMARY) for one in found], **more}

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """StopTrainingJob."""
        record = self.get(request["TrainingJobName"])
        # One look and change: a job that ended in between would be Stopping for ever.
        with self.store.change():
            if record["TrainingJobStatus"] in ENDED:
                raise validation(
                    f"The request was rejected because the training job is in status {record['TrainingJobStatus']}."
                )
            run = self.runs.get(request["TrainingJobName"])
            if run is not None:
                self._update(record, "Stopping", TrainingJobStatus="Stopping")
                run.stop()
        return {}

    def abandon(self) -> None:
        """The emulator is ending: kills every job's processes and waits for the threads."""
        running = list(self.runs.values())
        for run in running:
            run.abandon()
        for run in running:
            run.finished.wait(timeout=5)
