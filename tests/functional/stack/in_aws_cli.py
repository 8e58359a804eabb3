"""Runs in `.venv-sam`: commands of the AWS CLI, a list of words each, one after the other; says how each ended.

In one process, because the AWS CLI takes a second to start.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver  # type: ignore[import-not-found]


def main() -> None:
    """Commands on stdin; on stdout the exit status of each, and what it printed."""
    found = []
    for words in json.load(sys.stdin):
        said = io.TextIOWrapper(io.BytesIO(), write_through=True)  # it wants to say how it encodes
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            status = create_clidriver().main(words)
        said.seek(0)
        found.append((status, said.read()))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
