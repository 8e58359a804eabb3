"""The SAM CLI, command by command, on an app of one function. The whole product: tests/functional/stack."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import Clients, fresh

APP = Path(__file__).parent / "fixtures" / "app"


class App:
    """A copy of the app, built and deployed as a stack of its own."""

    def __init__(self, clients: Clients, folder: Path) -> None:
        self.clients = clients
        self.folder = shutil.copytree(APP, folder / "app")
        self.stack = fresh("hello")

    def sam(self, *arguments: str, typed: str | None = None) -> str:
        """What a `sam` command that must succeed prints."""
        done = self.clients.run("sam", *arguments, cwd=self.folder, typed=typed)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def deploy(self, **parameters: Any) -> None:
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        self.sam(
            *("deploy", "--stack-name", self.stack, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"),
            *(["--parameter-overrides", *overrides] if overrides else []),
        )

    def invoke(self, **event: Any) -> Any:
        """The answer that `sam remote invoke` prints."""
        said = self.sam("remote", "invoke", "HelloFunction", "--stack-name", self.stack, "--event", json.dumps(event))
        return json.loads(said)

    @property
    def function(self) -> str:
        outputs = json.loads(self.sam("list", "stack-outputs", "--stack-name", self.stack, "--output", "json"))
        name: str = outputs[0]["OutputValue"]
        return name


@pytest.fixture(scope="module")
def app(clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> App:
    made = App(clients, tmp_path_factory.mktemp("sam-app"))
    made.sam("build")
    made.deploy()
    return made


def test_validate_takes_the_template_and_refuses_a_broken_one(clients: Clients, tmp_path: Path) -> None:
    app = App(clients, tmp_path)
    app.sam("validate")
    template = app.folder / "template.yaml"
    template.write_text(template.read_text().replace("Handler: app.handler", "Handlr: app.handler"))

    done = clients.run("sam", "validate", cwd=app.folder)

    assert done.returncode != 0
    assert "HelloFunction" in done.stderr


def test_resources_are_listed_by_their_names(app: App) -> None:
    listed = json.loads(app.sam("list", "resources", "--stack-name", app.stack, "--output", "json"))

    found = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed}
    assert set(found) == {"HelloFunction", "HelloFunctionRole", "HelloLogs"}
    assert found["HelloFunction"] == app.function


def test_remote_invoke_shows_the_answer_and_logs_shows_the_lines(app: App) -> None:
    assert app.invoke(name="Rex") == {"said": "Rex"}
    assert "hello Rex" in app.sam("logs", "--stack-name", app.stack, "-n", "HelloFunction")


def test_remote_invoke_shows_the_functions_exception(app: App) -> None:
    answer = app.invoke(name="Rex", fail=True)

    assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "no such dog")


@pytest.mark.slow
def test_changes_reach_the_function_by_deploy_and_by_sync(app: App) -> None:
    code = app.folder / "hello" / "app.py"
    app.deploy(Seconds=7)
    code.write_text(code.read_text().replace('"said"', '"heard"'))
    # Without the flag, sync adds a nested stack in SAM's own language, which the embedded AWS does not expand.
    sync = ("sync", "--stack-name", app.stack, "--no-watch", "--no-dependency-layer")
    app.sam(*sync, "--code", typed="y\n")

    timeout = app.clients.aws_json(
        "lambda", "get-function-configuration", "--function-name", app.function, "--query", "Timeout"
    )
    assert app.invoke(name="Rex") == {"heard": "Rex"}
    assert timeout == 7


@pytest.mark.slow
def test_delete_takes_everything_away(clients: Clients, tmp_path: Path) -> None:
    app = App(clients, tmp_path)
    app.sam("build")
    app.deploy()
    name = app.function

    app.sam("delete", "--stack-name", app.stack, "--no-prompts", "--region", "us-east-1")

    functions = clients.aws_json("lambda", "list-functions", "--query", "Functions[].FunctionName")
    roles = clients.aws_json("iam", "list-roles", "--query", "Roles[].RoleName")
    assert name not in functions
    assert not [role for role in roles if role.startswith(app.stack)]
    done = clients.run("sam", "list", "stack-outputs", "--stack-name", app.stack)
    assert "does not exist" in done.stderr


@pytest.mark.parametrize(
    ("command", "service"), [(["list", "endpoints"], "cloudcontrol"), (["traces"], "xray")], ids=["endpoints", "traces"]
)
def test_what_needs_a_service_that_is_not_there_says_so(app: App, command: list[str], service: str) -> None:
    stack = ["--stack-name", app.stack] if command[0] == "list" else []

    done = app.clients.run("sam", *command, *stack, cwd=app.folder)

    assert done.returncode == 1
    assert f"{service} is not there in the local AWS" in done.stderr
