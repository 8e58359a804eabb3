"""Every statement of the template's roles is in the table of tests/functional/roles, with the path that needs it."""

from __future__ import annotations

from tests.contract import template
from tests.functional.roles.table import NOT_HERE, TABLE, UNUSED_HERE

STATEMENTS = dict(template.statements())


def test_every_statement_has_one_row_and_every_row_is_a_statement() -> None:
    assert sorted([*TABLE, *NOT_HERE]) == sorted(STATEMENTS)
    assert len(template.statements()) == len(STATEMENTS), "two statements of a role share their Sid"


def test_an_action_without_a_path_is_one_of_its_statement_and_has_a_reason() -> None:
    for name, reasons in UNUSED_HERE.items():
        assert reasons.keys() <= set(template.actions(STATEMENTS[name])), name
        assert reasons.keys() != set(template.actions(STATEMENTS[name])), f"{name}: then it belongs into NOT_HERE"
        assert all(reasons.values())
