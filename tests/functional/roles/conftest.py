"""The stack with quick programs, as the failure tests have it, and control over every statement of its roles."""

from __future__ import annotations

import pytest

from tests.functional.failures.conftest import quick  # the fixture: this package gets a stack of its own
from tests.functional.failures.quick import Quick

from .world import World

__all__ = ["quick", "world"]


@pytest.fixture(scope="package")
def world(quick: Quick) -> World:
    """The deployed stack and its roles."""
    return World(quick)
