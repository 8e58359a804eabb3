"""Which environment variables the code reads, from its syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("functions", "layers", "training", "serving", "local_aws", "tools", "benchmarks", "tests")
# Small functions that are handed a variable's name.
READERS = {"_text", "_number", "_json_object", "_needed", "_count", "_folder"}
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_IN_SHELL = re.compile(r"\$\{?([A-Z][A-Z0-9_]*)")
_SET_IN_SHELL = re.compile(r"^(?:export )?([A-Z][A-Z0-9_]*)=", re.M)


@cache
def read() -> dict[str, set[str]]:
    """Variable -> the files that read it."""
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in in_python(path.read_text(encoding="utf-8")):
                found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    script = ROOT / "training" / "ec2_bootstrap.sh"
    for name in in_shell(script.read_text(encoding="utf-8")):
        found.setdefault(name, set()).add(str(script.relative_to(ROOT)))
    return found


def in_python(source: str) -> set[str]:
    """The names that a file's own words take from `environ`, or hand to one of READERS."""
    tree = ast.parse(source)
    constants = dict(_constants(tree))
    return {
        name
        for node in ast.walk(tree)
        for argument in _asked_for(node)
        if (name := _text(argument, constants)) and _NAME.fullmatch(name)
    }


def in_shell(source: str) -> set[str]:
    """The capital names that a script uses and does not set itself."""
    return set(_IN_SHELL.findall(source)) - set(_SET_IN_SHELL.findall(source))


def _asked_for(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Subscript) and _is_environment(node.value) and isinstance(node.ctx, ast.Load):
        return [node.slice]
    if not isinstance(node, ast.Call):
        return []
    if isinstance(node.func, ast.Attribute):
        gets = node.func.attr in ("get", "setdefault") and _is_environment(node.func.value)
        return node.args[:1] if gets else []
    return node.args if isinstance(node.func, ast.Name) and node.func.id in READERS else []


def _is_environment(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def _constants(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names of texts: `A = "x"`, and `A, B = "x", "y"`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            pairs = zip(target.elts, value.elts, strict=True) if several else [(target, value)]  # type: ignore[attr-defined]
            for name, text in pairs:
                if isinstance(name, ast.Name) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield name.id, text.value


def _text(node: ast.expr, constants: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return constants.get(node.id, "") if isinstance(node, ast.Name) else ""
