"""Start the pipeline state machine and follow it: `python -m tools.pipeline --stack NAME [--input FILE]`.

Works on AWS and on the embedded AWS. Ctrl-C stops the execution (and with it the job it started).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from rich.console import Console

from tools.job_log import JobLog
from tools.progress import Progress
from tools.stack import StackError, describe_stack

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """How an execution ended. ``cause`` is the state machine's own sentence about a failure, else empty."""

    status: str
    output: dict[str, Any]
    error: str
    cause: str
    seconds: float


def start(state_machine: str, run_input: dict[str, Any]) -> str:
    """Start an execution; returns its ARN."""
    client = boto3.client("stepfunctions")
    return str(client.start_execution(stateMachineArn=state_machine, input=json.dumps(run_input))["executionArn"])


def follow(execution: str, progress: Progress) -> Outcome:
    """Show every state of an execution as it comes, with the training job's metrics, until it has ended.

    An interrupt stops the execution before it goes up.
    """
    client = boto3.client("stepfunctions")
    began, watcher = time.monotonic(), _Watcher(client, execution, progress)
    try:
        while True:
            found = client.describe_execution(executionArn=execution)
            watcher.update()
            if found["status"] != "RUNNING":
                watcher.close(found["status"])
                return Outcome(
                    status=found["status"],
                    output=json.loads(found.get("output") or "{}"),
                    error=found.get("error", ""),
                    cause=found.get("cause", ""),
                    seconds=time.monotonic() - began,
                )
            time.sleep(POLL_SECONDS)
    except BaseException:
        with contextlib.suppress(ClientError):  # it may have ended in the meantime
            client.stop_execution(executionArn=execution, error="Interrupted", cause="its follower was interrupted")
        raise


# State -> the job it runs, as the plan names it.
JOBS = {"ExtractFeatures": "features", "TuneInOneJob": "tune", "Train": "job", "Evaluate": "evaluate"}


class _Watcher:
    """Turns new history events and new log lines into progress; a nested execution's states stand behind its own."""

    def __init__(self, client: Any, execution: str, progress: Progress, prefix: str = "") -> None:
        self._client, self._execution, self._progress, self._prefix = client, execution, progress, prefix
        self._seen = 0
        self._state = ""
        self._names: dict[str, str] = {}
        self._log: JobLog | None = None
        self._child: _Watcher | None = None

    def update(self) -> None:
        """Show what happened since the last call."""
        for event in self._new_events():
            if entered := event.get("stateEnteredEventDetails"):
                self._enter(entered["name"])
            elif submitted := event.get("taskSubmittedEventDetails"):
                self._follow_child(submitted)
            elif exited := event.get("stateExitedEventDetails"):
                self._leave(exited)
        self._look()

    def close(self, status: str) -> None:
        """End the state that was running when the execution ended."""
        if self._child:
            self._child.close(status)
        if self._state:
            self._progress.end(self._state, failed=status != "SUCCEEDED")

    def _enter(self, name: str) -> None:
        self._state = self._prefix + name
        self._progress.begin(self._state)
        self._log = JobLog(self._names[JOBS[name]]) if JOBS.get(name) in self._names else None

    def _leave(self, exited: dict[str, Any]) -> None:
        self._look()
        if self._child:
            self._child.close("SUCCEEDED")
        self._child = self._log = None
        self._progress.end(self._prefix + exited["name"])
        if exited["name"] == "ValidateRun":  # the plan is what the function answered; a refused run has none
            self._names = json.loads(exited["output"]).get("Payload", {}).get("names", {})

    def _look(self) -> None:
        """Show what the job or the nested execution has said; the newest metrics stay in view when it is done."""
        if self._child:
            self._child.update()
        lines = self._log.news() if self._log else []
        for line in lines:
            self._progress.detail(self._state, line)
        metrics = [line for line in lines if line.startswith(("epoch ", "trial "))]
        if metrics:
            self._progress.detail(self._state, metrics[-1])
        if self._state == "Tune":
            self._show_trials()

    def _show_trials(self) -> None:
        job = self._names["tune"]
        try:
            found = boto3.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
        except ClientError:  # it is only just being made
            return
        counters = found["TrainingJobStatusCounters"]
        best = found.get("BestTrainingJob", {}).get("FinalHyperParameterTuningJobObjectiveMetric", {})
        shown = f", best {best['Value']:.4g} {best['MetricName']}" if best else ""
        ended = sum(counters[kind] for kind in ("Completed", "Stopped", "NonRetryableError"))
        self._progress.detail("Tune", f"{ended} trials ended, {counters['InProgress']} running{shown}")

    def _follow_child(self, submitted: dict[str, Any]) -> None:
        if submitted["resourceType"] == "states":
            child = json.loads(submitted["output"])["ExecutionArn"]
            self._child = _Watcher(self._client, child, self._progress, f"{self._state}: ")

    def _new_events(self) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("get_execution_history").paginate(executionArn=self._execution)
        events = [event for page in pages for event in page["events"] if event["id"] > self._seen]
        if events:
            self._seen = events[-1]["id"]
        return events


class InputError(Exception):
    """The run's input cannot be read; the message says what it is."""


def read_input(path: Path | None) -> dict[str, Any]:
    """The input in a file; without one that of defaults. Raises InputError."""
    if path is None:
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no JSON file that can be read: {error}") from None
    if not isinstance(read, dict):
        raise InputError(f'{path} holds no JSON object such as {{"train": {{"epochs": 20}}}}')
    return read


def main(given: Sequence[str] | None = None) -> int:
    """Command line; exit status 0 when the run succeeded, 1 when it did not, 2 when none was started, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tools.pipeline", description=__doc__)
    parser.add_argument("--stack", default="kennel", help="name of the deployed stack (default: kennel)")
    parser.add_argument("--input", type=Path, help="JSON file with the run's input (default: every field's default)")
    arguments = parser.parse_args(given)
    try:
        run_input = read_input(arguments.input)
        stack = describe_stack(arguments.stack)
    except (InputError, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        with Progress(Console()) as progress:
            outcome = follow(start(stack.state_machines["pipeline"], run_input), progress)
    except KeyboardInterrupt:
        print("interrupted: the run was stopped", file=sys.stderr)
        return 130
    if outcome.status != "SUCCEEDED":
        print(f"error: the run ended {outcome.status}: {outcome.error}: {outcome.cause}", file=sys.stderr)
        return 1
    print(json.dumps(outcome.output, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
