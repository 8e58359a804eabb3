"""Take a stack away with everything its runs made: `python -m tools.destroy NAME [--yes]`, or `make destroy`.

First the teardown state machine (endpoint, scaling, configurations, models), then both buckets with every version in
them, then the stack, then a look at what is left. Works on AWS and on the embedded AWS. It may be interrupted at any
point and started again: it goes on with what is still there.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from types import FrameType
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from tools import local_stack, pipeline, remains
from tools.progress import Progress

# A stack in one of these states never came to have a teardown, or has lost it or its role: there is none to run.
HALF_THERE = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS")

# A stack on a data bucket that was there before (DataBucketName) has only the second: the other is not ours to empty.
BUCKETS = ("DataBucket", "ArtifactBucket")


class DestroyError(Exception):
    """It cannot go on; the message says why and what a person can do."""


@dataclass(frozen=True)
class Target:
    """The stack to be destroyed, as CloudFormation knows it. ``teardown`` is empty where there is none to run."""

    name: str
    region: str
    account: str
    teardown: str
    buckets: tuple[str, ...]


def find_target(name: str) -> Target | None:
    """The stack, or None where there is none. Raises DestroyError when it is not one of Kennel's."""
    session = boto3.Session()
    client = session.client("cloudformation")
    try:
        found = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    resources = _resources(client, name)
    return Target(
        name=name,
        region=client.meta.region_name,
        account=session.client("sts").get_caller_identity()["Account"],
        teardown=teardown_of(name, found["StackStatus"], resources),
        buckets=tuple(resources[bucket] for bucket in BUCKETS if bucket in resources),
    )


def teardown_of(name: str, status: str, resources: Mapping[str, str]) -> str:
    """The stack's teardown, empty where there is none to run. Raises DestroyError for what is not to be touched."""
    if status in HALF_THERE:
        return ""
    if status.endswith("_IN_PROGRESS"):
        raise DestroyError(f"stack {name} is {status}: wait for that to end, then destroy it")
    # Somebody else's buckets must not be emptied for a mistyped name.
    if not {"PipelineStateMachine", "ArtifactBucket"} <= resources.keys():
        raise DestroyError(f"stack {name} is not one of Kennel's: it has no pipeline, or no artifact bucket")
    if "TeardownStateMachine" not in resources:
        raise DestroyError(f"stack {name} is of a version without teardown: deploy it again, then destroy it")
    return resources["TeardownStateMachine"]


def _resources(client: Any, name: str) -> dict[str, str]:
    """Logical name -> physical name of what the stack still has."""
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for page in client.get_paginator("list_stack_resources").paginate(StackName=name)
        for one in page["StackResourceSummaries"]
        if one.get("PhysicalResourceId") and one["ResourceStatus"] != "DELETE_COMPLETE"
    }


def confirm(target: Target, ask: Callable[[str], str]) -> None:
    """Have the stack's name typed. Raises DestroyError unless it was."""
    print(
        f"Stack {target.name} (account {target.account}, {target.region}) is destroyed: its endpoint and models,\n"
        "every picture, report and log. Nothing of it can be brought back. These buckets are emptied:",
        *(target.buckets or ["none"]),
        sep="\n  ",
    )
    try:
        typed = ask("type the stack's name to go on: ")
    except EOFError:
        typed = ""
    if typed.strip() != target.name:
        raise DestroyError("that is not its name: nothing was touched (YES=1 goes on without asking)")


def destroy(target: Target, progress: Progress) -> None:
    """Tear down, empty, delete. Raises DestroyError at the first of them that does not succeed."""
    if target.teardown:
        _tear_down(target, progress)
    for bucket in target.buckets:
        step = f"empty {bucket}"
        with progress.step(step):
            empty(boto3.client("s3"), bucket, partial(_show_gone, progress, step))
    with progress.step("sam delete"):
        local_stack.sam("delete", "--no-prompts", "--stack-name", target.name, "--region", target.region)


def _show_gone(progress: Progress, step: str, count: int) -> None:
    progress.detail(step, f"{count} objects and versions deleted")


def _tear_down(target: Target, progress: Progress) -> None:
    outcome = pipeline.follow(pipeline.start(target.teardown, {"artifacts": True}), progress)
    if outcome.status != "SUCCEEDED":
        raise DestroyError(
            f"the teardown ended {outcome.status}: {outcome.error}: {outcome.cause}\n"
            "The stack and its buckets were not touched."
        )


def empty(s3: Any, bucket: str, gone: Callable[[int], None]) -> int:
    """Delete every version and every delete marker in the bucket; returns how many. A missing bucket has none."""
    count = 0
    # Always the first page: what was on it is deleted, and S3 lists as many at once as it deletes.
    while batch := _versions(s3, bucket):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        if failed := answer.get("Errors"):
            first = failed[0]
            raise DestroyError(
                f"{len(failed)} objects of {bucket} stay: {first['Key']}: {first.get('Message', first['Code'])}"
            )
        count += len(batch)
        gone(count)
    return count


def _versions(s3: Any, bucket: str) -> list[dict[str, str]]:
    try:
        page = s3.list_object_versions(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
        return []
    found = chain(page.get("Versions", []), page.get("DeleteMarkers", []))
    return [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]


def report(name: str, *, was_there: bool) -> int:
    """Look for what is left and say so; the exit status."""
    left = remains.find(name)
    if left:
        print(f"error: {len(left)} left of stack {name}:", *left, sep="\n  ", file=sys.stderr)
        if not left[0].startswith("stack "):
            print("Deploy a stack of that name again and destroy it: its teardown finds them.", file=sys.stderr)
        return 1
    if not was_there:
        print(f"There is no stack {name}, and nothing is left of one.")
        return 0
    print(f"Stack {name} is gone and nothing is left of it: no endpoint, model, configuration, bucket or log group.")
    print("Account-wide, so still there:", *remains.ACCOUNT_WIDE, sep="\n  ")
    return 0


def main(arguments: list[str] | None = None, ask: Callable[[str], str] = input) -> int:
    """Command line; exit status 0 when nothing is left, 1 when something is, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.destroy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stack", help="name of the deployed stack")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        target = find_target(options.stack)
        if target:
            if not options.yes:
                confirm(target, ask)
            with Progress(Console()) as progress:
                destroy(target, progress)
        return report(options.stack, was_there=target is not None)
    except (DestroyError, local_stack.LocalStackError, BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what is gone is gone; the same command goes on with the rest", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
