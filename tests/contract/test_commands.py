"""Every command in the documentation is taken by the program that it calls, and the quick ones do what they say."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.contract.commands.checked import ROOT, Refused, checked, in_venv_sam
from tests.contract.commands.found import FOREIGN, PROGRAMS, Block, blocks, commands, in_block
from tests.contract.test_docs import PAGES
from tests.unit.training_world import draw_data

# What no program can be asked about beforehand, and why. CONTRIBUTING.md says how many they are.
NOT_CHECKED = {
    "git clone ADDRESS kennel": "only the reader knows the address; benchmarks/main_job clones",
    ".venv/bin/pre-commit install": "it has no way to be asked without writing into the repository's .git",
}
# What takes a moment and changes nothing but the reader's folder is run.
QUICK = (
    "tools.cost plan", "tools.parameters", "tools.scaling compare --traffic",
    "training.data check", "training.data split", "training.data version", "kennel.reference",
)  # fmt: skip
WRONG = (
    "aws sagemaker list-endpoint --max-results 3",
    "aws sagemaker describe-endpoint",
    "aws sagemaker list-endpoints --sort-by Age",
    "aws sagemaker add-tags --resource-arn ENDPOINT_ARN --tags Key=a,Worth=b",
    "aws s3 synk a s3://b",
    "sam deploy --config-envi prod",
    "sam deploy --config-env nowhere",
)
RIGHT = ("aws sagemaker list-endpoints --sort-by Name", "sam deploy --config-env prod")
TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]  # what once was right may stand there


def shown() -> list[str]:
    """Every command of every page, in the order of the pages."""
    return list(dict.fromkeys(command for page in TODAY for command in commands(page)))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands: the files that the pages name as the reader's own, and a template that is read quickly."""
    folder = tmp_path_factory.mktemp("reader") / "kennel"
    folder.mkdir()
    shutil.copy(ROOT / "samconfig.toml", folder)
    (folder / "template.yaml").write_text("Resources: {}")
    (folder / "events").symlink_to(ROOT / "events")
    for name in ("run.json", "batch.json", "input.json", "key-policy.json", "bucket-policy.json"):
        (folder / name).write_text("{}")
    for name in ("dogImages", "pictures", "holidays", "../my-set"):
        draw_data(folder / name)
    shutil.copytree(folder / "pictures" / "train", folder.parent / "my-pictures")
    return folder


@cache
def sorted_out() -> tuple[list[tuple[str, tuple[str, ...]]], dict[str, str]]:
    """The commands shown: those of the AWS and SAM CLIs, or what make runs of them; and what is wrong with others."""
    clients: list[tuple[str, tuple[str, ...]]] = []
    complaints: dict[str, str] = {}
    for command in shown():
        if command not in NOT_CHECKED:
            try:
                clients += [(command, words) for words in checked(command)]
            except Refused as error:
                complaints[command] = str(error)
    return clients, complaints


@pytest.fixture(scope="module")
def findings(reader: Path) -> dict[tuple[str, ...], str]:
    """What the AWS CLI and the SAM CLI say of commands, of wrong ones too: asked once, as they are slow to start."""
    asked = [words for _, words in sorted_out()[0]]
    return in_venv_sam([*asked, *(tuple(command.split()) for command in (*WRONG, *RIGHT))], reader)


def test_every_command_shown_is_taken_by_its_program(findings: dict[tuple[str, ...], str]) -> None:
    clients, complaints = sorted_out()
    refused = {command: findings[words] for command, words in clients if findings[words]}

    assert complaints | refused == {}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # that a module which is run was imported before
def test_every_quick_command_shown_does_what_it_is_there_for(
    reader: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(reader)
    shutil.rmtree(reader.parent / "my-set")  # which the first of them makes
    quick = [command for command in shown() if any(f"python -m {one}" in command for one in QUICK)]
    for command in sorted(quick, key=lambda command: " split " not in command):
        module, *arguments = command.partition("python -m ")[2].split()
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            assert not ended.code, f"{command}: {capfd.readouterr().err}"

    assert {command.split()[2] for command in quick} >= {"tools.cost", "training.data"}


def test_what_cannot_be_checked_is_shown_somewhere_and_counted() -> None:
    assert set(NOT_CHECKED) <= set(shown())
    assert f" {len(NOT_CHECKED)} commands cannot be checked" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", TODAY, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_of_a_code_block_is_a_command_that_is_not_read_as_one(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.kind != "mermaid" and not in_block(block):
            assert [line for line in block.lines if re.split(r"[ /]", line)[0] in PROGRAMS | FOREIGN] == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("make deplyo", "deplyo"),
        ("make demo DATE=folder", "knows no DATE"),
        ("make bench NAME=nothing", "no module benchmarks.nothing"),
        ("python -m tools.nothing", "no module tools.nothing"),
        ("python -m tools.pipeline --stak kennel-dev", "--stak"),
        ("python -m serving now", "takes no now"),
        ("python training/train.py --epoch 3", "epoch"),
        ("python -m tools.invoke events/no_such_dog.json", "no events/no_such_dog.json"),
        ("curl API_URL/model", "wants a key"),
        ('curl -H "x-api-key: KEY" --data-binary @dog.jpg API_URL/predictions', "takes application/json"),
        ("curl API_URL/healthy", "no GET /healthy"),
        ("MINUTE=4 make bench NAME=load", "nothing reads MINUTE"),
        ('sam deploy --parameter-overrides "ScalingMost=3"', "no ScalingMost"),
        ("docker run kennel", "no test can check docker"),
    ],
)
def test_a_mistyped_command_is_refused(command: str, said: str) -> None:
    with pytest.raises(Refused, match=re.escape(said)):
        checked(command)


def test_a_mistyped_command_of_the_aws_cli_or_the_sam_cli_is_refused(findings: dict[tuple[str, ...], str]) -> None:
    assert [command for command in WRONG if not findings[tuple(command.split())]] == []
    assert [command for command in RIGHT if findings[tuple(command.split())]] == []


def test_commands_are_found_in_sessions_in_blocks_and_over_two_lines() -> None:
    assert in_block(Block(("$ make up   # starts", "The stack is up", "$ make down"))) == ["make up", "make down"]
    assert in_block(Block(("DATA=a make bench \\", "  NAME=load", "", "aws s3 ls"))) == [
        "DATA=a make bench NAME=load",
        "aws s3 ls",
    ]
    assert in_block(Block(("Beagle 99 %", "make of it what you like"))) == []
