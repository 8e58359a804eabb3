"""What training, tuning and transform jobs share: a table of records, a thread for each that runs, its stop and end."""

from __future__ import annotations

import contextvars
import threading
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from local_aws.errors import ApiError, validation
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.store import Record, Store

ENDED = ("Completed", "Failed", "Stopped")


class Run(Protocol):
    """One job while it runs. `run` returns when it has ended and its record says how; the rest may come at any time."""

    finished: threading.Event

    def run(self) -> None:
        """The whole life of the job."""

    def stop(self) -> None:
        """Asks the job to stop."""

    def abandon(self) -> None:
        """The emulator is ending: end at once and leave the record as it is."""


R = TypeVar("R", bound=Run)


class JobTable(ABC, Generic[R]):
    """The jobs of one kind; those that run have a thread each."""

    kind: ClassVar[str]  # as in TrainingJobName, TrainingJobStatus, TrainingJobArn
    noun: ClassVar[str]  # as in "training job", for messages
    table: ClassVar[str]
    end_member: ClassVar[str]

    def __init__(self, store: Store, tags: Tags) -> None:
        self.store = store
        self.tags = tags
        self.runs: dict[str, R] = {}

    # What differs from kind to kind

    def not_found(self, name: str) -> ApiError:
        """The error for a name that is not there."""
        return validation("Requested resource not found.")

    @abstractmethod
    def in_use(self, name: str, job_arn: str) -> str:
        """The message for a name that is taken."""

    def update(self, record: Record, **members: Any) -> None:
        """Changes a job's record."""
        with self.store.change():
            record.update(members)
            record["LastModifiedTime"] = now()
            self.store.table(self.table).changed.append(record[f"{self.kind}Name"])

    def set_status(self, record: Record, status: str, **members: Any) -> None:
        """Changes a job's status, and `members`."""
        self.update(record, **{f"{self.kind}Status": status}, **members)

    # What does not

    def get(self, name: str) -> Record:
        """The job's record. Raises what AWS does for an unknown name."""
        record = self.store.table(self.table).get(name)
        if record is None:
            raise self.not_found(name)
        return record

    def add(self, request: dict[str, Any], **members: Any) -> tuple[Record, list[dict[str, str]]]:
        """A new job's record, InProgress, and its tags. Raises ResourceInUse."""
        name = request[f"{self.kind}Name"]
        job_arn = arn("".join(f"-{one.lower()}" if one.isupper() else one for one in self.kind)[1:], name)
        record: Record = {key: value for key, value in request.items() if key != "Tags"}
        record |= {
            f"{self.kind}Arn": job_arn,
            f"{self.kind}Status": "InProgress",
            "CreationTime": now(),
            "LastModifiedTime": now(),
            **members,
        }
        with self.store.change():
            if name in self.store.table(self.table):
                raise ApiError("ResourceInUse", self.in_use(name, job_arn))
            self.store.table(self.table)[name] = record
            return record, self.tags.put(job_arn, request.get("Tags", []))

    def start(self, name: str, run: R) -> None:
        """Runs the job in a thread of its own."""
        self.runs[name] = run
        # The thread acts for the caller's account and region, which MiniStack keeps in context variables.
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._run, name, run), name=f"{self.table}-{name}", daemon=True
        ).start()

    def _run(self, name: str, run: R) -> None:
        try:
            run.run()
        finally:
            self.runs.pop(name, None)

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Describe: the record."""
        return dict(self.get(request[f"{self.kind}Name"]))

    def summaries(
        self, request: dict[str, Any], members: tuple[str, ...], order: str
    ) -> tuple[list[tuple[Record, Record]], dict[str, str]]:
        """One page of a List operation: records with their chosen members, and the token of the next page."""
        records = list(self.store.table(self.table).values())
        found, more = page(records, request, f"{self.kind}Name", f"{self.kind}Status", order)
        return [(one, chosen(one, members)) for one in found], more

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Stop: answers at once, the job is Stopping until its processes have gone."""
        name = request[f"{self.kind}Name"]
        record = self.get(name)
        # One look and change: a job that ended in between would be Stopping for ever.
        with self.store.change():
            status = record[f"{self.kind}Status"]
            if status in ENDED:
                raise validation(f"The request was rejected because the {self.noun} is in status {status}.")
            run = self.runs.get(name)
            if run is not None:
                self.set_status(record, "Stopping")
                run.stop()
        return {}

    def fail_interrupted(self) -> None:
        """At start: a job that was running when the emulator ended has failed."""
        for record in self.store.table(self.table).values():
            if record[f"{self.kind}Status"] not in ENDED:
                reason = f"InternalServerError: the local AWS was stopped while the {self.noun} was running."
                self.set_status(record, "Failed", FailureReason=reason, **{self.end_member: now()})

    def abandon(self) -> None:
        """The emulator is ending: ends every running job's processes and waits for the threads."""
        running = list(self.runs.values())
        for run in running:
            run.abandon()
        for run in running:
            run.finished.wait(timeout=5)
