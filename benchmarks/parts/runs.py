"""Ten full runs one after the other on one stack: all succeed, and the embedded AWS does not grow with them."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.claims import claim, record
from benchmarks.parts.emulator import Footprint, footprint, watched
from tools import ask, demo, pipeline
from tools.progress import Progress
from tools.stack import Stack

RUNS = 10
MODES = ("single", "multi", "ec2")
SETTLED_SECONDS = 3.0  # processes of the model before may still be finishing
PICTURES = 5


def main() -> int:
    """Measure and record."""
    with watched() as (scratch, state, leavings), Progress(Console()) as progress:
        stack, folder = demo.deployed(progress, None, scratch, state)
        pictures = demo.test_pictures(folder)[:PICTURES]
        deployed = footprint(state)
        runs = [_run(number, stack, pictures, state, progress) for number in range(1, RUNS + 1)]
    first, last = runs[0]["footprint"], runs[-1]["footprint"]
    claims = [
        claim("full runs in a row that succeed", ">=", RUNS, sum(one["succeeded"] for one in runs), "runs"),
        claim(
            "of which answer with their own model at once", ">=", RUNS, sum(one["own_answers"] for one in runs), "runs"
        ),
        claim("embedded AWS grows, from run to run", "<=", 5, _growth(first, last), "MB"),
        claim(
            "processes more after the last run than after the first",
            "<=",
            0,
            last.processes - first.processes,
            "processes",
        ),
        claim("open ports more after the last run than after the first", "<=", 0, last.ports - first.ports, "ports"),
        claim(
            "files of jobs, instances and temporary ones more after the last run than after the first",
            "<=",
            0,
            last.passing_files - first.passing_files,
            "files",
        ),
        claim("processes, files and ports left at the end", "<=", 0, len(leavings), "of them"),
    ]
    details = {
        "seconds": [one["seconds"] for one in runs],
        "deployed": asdict(deployed),
        "runs": [{**one, "footprint": asdict(one["footprint"])} for one in runs],
        "left": asdict(leavings),
    }
    return record("full_pipeline_runs", claims, details)


def _growth(first: Footprint, last: Footprint) -> float:
    return (last.emulator_mb - first.emulator_mb) / (RUNS - 1)


def _run(number: int, stack: Stack, pictures: list[Path], state: Path, progress: Progress) -> dict[str, Any]:
    """One run, with a search of its own before the training; what came of it and what was there afterwards."""
    mode = MODES[(number - 1) % len(MODES)]
    progress.chapter(f"run {number}, {mode}")
    asked = {
        "run": f"run-{number}",
        "tune": {"strategy": "bayesian", "trials": 3, "parallel": 2},
        "train": {"mode": mode},
    }
    outcome = pipeline.follow(pipeline.start(stack.state_machines["pipeline"], asked), progress)
    answers = ask.ask(stack, pictures)
    own = all(one.status == 200 and one.body["model"] == outcome.output.get("run") for one in answers)
    time.sleep(SETTLED_SECONDS)
    return {
        "mode": mode,
        "succeeded": outcome.status == "SUCCEEDED",
        "cause": outcome.cause,
        "seconds": round(outcome.seconds, 1),
        "own_answers": own,
        "footprint": footprint(state),
    }
