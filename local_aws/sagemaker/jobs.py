"""Training jobs: CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs, StopTrainingJob."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_aws.errors import validation
from local_aws.sagemaker import job_checks
from local_aws.sagemaker.common import Tags, now
from local_aws.sagemaker.job_table import ENDED, JobTable
from local_aws.sagemaker.resources import refuse
from local_aws.sagemaker.runner import JobRun
from local_aws.store import Record, Store

__all__ = ["ENDED", "TrainingJobs"]

_MESSAGES = {
    "Starting": "Launching requested ML instances",
    "Downloading": "Downloading the training image and input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "The Spot instances were interrupted; waiting for others",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Failed": "Training job failed",
}
_LAST = (*ENDED, "MaxRuntimeExceeded", "MaxWaitTimeExceeded")
_SUMMARY = (
    "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime", "TrainingJobStatus",
    "SecondaryStatus", "WarmPoolStatus",
)  # fmt: skip


class TrainingJobs(JobTable[JobRun]):
    """The training jobs of this local AWS."""

    kind, noun, table, end_member = "TrainingJob", "training job", "training_jobs", "TrainingEndTime"

    def __init__(self, store: Store, tags: Tags, folder: Path) -> None:
        super().__init__(store, tags)
        self.folder = folder

    def in_use(self, name: str, job_arn: str) -> str:
        """The message for a name that is taken, in AWS's words."""
        return (
            "Training job names must be unique within an AWS account and region, and a training job with this "
            f"name already exists ({job_arn})"
        )

    def set_status(self, record: Record, status: str, **members: Any) -> None:
        """Changes status and secondary status."""
        self._change(record, status, TrainingJobStatus=status, **members)

    def _change(self, record: Record, secondary: str | None, **members: Any) -> None:
        """Changes a job's record; `secondary` other than None begins a new secondary status.

        All at once: who looks without the lock must not see a job that has ended before its reason is there.
        """
        with self.store.change():
            transitions = [*record["SecondaryStatusTransitions"]]
            if secondary is not None and not (transitions and transitions[-1]["Status"] == secondary):
                if transitions:
                    transitions[-1] = {**transitions[-1], "EndTime": now()}
                message = members.get("FailureReason") or _MESSAGES[secondary]
                transitions.append({"Status": secondary, "StartTime": now(), "StatusMessage": message})
                if secondary in _LAST:
                    transitions[-1]["EndTime"] = now()
                members |= {"SecondaryStatus": secondary, "SecondaryStatusTransitions": transitions}
            self.update(record, **members)

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob: answers at once, the job runs in its thread."""
        return self.launch(request)

    def launch(
        self, request: dict[str, Any], on_metric: Callable[[str, float], None] | None = None, **members: Any
    ) -> dict[str, Any]:
        """Starts a job whose description also has `members`; `on_metric` hears every value it prints. Any thread."""
        job_checks.check(request)
        flags = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
        warm = {"WarmPoolStatus": {"Status": "InUse"}}
        record, _ = self.add(
            {**dict.fromkeys(flags, False), **request},
            SecondaryStatus="Starting",
            SecondaryStatusTransitions=[],
            ModelArtifacts={"S3ModelArtifacts": ""},
            **(warm if request["ResourceConfig"].get("KeepAlivePeriodInSeconds") else {}),
            **members,
        )
        self._change(record, "Starting")
        name = request["TrainingJobName"]

        def update(secondary: str | None, **changed: Any) -> None:
            self._change(record, secondary, **changed)

        self.start(name, JobRun(record, self.folder / name, update, on_metric))
        return {"TrainingJobArn": record["TrainingJobArn"]}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobs."""
        refuse(request, ("WarmPoolStatusEquals", "TrainingPlanArnEquals"), "ListTrainingJobs")
        found, more = self.summaries(request, _SUMMARY, "Descending")
        return {"TrainingJobSummaries": [summary for _, summary in found], **more}

    def interrupt(self, name: str) -> None:
        """Takes the instances of a running spot job away, as AWS may at any time. Raises ValidationException."""
        record, run = self.get(name), self.runs.get(name)
        if not record["EnableManagedSpotTraining"]:
            raise validation(f"The training job {name} does not use managed spot training: nothing interrupts it.")
        if run is None or record["SecondaryStatus"] != "Training":
            raise validation(f"The training job {name} is not training: it is {record['SecondaryStatus']}.")
        run.interrupt()
