"""Workers share the suite (`make test`): much of it waits. What shares an expensive fixture stays together."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# What runs on one worker because it shares a deployed stack or an emulator, the longest first; any other file is alone.
TOGETHER = (
    "tests/functional/stack/test_demo.py",
    "tests/functional/stack/",
    "tests/functional/failures/test_failures.py",
    "tests/functional/roles/",
    "tests/functional/failures/",
    "tests/clients/",
    "tests/functional/",
)


def rank(nodeid: str) -> int:
    """Where in TOGETHER a test belongs; behind everything when it does not."""
    return next((place for place, begin in enumerate(TOGETHER) if nodeid.startswith(begin)), len(TOGETHER))


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker a whole group at a time. (xdist's own groups, by marks, do not work with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        file, place = nodeid.partition("::")[0], rank(nodeid)
        return TOGETHER[place] if place < TOGETHER.index("tests/functional/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """The scheduler of `--numprocesses`, which keeps the order that the tests have."""
    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long groups begin first, then files with slow tests, so that short tests fill the gaps at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (rank(item.nodeid), item.path not in slow))
