"""docs/operate.md against what it describes: the state machines' error names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
_QUOTED = re.compile(r"'([A-Z]\w+)'")
_ERROR = re.compile(r"'error':(.*?),\s*'cause'", re.S)


def names(value: Any, key: str = "") -> Iterator[str]:
    """Every error name that a state hands on or a Fail state has, in plain text or inside JSONata."""
    if isinstance(value, dict):
        for inner, content in value.items():
            yield from names(content, inner)
    elif isinstance(value, list):
        for content in value:
            yield from names(content)
    elif isinstance(value, str):
        parts = [value] if key in ("name", "error", "Error") else _ERROR.findall(value)
        for part in parts:
            yield from [part] if re.fullmatch(r"\w+", part) else _QUOTED.findall(part)


def ends() -> set[str]:
    return {
        name
        for path in (ROOT / "statemachine").glob("*.asl.json")
        for state in json.loads(path.read_text(encoding="utf-8"))["States"].values()
        for name in names({part: value for part, value in state.items() if part not in ("Arguments", "Comment")})
    }


def test_every_error_name_of_the_state_machines_is_explained_and_no_other() -> None:
    tables = re.findall(r"^\| error \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.M)
    explained = [name for table in tables for name in re.findall(r"^\| `(\w+)` \|", table, re.M)]
    assert len(explained) == len(set(explained))
    assert set(explained) == ends()


def test_names_are_found_in_plain_text_and_inside_expressions() -> None:
    state = {
        "Type": "Task",
        "Catch": [{"Assign": {"caught": {"name": "A1", "error": "{% $states.errorOutput.Error %}"}}}],
        "Assign": {"failure": "{% {'error': $late ? 'B1' : $error = 'States.Timeout' ? 'C1' : $x, 'cause': 'D1'} %}"},
    }
    assert set(names(state)) == {"A1", "B1", "C1"}
