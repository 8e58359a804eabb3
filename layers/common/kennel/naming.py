"""Derived names that SageMaker takes: `[a-zA-Z0-9](-*[a-zA-Z0-9])*`, at most 63 characters.

A name that has to be changed (cut, or a character replaced) ends with a hash of what it was made from, so two different
originals never become one name.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

MAX_NAME = 63
MAX_RUN = 31
MAX_STACK = 22  # so that STACK-RUN-features fits, whole: the stack's policies hold on to names that begin with its own
MAX_BATCH = 31  # so that STACK-BATCH-HASH fits
_HASH = 8
_VALID = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{1,256}")


def derive(original: str, limit: int = MAX_NAME) -> str:
    """`original` when it is a valid name of at most `limit` (>= 9) characters, else a readable rest and a hash."""
    if len(original) <= limit and _VALID.fullmatch(original):
        return original
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", original).strip("-")[: limit - _HASH - 1].rstrip("-")
    return f"{readable}-{_digest(original)}" if readable else _digest(original)


def run_name(wanted: str | None, execution: str, started: str) -> str:
    """A run's name of at most 31 characters, different for every execution even when `wanted` is the same.

    `wanted` is the input's `run`; without it the name begins with the start time, so that runs sort by age.
    `execution` is the execution's name, `started` its ISO start time: together they are unique.
    """
    unique = _digest(f"{execution}\n{started}")
    label = wanted or f"run-{datetime.fromisoformat(started):%Y%m%d-%H%M%S}"
    return f"{derive(label, MAX_RUN - _HASH - 1)}-{unique}"


def run_resource(stack: str, run: str) -> str:
    """The name of what `run` makes in `stack` (job, model, ...): the run stays whole, the stack may be cut."""
    return f"{derive(stack, MAX_NAME - 1 - len(run))}-{run}"


def tuning_job(stack: str, run: str) -> str:
    """The name of `run`'s tuning job, which SageMaker gives 32 characters only: the stack and the run's hash."""
    unique = run[-_HASH:]
    return f"{derive(stack, 32 - 1 - _HASH)}-{unique}"


def batch_name(wanted: str | None, execution: str, started: str) -> str:
    """A batch's name: the one `wanted`, or one of at most 31 characters that no other execution gets."""
    unique = _digest(f"{execution}\n{started}")
    return wanted or f"batch-{datetime.fromisoformat(started):%Y%m%d-%H%M%S}-{unique}"


def transform_job(stack: str, batch: str, execution: str, started: str, part: int) -> str:
    """The name of the transform job that does the `part`-th part of `batch` in an execution."""
    unique = _digest(f"{execution}\n{started}\n{part}")
    return run_resource(stack, f"{batch}-{unique}")


def is_tag(text: str) -> bool:
    """Whether AWS takes `text` as a tag's value."""
    return _TAG_VALUE.fullmatch(text) is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH]
