"""Two workers share the suite (`make test`): much of it waits. What shares an expensive fixture stays together."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Folders whose tests share one deployed stack or one emulator.
TOGETHER = ("clients", "functional/stack", "functional/failures", "functional/roles")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A file's tests run on one worker, and so do those of a folder with one stack."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        folder = next((name for name in TOGETHER if place.startswith(f"{name}/")), None)
        item.add_marker(pytest.mark.xdist_group(folder or place))
