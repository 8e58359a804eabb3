"""Runs one training job in its own thread: inputs down, processes up, output read line by line, model up."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from local_aws import archives, logs, metrics, objects, settings
from local_aws.processes import free_port, signal_group
from local_aws.sagemaker.common import now
from local_aws.sagemaker.container import Host, hyperparameters
from local_aws.store import Record

logger = logging.getLogger("local_aws.jobs")

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_REASON_LIMIT = 1024
_REASON_LINES = 10


class JobError(Exception):
    """The job cannot go on; the message is its FailureReason."""


class Process:
    """The script of one host and what reads its output."""

    def __init__(self, host: Host, record: Record, on_line: Callable[[str, str], None]) -> None:
        self.host = host
        self.stream = f"{record['TrainingJobName']}/{host.name}-{int(time.time())}"
        self.errors: deque[str] = deque(maxlen=_REASON_LINES)
        self.popen = subprocess.Popen(
            host.command(record),
            cwd=host.code,
            env=host.environment(record),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._on_line = on_line
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self.popen.stdout, None), daemon=True),
            threading.Thread(target=self._read, args=(self.popen.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[bytes], kept: deque[str] | None) -> None:
        for raw in pipe:
            line = raw.decode(errors="replace").rstrip("\r\n")
            if kept is not None and line.strip():
                kept.append(line)
            self._on_line(self.stream, line)

    def join(self) -> int:
        """Waits for the end of the process and of its output; gives the exit code."""
        code = self.popen.wait()
        # Whatever the script left running would keep the pipes open for ever.
        signal_group(self.popen.pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(timeout=5)
        return code

    def failure_reason(self, code: int) -> str:
        """FailureReason as the toolkit words it: the last line when it is a clear sentence, else the last five."""
        lines = list(self.errors)
        shown = lines[-1:] if lines and lines[-1].startswith("error:") else lines[-5:]
        command = " ".join(["python", *self.popen.args[1:]]) if isinstance(self.popen.args, list) else ""
        text = "\n".join(shown)[: _REASON_LIMIT - 400]
        reason = f'AlgorithmError: ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{text}"\nCommand "{command}"'
        return f"{reason[: _REASON_LIMIT - 30]}, exit code: {code}"


class JobRun:
    """One attempt at a job. `record` is the job's stored record; `update` changes and saves it.

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
        self.on_metric = on_metric
        self.stop_requested = threading.Event()
        self.abandoned = threading.Event()
        self.finished = threading.Event()
        self._processes: list[Process] = []
        definitions = record["AlgorithmSpecification"].get("MetricDefinitions", [])
        self._metrics = [(one["Name"], re.compile(one["Regex"])) for one in definitions]
        self._metric_lock = threading.Lock()

    # What the outside may do

    def stop(self) -> None:
        """Asks the job to stop: SIGTERM now, SIGKILL when the grace is over."""
        self.stop_requested.set()

    def abandon(self) -> None:
        """Kills the processes at once and leaves the record as it is: the emulator itself is ending."""
        self.abandoned.set()
        self.stop_requested.set()
        for process in list(self._processes):
            signal_group(process.popen.pid, signal.SIGKILL)

    # The run itself

    def run(self) -> None:
        """The whole life of the job; every way it can end is in the record afterwards."""
        try:
            self._run()
        except (JobError, objects.ObjectError, archives.ArchiveError) as error:
            reason = str(error) if isinstance(error, JobError) else f"ClientError: {error}"
            self._end("Failed", "Failed", FailureReason=reason[:_REASON_LIMIT])
        except Exception as error:
            logger.exception("job %s: the emulator itself failed", self.record["TrainingJobName"])
            self._end("Failed", "Failed", FailureReason=f"InternalServerError: {error!r}"[:_REASON_LIMIT])
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.finished.set()

    def _end(self, status: str, secondary: str, **members: Any) -> None:
        if self.abandoned.is_set():
            return
        ended = now()
        started = self.record.get("TrainingStartTime")
        spent = max(1, round(ended - started)) if started else 0
        self.update(
            secondary,
            TrainingJobStatus=status,
            TrainingEndTime=ended,
            TrainingTimeInSeconds=spent,
            BillableTimeInSeconds=spent * self.record["ResourceConfig"].get("InstanceCount", 1),
            **members,
        )

    def _run(self) -> None:
        count = self.record["ResourceConfig"].get("InstanceCount", 1)
        names = tuple(f"algo-{number}" for number in range(1, count + 1))
        port = free_port()
        hosts = [Host(rank, names, self.folder / name, port) for rank, name in enumerate(names)]
        for host in hosts:
            host.make(self.record)
        self.update("Downloading")
        self._download(hosts)
        if self.stop_requested.is_set():
            self._end("Stopped", "Stopped")
            return
        self.update("Training", TrainingStartTime=now())
        codes, timed_out = self._train(hosts)
        if self.abandoned.is_set():
            return
        stopped = timed_out or self.stop_requested.is_set()
        self.update("Uploading")
        self._upload(hosts, required=not stopped)
        failed = [(process, code) for process, code in zip(self._processes, codes, strict=True) if code != 0]
        if timed_out:
            self._end("Stopped", "MaxRuntimeExceeded")
        elif stopped:
            self._end("Stopped", "Stopped")
        elif failed:
            raise JobError(self._worst(failed))
        else:
            self._end("Completed", "Completed")

    @staticmethod
    def _worst(failed: list[tuple[Process, int]]) -> str:
        # When one host fails the others are ended by us: the one to tell about ended by itself.
        process, code = next(((one, code) for one, code in failed if code > 0), failed[0])
        return process.failure_reason(code)

    def _download(self, hosts: list[Host]) -> None:
        bundle = str(hyperparameters(self.record)["sagemaker_submit_directory"])
        data = objects.read_uri(bundle)
        for host in hosts:
            archives.unpack(data, host.code)
        for channel in self.record.get("InputDataConfig", []):
            self._download_channel(channel, hosts)
        for host in hosts:
            program = host.code / str(hyperparameters(self.record)["sagemaker_program"])
            if not program.is_file():
                raise JobError(f"AlgorithmError: {program.name} is not in the code bundle {bundle}")

    def _download_channel(self, channel: dict[str, Any], hosts: list[Host]) -> None:
        source = channel["DataSource"]["S3DataSource"]
        uri = source["S3Uri"]
        bucket, prefix = objects.parse_uri(uri)
        found = [key for key in objects.keys(bucket, prefix) if not key.endswith("/")]
        if not found:
            raise JobError(
                f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data '
                f"source. Please ensure that the bucket exists in the selected region ({settings.REGION}), that "
                "objects exist under that S3 prefix, and that the role has s3:ListBucket permissions on the bucket."
            )
        base = prefix if prefix.endswith("/") or not prefix else prefix.rpartition("/")[0] + "/"
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        shared = hosts[0].channel(channel["ChannelName"])
        for host in hosts:
            folder = host.channel(channel["ChannelName"])
            mine = found[host.rank :: len(hosts)] if sharded else found
            if host.rank and not sharded:
                folder.symlink_to(shared)
                continue
            folder.mkdir(parents=True, exist_ok=True)
            for key in mine:
                if self.stop_requested.is_set():
                    return
                self._download_object(bucket, key, folder, key[len(base) :] if key.startswith(base) else Path(key).name)

    @staticmethod
    def _download_object(bucket: str, key: str, folder: Path, name: str) -> None:
        target = folder / name
        if ".." in target.parts:
            raise JobError(f"ClientError: Data download failed:the key leads out of its folder: {key}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(objects.read(bucket, key))

    def _train(self, hosts: list[Host]) -> tuple[list[int], bool]:
        """Runs every host's script. Gives the exit codes, and whether the time limit ended them."""
        limit = float(self.record["StoppingCondition"].get("MaxRuntimeInSeconds", 86400))
        deadline = time.monotonic() + limit
        self._processes = [Process(host, self.record, self._line) for host in hosts]
        timed_out = False
        while any(process.popen.poll() is None for process in self._processes):
            failed = any(process.popen.poll() not in (None, 0) for process in self._processes)
            timed_out = not self.stop_requested.is_set() and time.monotonic() >= deadline
            if failed or timed_out or self.stop_requested.is_set():
                if timed_out or self.stop_requested.is_set():
                    self.update("Stopping", TrainingJobStatus="Stopping")
                self._end_processes(settings.stop_grace_seconds() if not self.abandoned.is_set() else 0)
                break
            time.sleep(0.05)
        return [process.join() for process in self._processes], timed_out

    def _end_processes(self, grace: float) -> None:
        for process in self._processes:
            signal_group(process.popen.pid, signal.SIGTERM)
        until = time.monotonic() + grace
        while time.monotonic() < until and not self.abandoned.is_set():
            if all(process.popen.poll() is not None for process in self._processes):
                return
            time.sleep(0.05)
        for process in self._processes:
            signal_group(process.popen.pid, signal.SIGKILL)

    def _line(self, stream: str, line: str) -> None:
        """One line of a script's output: to CloudWatch Logs, and to the metrics the job's expressions find."""
        logs.append(LOG_GROUP, stream, [line])
        for name, expression in self._metrics:
            match = expression.search(line)
            if match:
                self._metric(name, match.group(1) if match.groups() else match.group(0))

    def _metric(self, name: str, text: str) -> None:
        try:
            value = float(text)
        except ValueError:
            return
        with self._metric_lock:
            final = [one for one in self.record.get("FinalMetricDataList", []) if one["MetricName"] != name]
            final.append({"MetricName": name, "Value": value, "Timestamp": now()})
            self.update(None, FinalMetricDataList=final)
        if self.on_metric is not None:
            self.on_metric(name, value)
        metrics.put(LOG_GROUP, name, value, "None", {"TrainingJobName": self.record["TrainingJobName"]})

    def _upload(self, hosts: list[Host], required: bool) -> None:
        """model.tar.gz and output.tar.gz of all hosts together, as AWS names them. A stopped job may have none."""
        base = f"{self.record['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.record['TrainingJobName']}/output"
        for part, name in (("model", "model.tar.gz"), ("output/data", "output.tar.gz")):
            merged = self.folder / "upload" / name.partition(".")[0]
            merged.mkdir(parents=True)
            for host in hosts:
                shutil.copytree(host.root / part, merged, dirs_exist_ok=True)
            if not any(merged.iterdir()) and not (required and part == "model"):
                continue
            archive = self.folder / name
            archives.pack(merged, archive)
            objects.write_uri(f"{base}/{name}", archive.read_bytes())
            if part == "model":
                self.update(None, ModelArtifacts={"S3ModelArtifacts": f"{base}/{name}"})
