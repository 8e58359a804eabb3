"""Whether a command would be taken, by the programs themselves wherever they can be asked without doing it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from kennel import openapi

from tests.contract import environment, template

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
VENV_SAM = ROOT / ".venv-sam" / "bin" / "python"
# What the files of a reader hold, where a command takes their content.
CONTENTS = {"overrides": "ScalingMinimum=2 ScalingMaximum=10"}
OF_THE_SYSTEM = {"cd", "mkdir", "tar", "unset"}  # they take any name, and are not ours to test
_ASSIGNED = re.compile(r"([A-Z][A-Z0-9_]*)=.*", re.S)
_OTHERS = ("AWS_", "PIP_", "PYTHON", "SM_CHANNEL_")  # read by others, or by a part of the name
_INSIDE = re.compile(r"\$\(([^()]*)\)")
_FILES = re.compile(r"(?<![\w/])(?:events|docs|statemachine|tests)/[\w./-]+\.(?:json|md)|(?<![\w/])tests/[\w/]+")


class Refused(Exception):  # noqa: N818 - what a program says of a command
    """A command would not be taken; the message says why."""


class _Parsed(BaseException):
    """A program has read its arguments: nothing goes further than this."""


def checked(command: str) -> list[tuple[str, ...]]:
    """Checks what can be checked here; commands of the AWS and SAM CLIs are answered, to be checked all together.

    Raises Refused with a sentence.
    """
    if missing := [name for name in _FILES.findall(command) if not (ROOT / name).exists()]:
        raise Refused(f"there is no {missing[0]}")
    left: list[tuple[str, ...]] = []

    def answer(inside: re.Match[str]) -> str:
        if inside[1].startswith("cat "):
            return CONTENTS[inside[1].removeprefix("cat ")]
        left.extend(checked(inside[1]))
        return "ANSWER"

    typed = _INSIDE.sub(answer, command.partition(" > ")[0])
    for part in typed.removeprefix("export ").split(" && "):
        words = shlex.split(part)
        while words and (assigned := _ASSIGNED.fullmatch(words[0])):
            if not assigned[1].startswith(_OTHERS) and assigned[1] not in environment.read():
                raise Refused(f"nothing reads {assigned[1]}")
            words.pop(0)
        if words:
            left += _program(Path(words[0]).name, words[1:])
    return left


def _program(name: str, arguments: list[str]) -> list[tuple[str, ...]]:
    if name in ("aws", "sam"):
        _parameters(arguments)
        return [(name, *arguments)]
    if name == "make":
        return _make(arguments)
    if name == "python":
        _python(arguments)
    elif name == "curl":
        _curl(arguments)
    elif name == "pytest":
        _parsed("pytest", [*arguments, "--help"])
    elif name not in OF_THE_SYSTEM:
        raise Refused(f"no test can check {name}")
    return []


def _parameters(arguments: list[str]) -> None:
    """What is overridden are parameters of the template; the SAM CLI leaves that to CloudFormation."""
    if "--parameter-overrides" in arguments:
        pairs = arguments[arguments.index("--parameter-overrides") + 1].split()
        if unknown := {pair.partition("=")[0] for pair in pairs} - template.load()["Parameters"].keys():
            raise Refused(f"the template has no {', '.join(unknown)}")


def _make(arguments: list[str]) -> list[tuple[str, ...]]:
    """The targets and variables are the Makefile's, and what make would run would be taken, too."""
    left = []
    for line in _dry_run(*arguments).splitlines():
        call = re.match(r"(?:\.venv(?:-sam)?/bin/)(python -m (?:tools|benchmarks)\S* ?.*|sam .*)", line)
        left += checked(call[1]) if call else []
    for name, given, value in (argument.partition("=") for argument in arguments):
        if given and not re.search(rf"\$\([^()]*(?:\$\()?\b{name}\b", MAKEFILE):
            raise Refused(f"the Makefile knows no {name}")
        if arguments[0] == "bench" and given:
            _origin(f"benchmarks.{value}")
    return left


