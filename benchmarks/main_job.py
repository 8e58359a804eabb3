"""`make demo`, the tutorial and `make test` as a newcomer meets them: a fresh clone, no environment.

    python -m benchmarks.main_job [--clone FOLDER]

The commands of docs/tutorial.md are typed as they stand there, and then the `curl` line that `make up` prints; the
pictures are drawn ones, in a folder for each class. Caches: pip's cache is switched off. The working tree's commits
are what is cloned. ``--clone``: a clone that is there, with its environments, is used instead, and nothing recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.claims import ROOT, claim, record

PIPELINE_SECONDS = re.compile(r"Pipeline: (\d+) s")
OWN = ("--breeds", "4", "--train", "40", "--valid", "1", "--test", "1")  # 40 pictures of each class, as in the tutorial
TUTORIAL = (
    ".venv/bin/python -m training.data split ../my-pictures ../my-set",
    ".venv/bin/python -m training.data check ../my-set",
    "make up DATA=../my-set",
)


def main() -> int:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.main_job", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clone", type=Path, help="a clone that is there: for trying this script")
    there = parser.parse_args().clone
    if there:
        print(_tutorial(there))
        return 0
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        clone = Path(scratch) / "kennel"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        setup, _ = _timed(clone, "make setup")
        first, said = _timed(clone, "make demo")
        second, _ = _timed(clone, "make demo")
        steps = _tutorial(clone)
        tests, tests_said = _timed(clone, "make test")
    job = PIPELINE_SECONDS.search(said)
    claims = [
        claim("make demo, fresh clone and empty caches", "<=", 480, setup + first, "s"),
        claim("of which the pipeline", "<=", 120, float(job.group(1)) if job else float("inf"), "s"),
        claim("make demo again", "<=", 120, second, "s"),
        claim("the tutorial, from the fresh clone to the page", "<=", 300, setup + sum(steps.values()), "s"),
        claim("make test, environment there", "<=", 600, tests, "s"),
    ]
    details = {"make_setup_s": setup, "tutorial_s": steps, "make_test_said": tests_said.strip().splitlines()[-1]}
    return record("main_job", claims, details)


def _tutorial(clone: Path) -> dict[str, float]:
    """Follows the page behind `make setup`; seconds of each command. Raises when one fails or the page has another."""
    page = (clone / "docs" / "tutorial.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=clone.parent) as drawn:
        _timed(clone, shlex.join((".venv/bin/python", "-m", "tools.draw_dogs", drawn, *OWN)))
        (Path(drawn) / "train").rename(clone.parent / "my-pictures")
    seconds, said = {}, ""
    try:
        for command in TUTORIAL:
            if f"\n    {command}\n" not in page:
                raise SystemExit(f"docs/tutorial.md has no {command}")
            seconds[command], said = _timed(clone, command)
        _ask(clone, said)
    finally:
        _timed(clone, "make down")
    return seconds


def _ask(clone: Path, said: str) -> None:
    """Types the line that `make up` printed, and opens the page. Raises when either does not answer."""
    line = next(line for line in said.splitlines() if line.startswith("curl "))
    answer = json.loads(_timed(clone, line)[1])
    page = next(line for line in reversed(said.splitlines()) if line.startswith("http"))
    with urllib.request.urlopen(page) as opened:  # the address is ours
        shown = opened.read().decode()
    if not answer["predictions"] or "<!doctype html>" not in shown.lower():
        raise SystemExit(f"the stack answers {answer}, the page is {shown[:200]}")


def _timed(clone: Path, command: str) -> tuple[float, str]:
    """Seconds that the command took in the clone, and what it printed. Raises when it failed."""
    # Nothing that this process has from its own environment may help the clone along.
    environment = {
        key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "KENNEL_SAM", "PYTHONPATH"}
    }
    began = time.perf_counter()
    done = subprocess.run(
        shlex.split(command),
        cwd=clone,
        env=environment | {"PIP_NO_CACHE_DIR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    sys.exit(main())
