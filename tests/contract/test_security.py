"""docs/security.md names, for every threat, tests that are there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.contract.template import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
THREATS = [
    line.split(" | ")
    for line in PAGE.partition("## Threats")[2].partition("\n## ")[0].splitlines()
    if "`tests/" in line
]
NODE = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


def defined(path: str) -> set[str]:
    """The tests of a file as pytest names them: f, or Class::f."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {prefix + one.name for one in inner if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat[1][:40])
def test_a_threat_has_a_measure_and_tests_that_are_there(threat: list[str]) -> None:
    _, _, measure, shown = threat
    nodes = NODE.findall(shown)

    assert measure and len(nodes) == shown.count("tests/"), "a name that is not one test's"
    assert [f"{path}::{name}" for path, name in nodes if name not in defined(path)] == []


def test_every_row_of_the_table_is_looked_at() -> None:
    table = PAGE.partition("## Threats")[2].partition("\n## ")[0]
    assert len(THREATS) == len(re.findall(r"^\| ", table, re.M)) - 2 >= 15  # less the heading and its rule
