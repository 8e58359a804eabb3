"""Start the pipeline state machine and follow it: `python -m tools.pipeline --stack NAME [--input FILE]`.

Works on AWS and on the embedded AWS. Ctrl-C stops the execution (and with it the job it started).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from rich.console import Console

from tools.progress import Progress
from tools.stack import StackError, describe_stack

POLL_SECONDS = 0.5
METRIC_LINE = re.compile(r"metric (?P<name>\S+)=(?P<value>\S+) epoch=(?P<epoch>\d+)")
TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"


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


class _Watcher:
    """Turns new history events and new log lines into progress."""

    def __init__(self, client: Any, execution: str, progress: Progress) -> None:
        self._client, self._execution, self._progress = client, execution, progress
        self._seen = 0
        self._state = ""
        self._job = ""
        self._log_token: str | None = None
        self._logs = boto3.client("logs")

    def update(self) -> None:
        """Show what happened since the last call."""
        for event in self._new_events():
            if entered := event.get("stateEnteredEventDetails"):
                self._enter(entered["name"])
            elif exited := event.get("stateExitedEventDetails"):
                if exited["name"] == "Train":
                    self._show_log()
                self._progress.end(exited["name"])
                self._remember_job(exited)
        if self._state == "Train":
            self._show_log()

    def close(self, status: str) -> None:
        """End the state that was running when the execution ended."""
        if self._state:
            self._progress.end(self._state, failed=status != "SUCCEEDED")

    def _enter(self, name: str) -> None:
        self._state = name
        self._progress.begin(name)

    def _show_log(self) -> None:
        """Show what the job has said since the last look; the newest metrics stay in view when it is done."""
        lines = one_line_an_epoch(self._new_log_lines()) if self._job else []
        for line in lines:
            self._progress.detail("Train", line)
        metrics = [line for line in lines if line.startswith("epoch ")]
        if metrics:
            self._progress.detail("Train", metrics[-1])

    def _new_events(self) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("get_execution_history").paginate(executionArn=self._execution)
        events = [event for page in pages for event in page["events"] if event["id"] > self._seen]
        if events:
            self._seen = events[-1]["id"]
        return events

    def _remember_job(self, exited: dict[str, Any]) -> None:
        """The plan, which names the job, is what the function behind ValidateRun answered; a refused run has none."""
        if exited["name"] == "ValidateRun":
            self._job = json.loads(exited["output"]).get("Payload", {}).get("names", {}).get("job", "")

    def _new_log_lines(self) -> list[str]:
        """Metric and progress lines the job printed since the last call; none while there is no log yet."""
        try:
            streams = self._logs.describe_log_streams(
                logGroupName=TRAINING_LOG_GROUP, logStreamNamePrefix=f"{self._job}/"
            )["logStreams"]
            if not streams:
                return []
            position = {"nextToken": self._log_token} if self._log_token else {"startFromHead": True}
            found = self._logs.get_log_events(
                logGroupName=TRAINING_LOG_GROUP, logStreamName=streams[0]["logStreamName"], **position
            )
        except ClientError:
            return []
        self._log_token = found["nextForwardToken"]
        return [event["message"].rstrip() for event in found["events"] if event["message"].strip()]


def one_line_an_epoch(lines: list[str]) -> list[str]:
    """Join an epoch's metric lines, ``epoch 3: validation:accuracy 0.95, train:loss 0.71``; others stay as they are.

    Accuracies come first: on a narrow terminal the rest of the line is cut.
    """
    joined: list[str] = []
    for line in lines:
        metric = METRIC_LINE.fullmatch(line)
        if not metric:
            joined.append(line)
            continue
        name, text = metric["name"], f"{metric['name']} {float(metric['value']):.4g}"
        head, _, rest = joined[-1].partition(": ") if joined else ("", "", "")
        if head != f"epoch {metric['epoch']}" or f"{name} " in rest:
            joined.append(f"epoch {metric['epoch']}: {text}")
        else:
            first, last = (text, rest) if name.endswith("accuracy") else (rest, text)
            joined[-1] = f"{head}: {first}, {last}"
    return joined


def main() -> int:
    """Command line; exit status 0 when the run succeeded."""
    parser = argparse.ArgumentParser(prog="python -m tools.pipeline", description=__doc__)
    parser.add_argument("--stack", default="kennel", help="name of the deployed stack (default: kennel)")
    parser.add_argument("--input", type=Path, help="JSON file with the run's input (default: every field's default)")
    arguments = parser.parse_args()
    console = Console()
    try:
        stack = describe_stack(arguments.stack)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    run_input = json.loads(arguments.input.read_text()) if arguments.input else {}
    with Progress(console) as progress:
        outcome = follow(start(stack.state_machines["pipeline"], run_input), progress)
    if outcome.status != "SUCCEEDED":
        print(f"error: the run ended {outcome.status}: {outcome.error}: {outcome.cause}", file=sys.stderr)
        return 1
    print(json.dumps(outcome.output, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
