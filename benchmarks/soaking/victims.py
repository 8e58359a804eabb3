"""The processes of an embedded AWS by what they are, and their sudden ends."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Mapping
from pathlib import Path

import psutil

STATE, INSTANCE = "LOCAL_AWS_STATE", "LOCAL_AWS_INSTANCE"  # in the environment of each (local_aws/processes.py)
KINDS = ("endpoint", "function", "job", "instance", "emulator")


def processes(state: Path) -> dict[str, list[psutil.Process]]:
    """Every process of the embedded AWS with its state there, by kind; "other" is what belongs to no kind."""
    found: dict[str, list[psutil.Process]] = {kind: [] for kind in (*KINDS, "other")}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if process.pid != os.getpid() and environment.get(STATE) == str(state.resolve()):
                found[_kind(process.cmdline(), environment)].append(process)
    return found


def _kind(command: list[str], environment: Mapping[str, str]) -> str:
    if INSTANCE in environment:
        return "instance"
    if environment.get("TRAINING_JOB_NAME") or environment.get("SAGEMAKER_BATCH"):
        return "job"
    if command[1:3] == ["-m", "local_aws.server"]:
        return "emulator"
    if command[1:3] == ["-m", "serving"]:
        return "endpoint"
    return "function" if any(word.endswith("_worker.py") for word in command) else "other"


def kill(state: Path, kind: str, chance: random.Random) -> str | None:
    """SIGKILL to one process of the kind, or to all of one EC2 instance; what it was, None when there is none."""
    found = processes(state)[kind]
    if not found:
        return None
    victim = chance.choice(found)
    with contextlib.suppress(psutil.Error):
        name = _name(victim)
        victims = [victim]
        if kind == "instance":
            machine = victim.environ()[INSTANCE]
            victims = [one for one in found if one.environ().get(INSTANCE) == machine]
        for one in victims:
            one.kill()
        return name
    return None


def _name(process: psutil.Process) -> str:
    environment = process.environ()
    told = (
        environment.get(INSTANCE) or environment.get("TRAINING_JOB_NAME") or environment.get("AWS_LAMBDA_FUNCTION_NAME")
    )
    return f"{told or ' '.join(process.cmdline()[1:3])} (process {process.pid})"
