"""Runs in `.venv-sam`: reads commands of the AWS CLI and the SAM CLI, a list of words each, and says what is wrong.

Both are the real programs: the AWS CLI parses and checks a command up to the moment before its request would go out,
the SAM CLI up to the moment before it would begin. "" is said of a command that gets so far.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from functools import cache
from typing import Any

import click
from awscli.clidriver import create_clidriver  # type: ignore[import-not-found]
from samcli.cli.main import cli  # type: ignore[import-not-found]


class ReachedError(BaseException):
    """Nothing goes further than this."""


def aws(words: list[str]) -> str:
    """What the AWS CLI has against a command."""
    reached: list[str] = []
    wrong: list[str] = []

    def building(params: Any, model: Any, **_: object) -> None:
        wrong.extend(outside(params, model.input_shape))

    def calling(model: Any, **_: object) -> None:
        reached.append(model.name)
        raise ReachedError

    driver = create_clidriver()
    driver.session.register_component("data_loader", loader())
    driver.session.register("before-parameter-build", building)
    driver.session.register("before-call", calling)
    with contextlib.suppress(ReachedError, SystemExit):
        driver.main(words)
    if wrong or reached:
        return "; ".join(wrong)
    return "the AWS CLI refuses it"


@cache
def loader() -> Any:
    """What reads the services' models, and keeps them."""
    return create_clidriver().session.get_component("data_loader")


def outside(value: Any, shape: Any) -> list[str]:
    """Texts that are none of the values that the service names for them; the AWS CLI leaves that to the service."""
    if shape is None or value is None:
        return []
    if shape.type_name == "structure":
        return [one for name, member in value.items() for one in outside(member, shape.members.get(name))]
    if shape.type_name == "list":
        return [one for member in value for one in outside(member, shape.member)]
    enum = getattr(shape, "enum", None)
    return [f"{value} is none of {', '.join(enum)}"] if enum and value not in enum else []


def sam(words: list[str]) -> str:
    """What the SAM CLI has against a command."""
    try:
        context = cli.make_context("sam", list(words))
        name, command, rest = cli.resolve_command(context, [*context.protected_args, *context.args])
        command.make_context(name, rest, parent=context)
    except click.ClickException as error:
        return error.format_message()
    return ""


def main() -> None:
    """Commands on stdin, findings on stdout, in the same order."""
    findings = []
    for program, *words in json.load(sys.stdin):
        said = io.TextIOWrapper(io.BytesIO(), write_through=True)  # both want to say how it encodes
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            finding = {"aws": aws, "sam": sam}[program](words)
        said.seek(0)
        findings.append(finding and f"{finding}: {said.read().strip()[-300:]}")
    json.dump(findings, sys.stdout)


if __name__ == "__main__":
    main()
