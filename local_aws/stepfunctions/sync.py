"""What `.sync` waits for: jobs, builds and nested executions, and how they are stopped with the state that waits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.services import stepfunctions as sfn

from local_aws.dispatch import COVERAGE, JsonService
from local_aws.stepfunctions.integrations import Resource, call_integration
from local_aws.stepfunctions.running import POLL_SECONDS, Limits
from local_aws.store import Record

SLOWEST_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Waited:
    """Something started that ends: how to look at it, to tell of it and to stop it."""

    status: Callable[[Record], str]  # by the request that describes it
    running: frozenset[str]
    succeeded: str
    named: Callable[[Record, Record], Record]  # (arguments, answer of the start) -> the request that describes it
    describe: str
    stop: str
    stop_request: Callable[[Record], Record] = lambda request: request
    told: Callable[[Record, str], Record] = lambda answer, pattern: answer


def wait(waited: Waited, resource: Resource, request: Record, role: str, limits: Limits) -> Record:
    """Waits for the end; gives the description, or fails with it as Cause. Ended itself, it stops what it waits for."""
    poll = POLL_SECONDS
    try:
        while waited.status(request) in waited.running:
            limits.pause(poll)
            poll = min(poll * 1.2, SLOWEST_POLL_SECONDS)
    except BaseException:
        with contextlib.suppress(sfn._ExecutionError):
            call_integration(resource.calling(waited.stop), waited.stop_request(request), role)
        raise
    described = call_integration(resource.calling(waited.describe), request, role)
    told = waited.told(described, resource.pattern)
    if waited.status(request) != waited.succeeded:
        raise sfn._ExecutionError("States.TaskFailed", json.dumps(told))
    return told


def _sagemaker(service: JsonService, kind: str) -> Waited:
    def status(request: Record) -> str:
        # Straight from the record: looking must not cost a validated request each time.
        described: Any = service.operations[f"Describe{kind}"](request)
        return str(described[f"{kind}Status"])

    return Waited(
        status=status,
        running=frozenset({"InProgress", "Stopping"}),
        succeeded="Completed",
        named=lambda arguments, _: {f"{kind}Name": arguments[f"{kind}Name"]},
        describe=f"describe{kind}",
        stop=f"stop{kind}",
    )


def _build_status(request: Record) -> str:
    return str(app._get_module("codebuild")._builds[request["Ids"][0]]["buildStatus"])


BUILD = Waited(
    status=_build_status,
    running=frozenset({"IN_PROGRESS"}),
    succeeded="SUCCEEDED",
    named=lambda _, answer: {"Ids": [answer["Build"]["Id"]]},
    describe="batchGetBuilds",
    stop="stopBuild",
    stop_request=lambda request: {"Id": request["Ids"][0]},
    told=lambda answer, _: {"Build": answer["Builds"][0]},
)


def _told_of_execution(answer: Record, pattern: str) -> Record:
    """DescribeExecution's answer; `.sync:2` parses the input and output in it."""
    told = {name: value for name, value in answer.items() if value is not None}
    if "Output" not in told:
        told.pop("OutputDetails", None)
    if pattern == ".sync:2":
        told |= {name: json.loads(told[name]) for name in ("Input", "Output") if name in told}
    return told


EXECUTION = Waited(
    status=lambda request: str(sfn._executions[request["ExecutionArn"]]["status"]),
    running=frozenset({"RUNNING"}),
    succeeded="SUCCEEDED",
    named=lambda _, answer: {"ExecutionArn": answer["ExecutionArn"]},
    describe="describeExecution",
    stop="stopExecution",
    told=_told_of_execution,
)


class Synchronous:
    """The integrations that have `.sync`, by service and action."""

    def __init__(self, sagemaker: JsonService) -> None:
        kinds = ("TrainingJob", "HyperParameterTuningJob", "TransformJob", "ProcessingJob")
        self.kinds: Mapping[tuple[str, str], Waited] = {
            **{("sagemaker", f"create{kind}"): _sagemaker(sagemaker, kind) for kind in kinds},
            ("codebuild", "startBuild"): BUILD,
            ("states", "startExecution"): EXECUTION,
        }

    def of(self, resource: Resource) -> Waited:
        """What `resource` waits for. Raises sfn._ExecutionError when it has no `.sync`."""
        kind = None if resource.is_sdk else self.kinds.get((resource.service, resource.action))
        if kind is None or (resource.pattern == ".sync:2" and kind is not EXECUTION):
            text = f"{resource.arn}{resource.pattern} is not there in the local AWS: see {COVERAGE}"
            raise sfn._ExecutionError("States.Runtime", text)
        return kind