@cache
def _dry_run(*arguments: str) -> str:
    done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def _python(arguments: list[str]) -> None:
    """`python -m MODULE` or one of training's programs: its own parser takes the arguments."""
    program, *given = arguments[1:] if arguments[:1] == ["-m"] else arguments
    if re.fullmatch(r"training/\w+\.py", program):
        _parsed(program[:-3].replace("/", "."), given, by="main")
        return
    if arguments[:1] != ["-m"]:
        raise Refused(f"{program} is neither a module nor a program of training")
    if program == "tools.asl_check":  # it takes files
        given = [name for name in given if not [*ROOT.glob(name)]]
    if "ArgumentParser" in _origin(program).read_text(encoding="utf-8"):
        _parsed(program, given)
    elif given:
        raise Refused(f"{program} takes no {' '.join(given)}")


def _origin(module: str) -> Path:
    """The file that `python -m MODULE` runs."""
    with contextlib.suppress(ModuleNotFoundError):
        found = importlib.util.find_spec(module)
        if found and found.submodule_search_locations:
            found = importlib.util.find_spec(f"{module}.__main__")
        if found and found.origin:
            return Path(found.origin)
    raise Refused(f"there is no module {module} to run")


def _parsed(module: str, given: list[str], by: str = "") -> None:
    """Starts a module as its program, or by a function of it, until it has read its arguments."""
    said = io.TextIOWrapper(io.BytesIO(), write_through=True)  # which can be told how to encode, as a terminal's can
    with _reading(module, given), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            if by:
                getattr(importlib.import_module(module), by)(given)
            else:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
        except _Parsed:
            return
        except SystemExit as ended:
            if ended.code == 0:  # --help
                return
            said.seek(0)
            raise Refused(said.read().strip().rpartition("\n")[2]) from None
        except Exception as error:
            raise Refused(f"{module}: {error}") from error
    raise Refused(f"{module} reads no arguments")


@contextlib.contextmanager
def _reading(module: str, given: list[str]) -> Iterator[None]:
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *asked: Any) -> None:
        parse(self, *asked)
        raise _Parsed

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        mock.patch.object(sys, "argv", [module, *given]),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # that a module which is run was imported before
        yield


def _curl(arguments: list[str]) -> None:
    """A route of the API with its method, key and content type, by the API's own description."""
    parser = argparse.ArgumentParser(prog="curl", exit_on_error=False)
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("--data-binary")
    parser.add_argument("url")
    given, unknown = parser.parse_known_args(arguments)
    place = re.fullmatch(
        r"(?:API_URL|http://127\.0\.0\.1:\d+/restapis/\w+/v1/_user_request_)(/[^?]*)\??(.*)", given.url
    )
    if unknown or not place:
        raise Refused(f"{' '.join(unknown) or given.url}: not an option or a route that is known here")
    method = "post" if given.data_binary else "get"
    operation = openapi.document("API_KEY")["paths"].get(place[1], {}).get(method)
    if not operation:
        raise Refused(f"the API has no {method.upper()} {place[1]}")
    headers = dict(header.split(": ", 1) for header in given.H)
    if operation["security"] and "x-api-key" not in headers:
        raise Refused(f"{place[1]} wants a key")
    if given.data_binary and headers.get("content-type") not in operation["requestBody"]["content"]:
        raise Refused(f"{place[1]} takes {', '.join(operation['requestBody']['content'])}")
    names = {one.get("name") for one in operation.get("parameters", [])}
    if strange := {pair.partition("=")[0] for pair in place[2].split("&") if pair} - names:
        raise Refused(f"{place[1]} has no {', '.join(strange)}")


def in_venv_sam(commands: Sequence[tuple[str, ...]], folder: Path) -> dict[tuple[str, ...], str]:
    """What the real AWS CLI and SAM CLI have against each command, "" for nothing; they are started in `folder`."""
    distinct = list(dict.fromkeys(commands))
    nothing = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), "/nonexistent")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_DEFAULT_REGION": "us-east-1", **nothing}
    environment |= {"SAM_CLI_TELEMETRY": "0", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [str(VENV_SAM), str(Path(__file__).with_name("in_venv_sam.py"))],
        input=json.dumps(distinct),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(distinct, json.loads(done.stdout), strict=True))
