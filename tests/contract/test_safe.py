"""What no file of this project may hold: a pickle's reader, or a secret."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_imports import ROOT, files

PRODUCT = ("functions", "layers/common/kennel", "training", "serving", "local_aws", "tools")
# Modules that make objects, and so run code, of what they read.
PICKLERS = {"pickle", "_pickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
# torch's ways of sending objects between hosts, and pandas' reader: each unpickles.
UNPICKLING = re.compile(r"(all_)?gather_object|(broadcast|scatter)_object_list|(send|recv)_object_list|read_pickle")


def pickling(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of everything that pickles or unpickles, or could be told to.

    `torch.load` may stand where it is told `weights_only=True`: tensors and plain values, and no code. Process pools
    pickle, too, over pipes that only the program's own processes can write to.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from ((node.lineno, name) for name in names if name.partition(".")[0] in PICKLERS)
        elif isinstance(node, ast.Constant) and node.value in PICKLERS:  # for importlib
            yield node.lineno, str(node.value)
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if UNPICKLING.fullmatch(name):
                yield node.lineno, name
        elif isinstance(node, ast.Call):
            told = {keyword.arg: keyword.value for keyword in node.keywords}
            called = ast.unparse(node.func)
            if re.fullmatch(r"torch\.(.+\.)?load", called) and not is_true(told.get("weights_only")):
                yield node.lineno, f"{called} without weights_only=True"
            if called == "torch.save":
                yield node.lineno, called
            if "allow_pickle" in told and not is_false(told["allow_pickle"]):
                yield node.lineno, "allow_pickle"


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("folder", PRODUCT)
def test_nothing_pickles(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in files(folder)
        for line, what in pickling(ast.parse(path.read_text()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "importlib.import_module('shelve')",
        "torch.load(path)",
        "torch.load(path, weights_only=wanted)",
        "torch.jit.load(path)",
        "torch.save(weights, path)",
        "np.load(path, allow_pickle=True)",
        "dist.all_gather_object(values, value)",
    ],
)
def test_the_rule_about_pickles_would_notice(code: str) -> None:
    assert list(pickling(ast.parse(code)))


def test_the_rule_about_pickles_lets_plain_readers_stand() -> None:
    assert not list(pickling(ast.parse("torch.load(path, weights_only=True); np.load(path); json.load(file)")))


# Shapes that only a secret has: an access key's name, a private key, the value beside a secret's name, tokens.
SECRET = re.compile(
    r"\b(AKIA|ASIA)(?!IOSFODNN7EXAMPLE|QQQQ)[A-Z0-9]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?i:secret_?access_?key|session_?token|x-api-key|password)['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9/+]{24,}"
    r"|\b(ghp|gho|xox[abp]|sk|pypi)[-_][A-Za-z0-9-]{30,}"
)


def texts() -> Iterator[tuple[Path, str]]:
    """Every file that belongs to the project, with what it says."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith(".") or name == ".ci"]
        folders[:] = [name for name in folders if name != "__pycache__" and not name.endswith(".egg-info")]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and path.suffix not in {".pyc", ".jpg", ".png"}:
                yield path, path.read_text(encoding="utf-8", errors="replace")


def test_no_file_holds_a_secret() -> None:
    found = [f"{path.relative_to(ROOT)}: {one[0][:12]}..." for path, text in texts() for one in SECRET.finditer(text)]
    assert not found, "\n".join(found)


def test_the_rule_about_secrets_would_notice() -> None:
    for begin, rest in (
        ("AKIA", "QWERTYUIOPASDFGH"),
        ("-----BEGIN RSA ", "PRIVATE KEY-----"),
        ("aws_secret_access_key = ", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzKEY0"),
        ("x-api-key: ", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6"),
        ("ghp_", "0123456789abcdefghij0123456789abcdef"),
    ):
        assert SECRET.search(begin + rest)
