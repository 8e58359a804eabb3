"""Runs one transform job in its own thread: the model's containers up, every object through them, answers to S3.

The containers are those of endpoints, on an event loop that lives as long as the job.
"""

from __future__ import annotations

import asyncio
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
        keys, prefix = self._inputs()
        count = self.record["TransformResources"]["InstanceCount"]
        variant = await asyncio.to_thread(self.variant)
        instances = [TransformInstance(variant) for _ in range(min(count, len(keys)))]
        try:
            await _all(self._bring_up(one) for one in instances)
            self.update(TransformStartTime=now())
            # One queue a job: an instance takes the next object when it is free.
            waiting = iter(keys)
            width = max(1, self.record.get("MaxConcurrentTransforms", 1))
            lanes = [self._lane(one, waiting, prefix) for one in instances for _ in range(width)]
            failed = {kind for kinds in await _all(lanes) for kind in kinds}
        finally:
            await asyncio.gather(*(one.stop(grace=1) for one in instances))
        if failed:
            # The container's fault outweighs the data's, as far as a reason can tell of both.
            kind = "AlgorithmError" if "AlgorithmError" in failed else "ClientError"
            raise TransformError(f"{kind}: See job logs for more information")

    def _inputs(self) -> tuple[list[str], str]:
        """The keys under the S3 prefix, and what of them the names of the answers leave out."""
        uri = self.record["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        bucket, prefix = objects.parse_uri(uri)
        keys = [key for key in objects.keys(bucket, prefix) if not key.endswith("/")]
        if not keys:
            raise TransformError(
                f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data '
                "source."
            )
        base = prefix if prefix.endswith("/") or not prefix else prefix.rpartition("/")[0] + "/"
        return keys, base

    @staticmethod
    async def _bring_up(instance: Instance) -> None:
        await instance.start()
        if not await instance.wait_healthy():
            said = f" The container's last words: {' | '.join(instance.last_lines)}" if instance.last_lines else ""
            raise TransformError(f"AlgorithmError: The container did not pass the ping health check (GET /ping).{said}")

    async def _lane(self, instance: Instance, waiting: Iterator[str], prefix: str) -> list[str]:
        """One request at a time to one instance until no object waits. Gives the kinds of the failures."""
        failed = []
        bucket, _ = objects.parse_uri(self.record["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
        target = self.record["TransformOutput"]["S3OutputPath"].rstrip("/")
        for key in waiting:
            try:
                answer = await self._ask(instance, objects.read(bucket, key))
                await asyncio.to_thread(objects.write_uri, f"{target}/{key.removeprefix(prefix)}.out", answer.body)
            except RecordError as error:
                failed.append(error.kind)
                logs.append(
                    LOG_GROUP, f"{instance.log_stream}/data-log", [f"[sagemaker logs]: {bucket}/{key}: {error}"]
                )
        return failed

    async def _ask(self, instance: Instance, body: bytes) -> Answer:
        """The container's answer to one object. Raises RecordError when there is no good one."""
        limit = self.record.get("MaxPayloadInMB", PAYLOAD_DEFAULT_MB)
        if limit and len(body) > limit * MEGABYTE:
            raise RecordError("ClientError", f"the object of {len(body)} bytes is larger than MaxPayloadInMB={limit}")
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
