"""Three stacks at once on one embedded AWS, each with a full run: none touches another's things.

All three run at the same time, each with a search and one way of training; then one is destroyed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console

from benchmarks.claims import ROOT, claim, record
from benchmarks.parts.emulator import watched
from tools import ask, demo, local_stack, remains
from tools.progress import Progress
from tools.stack import Stack, describe_stack
from tools.upload import upload

STACKS = {"kennel-a": "single", "kennel-b": "multi", "kennel-c": "ec2"}
PICTURES = 5
Things = dict[str, str]  # ARN or id of a thing -> its kennel:stack tag, empty where it has none


def main() -> int:
    """Measure and record."""
    with watched() as (scratch, _, leavings), Progress(Console()) as progress:
        stacks, folder = _deploy(progress, scratch)
        pictures = demo.test_pictures(folder)[:PICTURES]
        with progress.step("three runs at once"):
            began = time.monotonic()
            ended = _run_all(scratch)
            seconds = time.monotonic() - began
        own = {name: _own_answers(stack, pictures) for name, stack in stacks.items()}
        before = things()
        first, *others = stacks
        with progress.step(f"destroy {first}"):
            destroyed = subprocess.run(
                [sys.executable, "-m", "tools.destroy", first, "--yes"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        after = things()
        serving = sum(_own_answers(stacks[name], pictures) for name in others)
        left_of_it = remains.find(first)
    gone = {thing for thing, stack in before.items() if stack == first}
    touched = [thing for thing, stack in before.items() if stack != first and after.get(thing) != stack]
    succeeded = sum(one["status"] == 0 for one in ended.values())
    strange = [thing for thing, stack in before.items() if stack not in STACKS or stack not in thing]
    claims = [
        claim("full runs at the same time, on three stacks, that succeed", ">=", 3, succeeded, "runs"),
        claim("stacks that answer with their own model", ">=", 3, sum(own.values()), "stacks"),
        claim("things of the runs without their stack's name and tag", "<=", 0, len(strange), f"of {len(before)}"),
        claim("things of the other stacks that destroying one touched", "<=", 0, len(touched), "things"),
        claim("things of the destroyed stack that are left", "<=", 0, len(left_of_it), "things"),
        claim("other stacks that still answer", ">=", 2, serving, "stacks"),
        claim("processes, files and ports left at the end", "<=", 0, len(leavings), "of them"),
    ]
    details = {
        "seconds": round(seconds, 1),
        "runs": ended,
        "things": {name: sorted(thing for thing, stack in before.items() if stack == name) for name in STACKS},
        "of_the_destroyed_stack": {"before": len(gone), "after": sum(thing in after for thing in gone)},
        "strange": strange,
        "touched": touched,
        "left_of_the_destroyed_stack": left_of_it,
        "destroy": (destroyed.stdout + destroyed.stderr)[-1500:] if destroyed.returncode else "succeeded",
        "left": asdict(leavings),
    }
    return record("full_pipeline_stacks", claims, details)


def _deploy(progress: Progress, scratch: Path) -> tuple[dict[str, Stack], Path]:
    """The three stacks, and the folder with the pictures that are in each one's bucket."""
    with progress.step("start embedded AWS"):
        local_stack.start(scratch / "aws")
    with progress.step("draw pictures"):
        folder = scratch / "dogs"
        local_stack.run([sys.executable, "-m", "tools.draw_dogs", str(folder)], "drawing the pictures")
    with progress.step("sam build"):
        local_stack.sam("build")
    stacks = {}
    for name in STACKS:
        with progress.step(f"deploy {name}"):
            local_stack.sam("deploy", "--config-env", "local", "--stack-name", name, "--s3-prefix", name)
            stacks[name] = describe_stack(name)
            upload(boto3.client("s3"), folder, stacks[name].data_bucket, demo.DATA_PREFIX, lambda done, total: None)
    return stacks, folder


def _run_all(scratch: Path) -> dict[str, dict[str, Any]]:
    """A run on each stack at the same time, each followed by a process of its own, as three people would."""
    started: dict[str, subprocess.Popen[str]] = {}
    for name, mode in STACKS.items():
        asked = scratch / f"{name}.json"
        tune = {"strategy": "bayesian", "trials": 3, "parallel": 2}
        asked.write_text(json.dumps({"run": f"of-{name}", "tune": tune, "train": {"mode": mode}}))
        command = [sys.executable, "-m", "tools.pipeline", "--stack", name, "--input", str(asked)]
        started[name] = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = {name: one.communicate()[0] for name, one in started.items()}
    return {
        name: {
            "mode": STACKS[name],
            "status": one.returncode,
            **({"said": said[name][-1500:]} if one.returncode else {}),
        }
        for name, one in started.items()
    }


def _own_answers(stack: Stack, pictures: list[Path]) -> bool:
    answers = ask.ask(stack, pictures)
    return all(one.status == 200 and one.body["model"].startswith(f"of-{stack.name}-") for one in answers)


def things() -> Things:
    """Everything that runs make, of whatever stack: by ARN or id, with the stack its tags name."""
    return {**dict(_sagemaker()), **dict(_instances())}


def _sagemaker() -> Iterator[tuple[str, str]]:
    client = boto3.client("sagemaker")
    listed = {
        "list_training_jobs": ("TrainingJobSummaries", "TrainingJobArn"),
        "list_hyper_parameter_tuning_jobs": ("HyperParameterTuningJobSummaries", "HyperParameterTuningJobArn"),
        "list_models": ("Models", "ModelArn"),
        "list_endpoint_configs": ("EndpointConfigs", "EndpointConfigArn"),
        "list_endpoints": ("Endpoints", "EndpointArn"),
    }
    for operation, (member, arn) in listed.items():
        for page in client.get_paginator(operation).paginate():
            for one in page[member]:
                tags = client.list_tags(ResourceArn=one[arn])["Tags"]
                yield one[arn], next((tag["Value"] for tag in tags if tag["Key"] == remains.STACK_TAG), "")
    for page in client.get_paginator("list_model_package_groups").paginate():
        for group in page["ModelPackageGroupSummaryList"]:
            name = group["ModelPackageGroupName"]  # a version takes no tags: its group's name is the stack's
            for one in client.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"]:
                yield one["ModelPackageArn"], name


def _instances() -> Iterator[tuple[str, str]]:
    for page in boto3.client("ec2").get_paginator("describe_instances").paginate():
        for one in (each for reservation in page["Reservations"] for each in reservation["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
            yield f"instance {one['InstanceId']} {tags.get('Name', '')}", tags.get(remains.STACK_TAG, "")
