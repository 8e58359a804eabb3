"""Nothing missing, nothing superfluous: with every statement each path works, without any one of them a path breaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract import template

from .table import MORE, NOT_HERE, TABLE, UNUSED_HERE
from .world import World

pytestmark = pytest.mark.slow
ACTIONS = {name: template.actions(statement) for name, statement in template.statements()}
PATHS = tuple(dict.fromkeys((*(row.path for row in TABLE.values()), *MORE)))


@pytest.fixture(autouse=True)
def _fresh(world: World) -> Iterator[None]:
    """Each test ends with programs that work and with nothing running that nobody waits for."""
    yield
    world.quick.reset()
    world.stop_everything()


def test_with_every_statement_nothing_is_denied_and_every_action_is_used(world: World) -> None:
    # given nothing counted yet
    world.forget()
    # when every path is walked
    broke = {}
    for path in PATHS:
        world.quick.reset()
        path.prepare(world)
        if said := path.walk(world):
            broke[path.name] = said
    # then all of them work, and what no path used is exactly what the table gives a reason for
    assert broke == {}
    assert world.denied() == set()
    here = {name: one for name, one in world.statements() if name not in NOT_HERE}
    unused = {name: set(one["unused"]) for name, one in here.items() if one["unused"]}
    assert unused == {name: set(reasons) for name, reasons in UNUSED_HERE.items()}
    assert [name for name, one in here.items() if not one["allowed"]] == []


@pytest.mark.parametrize("statement", TABLE)
def test_without_the_statement_its_path_breaks(world: World, statement: str) -> None:
    # given a path that is prepared for, and the statement switched off
    row = TABLE[statement]
    row.path.prepare(world)
    world.forget()
    with world.without(statement):
        # when the path is walked
        broke = row.path.walk(world)
        # then it breaks where the table says, for want of the statement
        denied = world.denied()
    assert row.shows in broke
    role = statement.partition(".")[0]
    assert denied & {(role, action) for action in ACTIONS[statement]}
