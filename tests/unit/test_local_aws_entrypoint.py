"""Jobs with their own command find /opt/ml, with a mount namespace and without."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from local_aws.sagemaker import entrypoint

NAMES = ("algo-1",)
SAY = "cat /opt/ml/input/config/note; . /opt/ml/input/data/sm_drivers/driver.sh"


def job(*arguments: str) -> dict[str, Any]:
    specification = {"ContainerEntrypoint": ["/bin/sh"], "ContainerArguments": list(arguments)}
    return {"AlgorithmSpecification": specification, "Environment": {"SM_LOG_LEVEL": "10"}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's folder with a file of configuration and a driver that hard-codes /opt/ml."""
    folder = tmp_path / "algo-1"
    for part in ("input/config", "input/data/sm_drivers", "output"):
        (folder / part).mkdir(parents=True)
    (folder / "input/config/note").write_text("found ")
    (folder / "input/data/sm_drivers/driver.sh").write_text("echo twice > /opt/ml/output/failure")
    return folder


@pytest.fixture
def no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)


def said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_command_finds_its_folder_at_opt_ml_and_nothing_is_left_there(root: Path) -> None:
    before = sorted(Path("/opt").glob("ml/*"))
    command = entrypoint.launch(root, NAMES, job("-c", SAY))

    assert said(command) == "found "
    assert entrypoint.failure(root) == "twice"
    assert sorted(Path("/opt").glob("ml/*")) == before


@pytest.mark.usefixtures("no_namespace")
def test_without_namespaces_arguments_and_drivers_are_rewritten(root: Path) -> None:
    command = entrypoint.launch(root, NAMES, job("-c", SAY))

    assert said(command) == "found "
    assert entrypoint.failure(root) == "twice"


@pytest.mark.usefixtures("no_namespace")
def test_without_namespaces_several_instances_are_refused(root: Path) -> None:
    with pytest.raises(entrypoint.EntrypointError, match="set InstanceCount to 1"):
        entrypoint.launch(root, ("algo-1", "algo-2"), job("-c", SAY))


def test_the_hosts_of_a_job_resolve_inside_it(root: Path) -> None:
    try:
        command = entrypoint.launch(root, ("algo-1", "algo-2"), job("-c", "getent hosts algo-2"))
    except entrypoint.EntrypointError as error:
        if "no mount namespace" not in str(error):
            raise
        pytest.skip(str(error))

    assert said(command).split()[0] == "127.0.0.1"


def test_the_environment_is_a_containers_and_pip_installs_beside_the_job(root: Path) -> None:
    whole = {"PATH": "/bin", "SM_MODEL_DIR": "/elsewhere", "SM_LOG_LEVEL": "10", "MASTER_PORT": "1", "AWS_REGION": "r"}

    found = entrypoint.environment(whole, root, job())

    assert {name for name in found if name.startswith(("SM_", "MASTER_"))} == {"SM_LOG_LEVEL"}
    assert found["AWS_REGION"] == "r"
    assert found["PATH"].endswith(":/bin")
    assert found["PIP_TARGET"] == found["PYTHONPATH"] == f"{root}.site"


def test_arguments_without_an_entrypoint_are_refused() -> None:
    assert "needs ContainerEntrypoint" in (entrypoint.check({"ContainerArguments": ["x"]}) or "")
    assert entrypoint.check({"ContainerEntrypoint": ["x"], "ContainerArguments": ["y"]}) is None
    assert entrypoint.own_command({"AlgorithmSpecification": {}}) == []
