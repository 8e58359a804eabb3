"""What local_aws takes from MiniStack is there, in the pinned version, with the parameters it expects."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

from local_aws import lambda_workers, patches, settings

LOCAL_AWS = Path(patches.__file__).parent
SYMBOLS = [(module, name, names) for module, table in patches.SYMBOLS.items() for name, names in table.items()]


def test_the_pinned_version_is_installed() -> None:
    assert importlib.metadata.version("ministack") == settings.MINISTACK_VERSION


@pytest.mark.parametrize(
    ("module", "name", "parameters"), SYMBOLS, ids=[f"{module}.{name}" for module, name, _ in SYMBOLS]
)
def test_a_symbol_is_there_as_expected(
    module: str, name: str, parameters: tuple[str, ...] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))  # MiniStack's Cognito writes a key there when it is imported
    found = getattr(importlib.import_module(module), name)

    if parameters is not None:
        target = found.__init__ if inspect.isclass(found) else inspect.unwrap(found)
        assert tuple(inspect.signature(target).parameters) == parameters


def test_every_private_name_in_use_is_listed() -> None:
    """Reads our own source for `sfn._x`, `app._x`, `service._x` and the like: none may be missing from the list."""
    listed = {name for _, name, _ in SYMBOLS}
    modules = r"sfn|app|service|ecr|ec2|iam|ssm|persistence|responses|router|lambda_svc|_get_module\(\"\w+\"\)"
    aliases = rf"\b(?:{modules})\.(_[a-z]\w*)"
    used = {name for path in LOCAL_AWS.rglob("*.py") for name in re.findall(aliases, path.read_text())}

    assert used - listed == set()


def test_the_lambda_worker_is_the_one_we_change() -> None:
    runtime = importlib.import_module("ministack.core.lambda_runtime")

    assert lambda_workers.LOG_END in lambda_workers.worker_script(runtime._PYTHON_WORKER_SCRIPT)
    assert hasattr(runtime.Worker, "_drain_stderr_bounded")
    assert "_stderr_queue" in vars(runtime.Worker("name", {}, b""))
