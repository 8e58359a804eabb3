"""What a path is, and what several begin with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.functional.conftest import came

from .world import World, told


def nothing(world: World) -> None:
    """Needs nothing that is not there anyway."""


@dataclass(frozen=True)
class Path:
    """`walk` gives what broke, in a sentence, empty when nothing did. `prepare` goes before it, with every right."""

    name: str
    walk: Callable[[World], str]
    prepare: Callable[[World], None] = nothing


def serving(world: World) -> None:
    """A model in service that scales and does not expire."""
    endpoint = world.endpoint()
    if endpoint is None or endpoint["EndpointStatus"] != "InService" or not world.scales():
        broke = told(world.quick.run({"run": unique("base")}))
        assert not broke, broke


def nothing_serves(world: World) -> None:
    """No endpoint and no scalable target."""
    world.quick.serve(wanted=False)


def unique(name: str) -> str:
    """A run's name that no other run has."""
    return f"{name}-{uuid.uuid4().hex[:6]}"


def a_run(name: str, settings: Mapping[str, Any] | None = None) -> Callable[[World], str]:
    """A pipeline run to its end."""
    return lambda world: told(world.quick.run({"run": unique(name), **(settings or {})}))


def logged(group: str, walk: Callable[[World], str]) -> Callable[[World], str]:
    """`walk`, after which the log group (logical id) must have new lines."""

    def walked(world: World) -> str:
        asked = {"logGroupName": world.physical(group), "startTime": int(time.time() * 1000)}
        broke = walk(world)
        heard = came(lambda: world.client("logs").filter_log_events(**asked)["events"], 1.0)
        return broke or ("" if heard else "no log")

    return walked


def traced(walk: Callable[[World], str]) -> Callable[[World], str]:
    """`walk`, whose executions must have traces."""
    return lambda world: walk(world) or world.untraced()
