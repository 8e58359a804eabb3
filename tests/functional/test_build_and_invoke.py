"""What `sam build` makes runs under AWS's own runtime interface emulator, without Docker and without a stack."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.test_events import EVENTS, REFUSED
from tools import invoke

BAD_REQUESTS = [name for name in REFUSED if not name.startswith(("bad_pipeline_", "bad_batch_"))]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template, built as it is, away from what a person may have built."""
    if not invoke.SAM.exists():
        pytest.fail("the SAM CLI is not installed: make setup")
    scratch = tmp_path_factory.mktemp("sam")
    folder = scratch / "build"
    command = [str(invoke.SAM), "build", "--build-dir", str(folder), "--template", str(invoke.ROOT / "template.yaml")]
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    built = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def classify(build: Path) -> Iterator[invoke.Emulator]:
    function = invoke.built_function("ClassifyFunction", build)
    with invoke.emulating(function, function.environment) as emulator:
        yield emulator


def event(name: str) -> bytes:
    return (EVENTS / f"{name}.json").read_bytes()


def test_the_layer_is_pure_python_and_holds_only_what_was_asked_for(build: Path) -> None:
    python = build / "CommonLayer" / "python"

    packages = {path.name for path in python.iterdir() if not path.name.endswith(".dist-info")}
    assert packages == {"kennel", "aws_lambda_powertools", "jmespath", "typing_extensions.py"}
    assert not [path for path in python.rglob("*") if path.suffix in (".so", ".pyc", ".pyd")]


def test_the_code_bundle_is_whole_and_clean(build: Path) -> None:
    bundle = build / "PublishCodeFunction" / "bundle"

    for name in ("training/train.py", "serving/Dockerfile", "serving/preprocess.py", "requirements.txt"):
        assert (bundle / name).is_file(), name
    assert not list(bundle.rglob("__pycache__"))
    sources = list((invoke.ROOT / "training").rglob("*.py"))
    assert len(list((bundle / "training").rglob("*.py"))) == len(sources)


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_events_are_refused_for_what_their_name_says(classify: invoke.Emulator, name: str) -> None:
    status, slug, part = REFUSED[name]

    answer = classify.invoke(event(name))

    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["type"]) == (status, f"about:blank#{slug}")
    assert part in body["detail"]


def test_the_built_site_carries_its_page(build: Path) -> None:
    function = invoke.built_function("SiteFunction", build)
    with invoke.emulating(function, function.environment) as emulator:
        answer: Any = emulator.invoke(event("site_page"))

    assert answer["statusCode"] == 200
    assert "<h1>What does the picture show?</h1>" in answer["body"]


@pytest.mark.parametrize(
    ("name", "bad", "error"),
    [
        ("ValidateRunFunction", "bad_pipeline_epochs_zero", ("InvalidRun", "train.epochs: 0 is below 1")),
        ("PlanBatchFunction", "bad_batch_top_k_zero", ("InvalidBatch", "top_k: 0 is below 1")),
    ],
)
def test_what_is_refused_has_the_error_name_that_its_state_machine_matches(
    build: Path, name: str, bad: str, error: tuple[str, str]
) -> None:
    function = invoke.built_function(name, build)
    with invoke.emulating(function, function.environment) as emulator:
        answer: Any = emulator.invoke(event(bad))

    assert (answer["errorType"], answer["errorMessage"]) == error


def test_nothing_is_left_running(build: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    function = invoke.built_function("ClassifyFunction", build)
    with invoke.emulating(function, function.environment) as emulator:
        emulator.invoke(event("bad_no_source"))
        started = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
        assert started
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_the_command_prints_the_answer_and_says_what_is_missing(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(invoke, "LOCAL_STACK", tmp_path / "none.json")
    monkeypatch.setattr(invoke, "BUILD", build)

    assert invoke.main([str(EVENTS / "bad_no_source.json")]) == 0
    assert json.loads(capsys.readouterr().out)["statusCode"] == 400
    assert invoke.main([str(EVENTS / "no_such_event.json")]) == 2
    assert invoke.main([str(EVENTS / "bad_no_source.json"), "--function", "Nothing"]) == 2
    assert "the template has no function Nothing; it has ClassifyFunction" in capsys.readouterr().err
