"""Runs one training job in its own thread: inputs down, processes up, output read line by line, model up.

A spot job may go through that several times: an attempt that is interrupted is followed by another one on fresh
instances, which find the checkpoints of the last one.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from local_aws import archives, objects, settings
from local_aws.iam import services
from local_aws.iam.callers import AccessDeniedError
from local_aws.processes import free_port
from local_aws.sagemaker import entrypoint, spot, transfer
from local_aws.sagemaker.checkpoints import Checkpoints
from local_aws.sagemaker.common import now
from local_aws.sagemaker.container import Host
from local_aws.sagemaker.job_checks import RUNTIME_DEFAULT
from local_aws.sagemaker.job_output import LOG_GROUP, JobOutput
from local_aws.sagemaker.script import REASON_LIMIT, Process, worst
from local_aws.sagemaker.transfer import JobError
from local_aws.store import Record

logger = logging.getLogger("local_aws.jobs")

POLL_SECONDS = 0.05
INTERRUPTED = "Interrupted"


class JobRun:
    """One training job. `record` is the job's stored record; `update(secondary, **members)` changes and saves it.

    `on_metric` hears every value of every metric: the record keeps the last ones only.
    """

    def __init__(
        self,
        record: Record,
        folder: Path,
        update: Callable[..., None],
        on_metric: Callable[[str, float], None] | None = None,
    ) -> None:
        self.record = record
        self.folder = folder
        self.update = update
        self._output = JobOutput(record, update, on_metric)
        self.stop_requested = threading.Event()
        self.interrupt_requested = threading.Event()
        self.abandoned = threading.Event()
        self.finished = threading.Event()
        limits = record["StoppingCondition"]
        self._runtime = float(limits.get("MaxRuntimeInSeconds", RUNTIME_DEFAULT))
        self._give_up = time.monotonic() + float(limits.get("MaxWaitTimeInSeconds", "inf"))
        self._spot = spot.plan(record)
        self._interruptions = 0
        self._trained = 0.0  # seconds of training in earlier attempts
        self._since: float | None = None  # start of this attempt's training
        self._processes: list[Process] = []
        self._checkpoints: list[Checkpoints] = []

    # What the outside may do

    def stop(self) -> None:
        """Asks the job to stop: SIGTERM now, SIGKILL when the grace is over."""
        self.stop_requested.set()

    def interrupt(self) -> None:
        """Takes the instances of a spot job away, once."""
        self.interrupt_requested.set()

    def abandon(self) -> None:
        """Kills the processes at once and leaves the record as it is: the emulator itself is ending."""
        self.abandoned.set()
        self.stop_requested.set()
        for process in list(self._processes):
            process.signal(signal.SIGKILL)

    # The run itself

    def run(self) -> None:
        """The whole life of the job; every way it can end is in the record afterwards."""
        try:
            work = services.begun(
                self.record["RoleArn"],
                self.record["TrainingJobArn"],
                self.record["AlgorithmSpecification"].get("TrainingImage", ""),
                LOG_GROUP,
                LOG_GROUP,
            )
            self._output.work = work
            with services.working(work):
                while self._attempt() == INTERRUPTED:
                    if not self._wait_for_instances():
                        break
        except AccessDeniedError as error:
            self._end("Failed", "Failed", FailureReason=f"ClientError: {error.message}"[:REASON_LIMIT])
        except (JobError, entrypoint.EntrypointError, objects.ObjectError, archives.ArchiveError) as error:
            told = isinstance(error, (JobError, entrypoint.EntrypointError))
            reason = str(error) if told else f"ClientError: {error}"
            self._end("Failed", "Failed", FailureReason=reason[:REASON_LIMIT])
        except Exception as error:
            logger.exception("job %s: the emulator itself failed", self.record["TrainingJobName"])
            self._end("Failed", "Failed", FailureReason=f"InternalServerError: {error!r}"[:REASON_LIMIT])
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.finished.set()

    def _training_seconds(self) -> float:
        return self._trained + (time.monotonic() - self._since if self._since is not None else 0.0)

    def _end(self, status: str, secondary: str, **members: object) -> None:
        if self.abandoned.is_set():
            return
        seconds = self._training_seconds()
        spent = max(1, round(seconds)) if seconds else 0
        if self.record["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
            members["WarmPoolStatus"] = {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 0}
        self.update(
            secondary,
            TrainingJobStatus=status,
            TrainingEndTime=now(),
            TrainingTimeInSeconds=spent,
            BillableTimeInSeconds=spot.billable_seconds(spent, bool(self.record.get("EnableManagedSpotTraining"))),
            **members,
        )

    def _attempt(self) -> str:
        """From the download to the upload. Gives what ended it early (INTERRUPTED: try again), or nothing."""
        hosts = self._hosts()
        self.update("Downloading")
        for host in hosts:
            host.make(self.record)
        transfer.download(self.record, hosts, self.stop_requested.is_set)
        for one in self._checkpoints:
            one.restore()
        early = self._ended_early()
        if early is not None:
            self._end("Stopped", early)
            return early
        self._since = time.monotonic()
        self.update("Training", **({} if "TrainingStartTime" in self.record else {"TrainingStartTime": now()}))
        early, reason = self._train(hosts)
        if self.abandoned.is_set():
            return ""
        if early == INTERRUPTED:
            return INTERRUPTED
        self.update("Uploading")
        model = transfer.upload(self.record, hosts, self.folder, required=early is None and reason is None)
        if model is not None:
            self.update(None, ModelArtifacts={"S3ModelArtifacts": model})
        if early is not None:
            self._end("Stopped", early)
        elif reason is not None:
            raise JobError(reason)
        else:
            self._end("Completed", "Completed")
        return early or ""

    def _hosts(self) -> list[Host]:
        """The instances of an attempt, with nothing of an earlier one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        count = self.record["ResourceConfig"].get("InstanceCount", 1)
        names = tuple(f"algo-{number}" for number in range(1, count + 1))
        port = free_port()
        hosts = [Host(rank, names, self.folder / name, port) for rank, name in enumerate(names)]
        uri = self.record.get("CheckpointConfig", {}).get("S3Uri")
        self._checkpoints = [Checkpoints(uri, host.checkpoints) for host in hosts] if uri else []
        return hosts

    def _ended_early(self) -> str | None:
        """The secondary status of a job that must not go on, or None."""
        if self.stop_requested.is_set():
            return "Stopped"
        if self._training_seconds() >= self._runtime:
            return "MaxRuntimeExceeded"
        return "MaxWaitTimeExceeded" if time.monotonic() >= self._give_up else None

    def _is_interrupted(self) -> bool:
        """Whether the instances are taken away now."""
        if self.interrupt_requested.is_set():
            return True
        in_attempt = self._training_seconds() - self._trained
        return self._interruptions < self._spot.times and in_attempt >= self._spot.after

    def _train(self, hosts: list[Host]) -> tuple[str | None, str | None]:
        """Runs every host's script. Gives what ended them early, if anything did, and why they failed, if they did."""
        early, first = None, []
        self._processes = []
        try:
            for host in hosts:
                self._processes.append(Process(host, self.record, self._output.line))
            while not all(one.ended for one in self._processes):
                first = [one for one in self._processes if one.failed]
                early = self._ended_early() or (INTERRUPTED if not first and self._is_interrupted() else None)
                if early or first:
                    if early not in (None, INTERRUPTED):
                        self.update("Stopping", TrainingJobStatus="Stopping")
                    self._end_processes()
                    break
                for one in self._checkpoints:
                    one.sync_when_due()
                time.sleep(POLL_SECONDS)
            codes = [one.join() for one in self._processes]
        finally:
            for process in self._processes:
                process.signal(signal.SIGKILL)
        if early is None and self.stop_requested.is_set():
            early = "Stopped"  # it ended by itself at the very moment it was to be stopped
        if not self.abandoned.is_set():
            for one in self._checkpoints:
                one.sync()
        return early, worst(self._processes, codes, first)

    def _end_processes(self) -> None:
        for process in self._processes:
            process.signal(signal.SIGTERM)
        until = time.monotonic() + settings.stop_grace_seconds()
        while time.monotonic() < until and not self.abandoned.is_set():
            if all(process.ended for process in self._processes):
                return
            time.sleep(POLL_SECONDS)
        for process in self._processes:
            process.signal(signal.SIGKILL)

    def _wait_for_instances(self) -> bool:
        """After an interruption: whether the job goes on, which it does after a moment unless it is to end."""
        self._interruptions += 1
        self._trained, self._since = self._training_seconds(), None
        self.interrupt_requested.clear()
        self.update(INTERRUPTED)
        until = time.monotonic() + spot.pause_seconds()
        while (early := self._ended_early()) is None and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        if early is None:
            self.update("Starting")
            return True
        self._end("Stopped", early)
        return False
