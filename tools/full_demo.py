"""The whole pipeline on one machine: `make demo PIPELINE=full`.

Tunes, trains in all three ways (one instance, two, EC2), judges, registers, deploys and updates, scales out and in
under load, tears down, and says when what happened. The last run's report is left in .local/report.html.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from tools import pipeline, remains
from tools.load import Load, Tally
from tools.progress import Progress
from tools.stack import Stack

# Minutes of metrics and cooldowns become seconds, as the local AWS documents (local_aws/COVERAGE.md): what is computed
# takes as long as it takes.
TIME_FACTOR = "30"
RATE = 10.0
_SCALING: dict[str, Any] = {
    "endpoint": {
        "minimum": 1,
        "maximum": 2,
        "target_invocations_per_minute": 400,  # below the load's 600, so that two instances are needed
        "scale_in_cooldown_seconds": 60,
        "scale_out_cooldown_seconds": 60,
        "rollout_wait_seconds": 60,
    }
}
RUNS: dict[str, dict[str, Any]] = {
    "tune and train on one instance": {
        "run": "tuned",
        "tune": {"strategy": "bayesian", "trials": 8, "parallel": 2},
        "train": {"mode": "single"},
    },
    "train on two instances": {"run": "two-instances", "train": {"mode": "multi", "instances": 2}},
    "train on EC2": {"run": "ec2", "train": {"mode": "ec2"}},
}
SCALING_SECONDS = 120.0


class FullDemoError(Exception):
    """A part failed; the message holds what a person needs to go on."""


@dataclass
class Timeline:
    """What took how long, in the order it happened."""

    began: float = field(default_factory=time.monotonic)
    parts: list[tuple[str, float, float]] = field(default_factory=list)  # name, start, seconds

    @contextmanager
    def part(self, name: str) -> Any:
        """Times a block."""
        start = time.monotonic()
        yield
        self.parts.append((name, start - self.began, time.monotonic() - start))

    def table(self, width: int) -> Table:
        """A row a part, with a bar where it lies in the whole; `width` characters, however short the bars become."""
        whole = max(start + seconds for _, start, seconds in self.parts)
        names = max(len(name) for name, _, _ in self.parts)
        bars = max(8, width - names - len("12345 s  +12345 s") - 3 * 2)
        table = Table.grid(padding=(0, 2))
        for _ in range(4):
            table.add_column(no_wrap=True)
        for name, start, seconds in self.parts:
            before = min(bars - 1, int(start / whole * bars))
            length = min(bars - before, max(1, round(seconds / whole * bars)))
            bar = f"[green]{' ' * before}{'█' * length}[/green]"
            table.add_row(name, f"{start:5.0f} s", f"+{seconds:5.0f} s", bar)
        return table


def run(console: Console, stack: Stack, pictures: list[Path], timeline: Timeline, report: Path) -> None:
    """Everything from the first run to the proof that nothing is left. Raises FullDemoError."""
    with Progress(console) as progress:
        for name, run_input in RUNS.items():
            with timeline.part(name):
                outcome = _run(stack, run_input, progress, name)
        with progress.step("save the report"):
            save_report(outcome.output["report"], report)
        progress.chapter("scale out and in under load")
        with timeline.part("scale out and in under load"):
            tally = _scale(stack, pictures, progress)
        progress.chapter("tear down")
        with timeline.part("tear down"):
            torn = pipeline.follow(pipeline.start(stack.state_machines["teardown"], {}), progress)
    if torn.status != "SUCCEEDED":
        raise FullDemoError(f"the teardown ended {torn.status}: {torn.error}: {torn.cause}")
    left = [
        line
        for line in remains.find(stack.name)
        if not line.startswith(("stack ", "bucket ", "log group ", "model package group "))
    ]
    if left:
        raise FullDemoError("the teardown left " + ", ".join(left))
    _say(console, timeline, tally, torn, report)


def _run(stack: Stack, run_input: dict[str, Any], progress: Progress, name: str) -> pipeline.Outcome:
    progress.chapter(name)
    outcome = pipeline.follow(pipeline.start(stack.state_machines["pipeline"], {**_SCALING, **run_input}), progress)
    if outcome.status != "SUCCEEDED":
        raise FullDemoError(f"the run '{name}' ended {outcome.status}: {outcome.error}: {outcome.cause}")
    return outcome


def save_report(uri: str, path: Path) -> None:
    """Fetch the run's report (s3://bucket/key) to a file."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    boto3.client("s3").download_file(bucket, key, str(path))


def _scale(stack: Stack, pictures: list[Path], progress: Progress) -> Tally:
    """Two instances under load, one again without it."""
    with progress.step("scale out and in"):
        with Load(stack, pictures, RATE) as load:
            _wait_for(stack, lambda count: count >= 2, "a second instance", progress)
        _wait_for(stack, lambda count: count == 1, "one instance again", progress)
    if load.tally.failed:
        raise FullDemoError(f"{load.tally.failed} of {load.tally.sent} requests failed: {load.tally.statuses}")
    return load.tally


def _wait_for(stack: Stack, reached: Callable[[int], bool], what: str, progress: Progress) -> None:
    client, deadline = boto3.client("sagemaker"), time.monotonic() + SCALING_SECONDS
    while True:
        found = client.describe_endpoint(EndpointName=stack.endpoint_name)
        count = found["ProductionVariants"][0]["CurrentInstanceCount"]
        progress.detail("scale out and in", f"{counted(count, 'instances')}, {found['EndpointStatus']}")
        if reached(count) and found["EndpointStatus"] == "InService":
            return
        if time.monotonic() > deadline:
            raise FullDemoError(f"{what} did not come within {SCALING_SECONDS:.0f} s")
        time.sleep(0.5)


def counted(count: int, things: str) -> str:
    """``1 model``, ``3 models``."""
    return f"{count} {things.removesuffix('s') if count == 1 else things}"


def _say(console: Console, timeline: Timeline, tally: Tally, torn: pipeline.Outcome, report: Path) -> None:
    removed = [counted(count, what.replace("_", " ")) for what, count in torn.output["removed"].items() if count]
    console.print()
    console.print(timeline.table(console.width))
    console.print(
        f"\nWhile it scaled: {tally.sent} requests at {RATE:g} a second, {tally.failed} failed.\n"
        f"Torn down: {', '.join(removed)}; nothing is left but the stack itself.",
        highlight=False,
    )
    console.print(f"The last run's report: {os.path.relpath(report)}", highlight=False, soft_wrap=True)
