"""The watcher of drift, on an hour of samples in the endpoint's log."""

from __future__ import annotations

from tests.functional.failures import sampled

from .paths import Path, logged, serving
from .world import World


def _watched(world: World) -> str:
    """What the function says of an hour with enough samples; empty when it has compared them."""
    sampled.put(world.quick, 40)
    found = sampled.watch(world.quick)
    return "" if found.get("event") == "compared" else str(found)


WATCHED = Path("an hour watched for drift", _watched, serving)
WATCH_LOG = Path("the watching function's log", logged("WatchDriftLogs", _watched), serving)
