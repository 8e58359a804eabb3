"""`python -m local_aws up [--port N] [--state DIR] [--foreground] | down [--state DIR] | status [--state DIR]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from local_aws import supervisor
from local_aws.settings import DEFAULT_STATE, REPOSITORY_ROOT, Paths


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local_aws", description="The embedded AWS: see local_aws/COVERAGE.md."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("up", "start it"), ("down", "stop it and all it started"), ("status", "show what runs")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--state", type=Path, default=DEFAULT_STATE, help="where everything is kept (%(default)s)")
        if name == "up":
            command.add_argument(
                "--port", type=int, default=0, help="loopback port; 0: the earlier one, or any free one"
            )
            command.add_argument("--foreground", action="store_true", help="stay, until Ctrl-C")
    return parser.parse_args()


def _foreground(root: Path, port: int) -> None:
    """Becomes the emulator: signals and exit code are its own."""
    paths = Paths(root.resolve())
    paths.root.mkdir(parents=True, exist_ok=True)
    supervisor.prepare(paths)
    os.chdir(REPOSITORY_ROOT)
    command = supervisor.command(paths, port or supervisor.last_port(paths))
    os.execve(command[0], command, supervisor.environment(paths))  # noqa: S606 - our own interpreter, no shell


def main() -> int:
    """Exit code 0: done. 1: could not, or (status) nothing runs."""
    arguments = _arguments()
    try:
        return _run(arguments)
    except supervisor.SupervisorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "up" and arguments.foreground:
        _foreground(arguments.state, arguments.port)
    if arguments.command == "up":
        print(supervisor.up(arguments.state, arguments.port)["endpoint_url"])
        return 0
    if arguments.command == "down":
        print("stopped" if supervisor.down(arguments.state) else "was not up")
        return 0
    found = supervisor.status(arguments.state)
    print(json.dumps(found, indent=2) if found else "not up")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
