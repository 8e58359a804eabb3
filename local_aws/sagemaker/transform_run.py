"""Runs one transform job in its own thread: the model's containers up, every object through them, answers to S3.

The containers are those of endpoints, on an event loop that lives as long as the job.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from local_aws import archives, logs, objects
from local_aws.httpclient import Answer, ConnectionLostError
from local_aws.iam import services
from local_aws.iam.callers import AccessDeniedError, acting
from local_aws.sagemaker.common import now
from local_aws.sagemaker.instance import FleetError, Instance, Variant
from local_aws.store import Record

logger = logging.getLogger("local_aws.transform")

LOG_GROUP = "/aws/sagemaker/TransformJobs"
MEGABYTE = 1024 * 1024
PAYLOAD_DEFAULT_MB = 6
POLL_SECONDS = 0.05
PARAMETERS_SECONDS = 2.0
_REASON_LIMIT = 1024


T = TypeVar("T")


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all of `work`, done together. When one fails the rest is cancelled, and over, before it raises."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TransformInstance(Instance):
    """A serving process of a transform job: the same container, another log."""

    @property
    def log_group(self) -> str:
        """The log group of all transform jobs."""
        return LOG_GROUP

    @property
    def log_stream(self) -> str:
        """The instance's log stream; `variant.endpoint` is the job's name."""
        return f"{self.variant.endpoint}/{self.identity}"


class TransformError(Exception):
    """The job cannot go on; the message is its FailureReason."""


class RecordError(Exception):
    """One object was not transformed; the message goes to the job's data log."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class TransformRun:
    """One transform job. `variant` brings the model to disk (blocking); `update(**members)` changes the record.

    `role` is the model's: it reads the input and writes the output.
    """

    def __init__(self, record: Record, variant: Callable[[], Variant], update: Callable[..., None], role: str) -> None:
        self.record = record
        self.role = role
        self.name: str = record["TransformJobName"]
        self.variant = variant
        self.update = update
        self.limit_mb = PAYLOAD_DEFAULT_MB
        self.stop_requested = threading.Event()
        self.abandoned = threading.Event()
        self.finished = threading.Event()

    def stop(self) -> None:
        """Asks the job to stop: what is answered by then stays in S3."""
        self.stop_requested.set()

    def abandon(self) -> None:
        """The emulator itself is ending: the containers go, the record stays as it is."""
        self.abandoned.set()
        self.stop_requested.set()

    def run(self) -> None:
        """The whole life of the job; every way it can end is in the record afterwards."""
        try:
            with acting(services.sagemaker(self.role, self.record["TransformJobArn"])):
                status, reason = asyncio.run(self._run())
        except AccessDeniedError as error:
            status, reason = "Failed", f"ClientError: {error.message}"
        except Exception as error:
            logger.exception("transform job %s: the emulator itself failed", self.name)
            status, reason = "Failed", f"InternalServerError: {error!r}"
        try:
            if not self.abandoned.is_set():
                why = {"FailureReason": reason[:_REASON_LIMIT]} if reason else {}
                self.update(TransformJobStatus=status, TransformEndTime=now(), **why)
        finally:
            self.finished.set()

    async def _run(self) -> tuple[str, str]:
        """Status and reason, once everything is done or the job was stopped."""
        work = asyncio.create_task(self._transform())
        while not work.done() and not self.stop_requested.is_set():
            await asyncio.wait([work], timeout=POLL_SECONDS)
        if not work.done():
            work.cancel()
        await asyncio.wait([work])
        if work.cancelled() or self.stop_requested.is_set():
            return "Stopped", ""
        error = work.exception()
        if isinstance(error, (TransformError, FleetError)):
            return "Failed", str(error)
        if isinstance(error, (objects.ObjectError, archives.ArchiveError)):
            return "Failed", f"ClientError: {error}"
        if error is not None:
            raise error
        return "Completed", ""

    async def _transform(self) -> None:
        bucket, prefix, names = self._inputs()
        count = self.record["TransformResources"]["InstanceCount"]
        variant = await asyncio.to_thread(self.variant)
        instances = [TransformInstance(variant) for _ in range(min(count, len(names)))]
        try:
            await _all(self._bring_up(one) for one in instances)
            self.update(TransformStartTime=now())
            # One queue a job: an instance takes the next object when it is free.
            waiting = iter(names)
            width, self.limit_mb = await self._parameters(instances[0])
            lanes = [self._lane(one, waiting, bucket, prefix) for one in instances for _ in range(width)]
            failed = {kind for kinds in await _all(lanes) for kind in kinds}
        finally:
            await asyncio.gather(*(one.stop(grace=1) for one in instances))
        if failed:
            # The container's fault outweighs the data's, as far as a reason can tell of both.
            kind = "AlgorithmError" if "AlgorithmError" in failed else "ClientError"
            raise TransformError(f"{kind}: See job logs for more information")

    def _inputs(self) -> tuple[str, str, list[str]]:
        """Bucket, prefix and names: what is read is prefix + name, and an answer is called by the name."""
        source = self.record["TransformInput"]["DataSource"]["S3DataSource"]
        uri = source["S3Uri"]
        if source["S3DataType"] == "ManifestFile":
            return self._manifest(uri)
        bucket, prefix = objects.parse_uri(uri)
        keys = [key for key in objects.keys(bucket, prefix) if not key.endswith("/")]
        if not keys:
            raise TransformError(
                f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data '
                "source."
            )
        base = prefix if prefix.endswith("/") or not prefix else prefix.rpartition("/")[0] + "/"
        return bucket, base, [key.removeprefix(base) for key in keys]

    @staticmethod
    def _manifest(uri: str) -> tuple[str, str, list[str]]:
        """The objects that a manifest lists: `[{"prefix": "s3://bucket/folder/"}, "name", ...]`."""
        try:
            head, *names = json.loads(objects.read_uri(uri))
            bucket, prefix = objects.parse_uri(head["prefix"])
        except (ValueError, TypeError, LookupError) as error:
            raise TransformError(f"ClientError: the manifest {uri} cannot be understood: {error}") from error
        if not names or not all(isinstance(name, str) for name in names):
            raise TransformError(f"ClientError: the manifest {uri} lists no objects, or not by their names")
        return bucket, prefix, names

    async def _parameters(self, instance: Instance) -> tuple[int, int]:
        """Requests at once to an instance and the largest object in MB: as the job says, else as its container does."""
        told: Any = {}
        try:
            answer = await instance.client.request("GET", "/execution-parameters", {}, b"", PARAMETERS_SECONDS)
            told = json.loads(answer.body) if answer.status == 200 else {}
        except (ConnectionLostError, TimeoutError, ValueError):
            pass  # a container need not have them
        told = told if isinstance(told, dict) else {}
        width = self.record.get("MaxConcurrentTransforms") or told.get("MaxConcurrentTransforms") or 1
        limit = self.record.get("MaxPayloadInMB", told.get("MaxPayloadInMB", PAYLOAD_DEFAULT_MB))
        return int(width), int(limit)

    @staticmethod
    async def _bring_up(instance: Instance) -> None:
        await instance.start()
        if not await instance.wait_healthy():
            said = f" The container's last words: {' | '.join(instance.last_lines)}" if instance.last_lines else ""
            raise TransformError(f"AlgorithmError: The container did not pass the ping health check (GET /ping).{said}")

    async def _lane(self, instance: Instance, waiting: Iterator[str], bucket: str, prefix: str) -> list[str]:
        """One request at a time to one instance until no object waits. Gives the kinds of the failures."""
        failed = []
        target = self.record["TransformOutput"]["S3OutputPath"].rstrip("/")
        for name in waiting:
            try:
                answer = await self._ask(instance, objects.read(bucket, f"{prefix}{name}"))
                await asyncio.to_thread(objects.write_uri, f"{target}/{name}.out", answer.body)
            except RecordError as error:
                failed.append(error.kind)
                if instance.variant.logs:
                    said = f"[sagemaker logs]: {bucket}/{prefix}{name}: {error}"
                    logs.append(LOG_GROUP, f"{instance.log_stream}/data-log", [said])
        return failed

    async def _ask(self, instance: Instance, body: bytes) -> Answer:
        """The container's answer to one object. Raises RecordError when there is no good one."""
        if self.limit_mb and len(body) > self.limit_mb * MEGABYTE:
            said = f"the object of {len(body)} bytes is larger than MaxPayloadInMB={self.limit_mb}"
            raise RecordError("ClientError", said)
        client = self.record.get("ModelClientConfig", {})
        problem = RecordError("AlgorithmError", "the container was not asked")
        for _ in range(1 + client.get("InvocationsMaxRetries", 3)):
            try:
                answer = await instance.client.request(
                    "POST", "/invocations", self._headers(), body, client.get("InvocationsTimeoutInSeconds", 600)
                )
            except ConnectionLostError:
                problem = RecordError("AlgorithmError", "the container closed the connection")
                if not instance.alive:
                    break
            except TimeoutError:
                problem = RecordError("AlgorithmError", "Model server did not respond to /invocations in time")
            else:
                if answer.status < 300:
                    return answer
                kind = "ClientError" if answer.status < 500 else "AlgorithmError"
                message = answer.body[:500].decode(errors="replace")
                problem = RecordError(kind, f"{answer.status} Message: {message}")
                if answer.status < 500:
                    break  # the same object would be refused again
        raise problem

    def _headers(self) -> dict[str, str]:
        kinds = {
            "Content-Type": self.record["TransformInput"].get("ContentType"),
            "Accept": self.record["TransformOutput"].get("Accept"),
        }
        return {name: value for name, value in kinds.items() if value}
