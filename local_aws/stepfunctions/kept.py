"""Executions on disk, a file each: written when one begins, and when it has ended, before anybody can be told of it.

MiniStack keeps all of them, with their histories, in memory and in one file, which it saves as a whole: what was
acknowledged since the last save is lost with a SIGKILL, and each save takes longer than the one before. Here the
history of an execution that has ended lies on disk alone, and the last KEPT_MAX of them are kept.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import overload

from ministack.services import stepfunctions as sfn

from local_aws.errors import Response
from local_aws.store import Record

KEPT_MAX = 1000
ENDINGS = {"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"}
# What MiniStack saves of the service beside the executions.
_SAVED = ("state_machines", "tags", "activities", "state_machine_versions", "state_machine_aliases", "map_runs")

_folder: Path | None = None
_lock = threading.Lock()


class History:
    """The events of an execution that has ended, read from its file whenever somebody asks."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        return iter(_read(self.path)["events"])

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        found: Record | list[Record] = _read(self.path)["events"][index]
        return found


def _path(arn: str) -> Path:
    assert _folder is not None
    return _folder / f"{hashlib.sha256(arn.encode()).hexdigest()[:32]}.json.gz"


def _read(path: Path) -> Record:
    with gzip.open(path) as file:
        found: Record = json.load(file)
    return found


def _write(execution: Record) -> None:
    path = _path(execution["executionArn"])
    fresh = path.with_suffix(".tmp")
    fresh.write_bytes(gzip.compress(json.dumps(execution).encode(), compresslevel=1))
    fresh.replace(path)


def begin(execution: Record) -> None:
    """The execution has begun: that is on disk from now on."""
    with _lock:
        if _folder is not None and execution["status"] == "RUNNING":
            _write({**execution, "events": execution["events"][:1]})


def end(execution: Record) -> None:
    """The execution has ended: its history is on disk from now on, and only there."""
    with _lock:
        if _folder is not None:
            _write(execution)
            execution["events"] = History(_path(execution["executionArn"]), len(execution["events"]))
            _forget_oldest()


def _forget_oldest() -> None:
    everything = sfn._executions._data
    if len(everything) <= KEPT_MAX:
        return
    ended = [key for key, one in list(everything.items()) if one["status"] != "RUNNING"]
    for key in ended[: len(everything) - KEPT_MAX]:
        del everything[key]
        _path(key[2]).unlink(missing_ok=True)


def started(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """StartExecution and its like, whose execution is on disk before the answer."""

    def wrapped(data: Record) -> Response:
        answer = original(data)
        if answer[0] == 200:
            execution = sfn._executions.get(json.loads(answer[2]).get("executionArn"))
            if execution is not None:
                begin(execution)
        return answer

    return wrapped


def machine_deleted(original: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """DeleteStateMachine, with which its executions go."""

    def wrapped(data: Record) -> Response:
        before = set(sfn._executions)
        answer = original(data)
        if _folder is not None:
            for arn in before - set(sfn._executions):
                _path(arn).unlink(missing_ok=True)
        return answer

    return wrapped


def state() -> Record:
    """What MiniStack saves of the service, without the executions."""
    return {name: copy.deepcopy(getattr(sfn, f"_{name}")) for name in _SAVED}


def restore(folder: Path) -> None:
    """After MiniStack has loaded its machines: brings the executions back. Those that ran have failed, as it says."""
    global _folder  # noqa: PLW0603 - one emulator in a process
    folder.mkdir(parents=True, exist_ok=True)
    _folder = folder
    found: Record = {}
    for path in folder.glob("*.json.gz"):
        record = _read(path)
        if record["stateMachineArn"] in sfn._state_machines:
            found[record["executionArn"]] = record
        else:
            path.unlink()
    running = [one for one in found.values() if one["status"] == "RUNNING"]
    for record in sorted(found.values(), key=lambda one: str(one["startDate"])):
        if record["status"] != "RUNNING":
            record["events"] = History(_path(record["executionArn"]), len(record["events"]))
        if record["status"] == "FAILED":
            record["output"] = None
        sfn._executions[record["executionArn"]] = record
    for record in running:
        sfn._fail_execution(record, "States.ServiceRestart", "Execution was running when service restarted")
