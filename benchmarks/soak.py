"""A soak of the embedded stack: mixed requests and pipeline runs for hours, and kills of every kind of process.

    python -m benchmarks.soak [--minutes 120] [--seed 1] [--gap 40]

Deploys the stack, trains a small model on drawn dogs, and then for that time: three callers ask in eight forms, each
answer is compared with what that model gives for that picture (computed here from its archive); runs follow one
another (frozen head, EC2, search in one job, batch, two instances; some stopped on the way); and every ``gap`` seconds
a process is killed with SIGKILL: of an endpoint, a function, a job, an EC2 instance with all that it has, or the
embedded AWS itself, which is then started again by the command of the first time, as an operator would. What was
acknowledged (objects, versions, parameters, log lines, points of metrics, executions, model packages) is written down
after each answer, and looked for after each restart and at the end. Ctrl-C ends it and cleans up.

Read the figures so: a request that fails while something that answers requests is dead or coming back counts as
refused, if it was refused cleanly; at any other time it counts as failed. A run that fails after something of it was
killed is well if its error has a name that docs/operate.md explains (or local_aws/COVERAGE.md: the
embedded AWS ended under it): nobody starts it again, and its recovery is its end. Memory and disk are judged
in the last third of the time, in which the embedded AWS itself is not killed and what has a bound (log lines, points of
metrics) is full after an hour or so; the other slopes stand in the details. Disk is told apart: stored objects and
executions grow with each run, because they were to be kept (executions to 1,000); everything else must not. Waits are
10 times shorter than on AWS. Processes are killed, not the machine: what the kernel has taken it has.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.claims import RESULTS, Claim, claim, figure, record, rounded
from benchmarks.parts.emulator import Leavings, watched
from benchmarks.soaking.killer import Killer
from benchmarks.soaking.ledger import Ledger
from benchmarks.soaking.requests import CALLERS, SHOWN, References, Requests
from benchmarks.soaking.runs import Runs
from benchmarks.soaking.samples import Samples
from benchmarks.soaking.victims import KINDS
from benchmarks.soaking.world import Kill, World
from tools import demo, local_stack
from tools.progress import Progress

PICTURES = 12
SPARED = 1 / 3  # of the time, the last, in which the embedded AWS itself is not killed
SHORT = ("ec2", "head", "head")  # the runs of the short form
SIZES = ("--breeds", "4", "--train", "16", "--valid", "8", "--test", "6")
JOIN_SECONDS = 120.0
RECOVERY_GOAL = 30.0
MEMORY_GOAL = DISK_GOAL = 20.0  # MB an hour


@dataclass
class Outcome:
    """A soak that is over."""

    minutes: float
    world: World
    ledger: Ledger
    requests: Requests
    runs: Runs
    killer: Killer
    samples: Samples
    broken: list[str]
    leavings: Leavings

    @property
    def unwell(self) -> list[str]:
        """Runs that ended without a name that explains it, or with one and nothing that was killed, or not at all."""
        return [f"{one.kind}: {one.status} {one.error} {one.cause}"[:300] for one in self.runs.ended if not one.well]

    @property
    def failed(self) -> int:
        """Runs that failed with a name that explains it, after something of theirs was killed."""
        return sum(one.well and one.status == "FAILED" for one in self.runs.ended)

    @property
    def slowest(self) -> float:
        """Seconds of the longest recovery of what answers requests."""
        return max((one.recovered or 0.0 for one in self.of_what_answers), default=0.0)

    @property
    def of_what_answers(self) -> list[Kill]:
        """Kills of endpoints, functions and the embedded AWS; the others end a run, or a step of it."""
        return [one for one in self.world.kills if one.kind not in {"job", "instance"}]


def soak(minutes: float, seed: int, gap: float, *, once: bool = False) -> Outcome:
    """Everything from the deployment to the proof that nothing is left.

    ``once``: it ends when each kind was killed once and then a run has succeeded, or with the time.
    """
    with watched(local_stack.TIME_FACTOR) as (scratch, state, leavings):
        folder = scratch / "dogs"
        local_stack.run([sys.executable, "-m", "tools.draw_dogs", str(folder), *SIZES], "drawing the pictures")
        with Progress(Console()) as progress:
            stack, _ = demo.deployed(progress, folder, scratch, state)
        os.environ["AWS_MAX_ATTEMPTS"] = "1"  # what is not answered was not acknowledged
        world = World(stack, state, demo.test_pictures(folder)[:PICTURES], seed)
        outcome = _soaked(world, minutes, gap, once)
    outcome.leavings = leavings
    return outcome


def _soaked(world: World, minutes: float, gap: float, once: bool) -> Outcome:
    references, ledger, samples = References(world), Ledger(world), Samples(world)
    requests = Requests(world, references)
    runs = Runs(world, ledger, references, SHORT, 0.0) if once else Runs(world, ledger, references)
    killer = Killer(world, ledger, requests, gap, minutes * 60 * (1 - SPARED), once)
    first = runs.one("head")
    if first is None or first.status != "SUCCEEDED":
        raise RuntimeError(f"the first run did not succeed: {first}")
    world.began = time.monotonic()
    runs.ended.clear()
    broken: list[str] = []
    parts: list[tuple[str, Callable[[], None]]] = [("ledger", ledger.run), ("samples", samples.run), ("runs", runs.run)]
    parts += [(f"caller {number}", partial(requests.run, number)) for number in range(CALLERS)]
    threads = [threading.Thread(target=_part, args=(world, broken, *one), name=one[0], daemon=True) for one in parts]
    kills = threading.Thread(target=_part, args=(world, broken, "kills", killer.run), name="kills", daemon=True)
    try:
        for thread in (*threads, kills):
            thread.start()
        enough = (
            (lambda: not kills.is_alive() and runs.succeeded_since(world.kills[-1].at)) if once else (lambda: False)
        )
        _wait(world, minutes, enough, lambda: _minute(world, requests, runs, samples))
    finally:
        world.over.set()
        for thread in (*threads, kills):
            thread.join(JOIN_SECONDS)
    lasted = world.seconds() / 60
    ledger.check(everything=True)
    requests.close()
    world.say(f"over: {ledger.acknowledged} acknowledged, {len(ledger.lost)} lost, {len(requests.wrong)} wrong")
    broken += [f"{thread.name} has not ended" for thread in (*threads, kills) if thread.is_alive()]
    return Outcome(lasted, world, ledger, requests, runs, killer, samples, broken, Leavings())


def _part(world: World, broken: list[str], name: str, work: Callable[[], None]) -> None:
    """A thread's work; what breaks it is a finding, and the rest goes on."""
    try:
        work()
    except Exception:
        broken.append(f"{name}: {traceback.format_exc(limit=-4)}")
        world.say(f"BROKEN: {broken[-1]}")


def _wait(world: World, minutes: float, done: Callable[[], bool], each_minute: Callable[[], None]) -> None:
    """Until the time is over, or `done`."""
    told = 0
    while world.seconds() < minutes * 60 and not done():
        time.sleep(0.5)
        if int(world.seconds() / 60) > told:
            told += 1
            each_minute()


def _minute(world: World, requests: Requests, runs: Runs, samples: Samples) -> None:
    """The line of progress."""
    verdicts = Counter(one.partition(": ")[2] for one in requests.score.elements())
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    now = samples.seen[-1] if samples.seen else None
    memory = (
        f"{now.emulator_mb:.0f} of {now.all_mb:.0f} MB, disk {now.rest_mb:.0f} + {now.kept_mb:.0f} MB" if now else ""
    )
    world.say(f"requests: {told}; runs: {len(runs.ended)}; kills: {len(world.kills)}; {memory}")


def claims(outcome: Outcome, minutes: float) -> list[Claim]:
    """What was reached."""
    counts, ledger, samples = outcome.killer.counts, outcome.ledger, outcome.samples
    memory, disk = samples.late("emulator_mb", SPARED), samples.late("rest_mb", SPARED)
    gave_up, failed = sum(one.gave_up for one in outcome.of_what_answers), outcome.failed
    asked = sum(outcome.requests.score.values())
    return [
        claim("soaked", ">=", minutes, outcome.minutes, "minutes"),
        claim("kinds of process killed on the way", ">=", len(KINDS), len(counts), "kinds"),
        figure("processes killed on the way", sum(counts.values()), "processes"),
        claim("acknowledged things lost", "<=", 0, len(ledger.lost), f"of {ledger.acknowledged}"),
        claim("requests answered wrongly", "<=", 0, len(outcome.requests.wrong), f"of {asked}"),
        claim("requests failed while nothing was down", "<=", 0, len(outcome.requests.failed), f"of {asked}"),
        claim(
            "slowest recovery from a kill of what answers, to right answers",
            "<=",
            RECOVERY_GOAL,
            outcome.slowest,
            "s",
        ),
        claim(
            "kills of what answers after which no right answers came",
            "<=",
            0,
            gave_up,
            f"of {len(outcome.of_what_answers)}",
        ),
        figure(
            "runs that failed, with a name, as something of theirs was killed", failed, f"of {len(outcome.runs.ended)}"
        ),
        claim(
            "runs that ended without a name for it, or not at all",
            "<=",
            0,
            len(outcome.unwell),
            f"of {len(outcome.runs.ended)}",
        ),
        claim("the embedded AWS's memory grows, in the last third", "<=", MEMORY_GOAL, memory.an_hour, "MB an hour"),
        figure("standard error of the memory's growth", memory.error, "MB an hour"),
        claim(
            "disk without objects and executions grows, in the last third", "<=", DISK_GOAL, disk.an_hour, "MB an hour"
        ),
        figure("standard error of the disk's growth", disk.error, "MB an hour"),
        claim("processes, files and ports left at the end", "<=", 0, len(outcome.leavings), "of them"),
        claim("parts of the soak that broke", "<=", 0, len(outcome.broken), "parts"),
    ]


def details(outcome: Outcome, seed: int, gap: float) -> dict[str, Any]:
    """The rest, shortly."""
    killer, requests, samples = outcome.killer, outcome.requests, outcome.samples
    recoveries = {
        kind: sorted(one.recovered for one in outcome.world.kills if one.kind == kind and one.recovered is not None)
        for kind in KINDS
    }
    slopes = ("emulator_mb", "all_mb", "rest_mb", "kept_mb", "files", "descriptors", "threads")
    details = {
        "seed": seed,
        "gap_seconds": gap,
        "time_factor": local_stack.TIME_FACTOR,
        "kills": dict(killer.counts),
        "recovery_s": {
            kind: {"median": statistics.median(all_of), "slowest": all_of[-1]}
            for kind, all_of in recoveries.items()
            if all_of
        },
        "embedded_aws_up_again_s": {"slowest": max(killer.up_seconds, default=0.0)},
        "requests": dict(sorted(requests.score.items())),
        "request_ms": _milliseconds(requests.times),
        "runs": dict(Counter(f"{one.kind}: {one.status} {one.error}".strip() for one in outcome.runs.ended)),
        "acknowledged": {
            name: len(getattr(outcome.ledger, name))
            for name in ("objects", "versions", "parameters", "lines", "points", "executions", "results")
        },
        "not_acknowledged": outcome.ledger.refused + outcome.runs.refused,
        "slopes_an_hour_within_lives": {name: asdict(samples.grown(name)) for name in slopes},
        "slopes_an_hour_over_all": {name: asdict(samples.overall(name)) for name in slopes},
        "samples": samples.each(max(1.0, outcome.minutes / 24)),
        "lost": outcome.ledger.lost[:SHOWN],
        "wrong": requests.wrong[:SHOWN],
        "failed": requests.failed[:SHOWN],
        "unwell": outcome.unwell[:SHOWN],
        "broken": outcome.broken,
        "left": asdict(outcome.leavings),
    }
    return dict(rounded(details))


def _milliseconds(times: list[float]) -> dict[str, float]:
    ordered = sorted(one * 1000 for one in times)
    return {"median": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)]} if ordered else {}


def main() -> int:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gap", type=float, default=40.0, help="seconds between kills, on average (%(default)s)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        outcome = soak(arguments.minutes, arguments.seed, arguments.gap)
    except KeyboardInterrupt:
        print("interrupted: everything that was started has been stopped", file=sys.stderr)
        return 130
    folder = Path(os.environ.get("KENNEL_RESULTS") or RESULTS)
    folder.mkdir(exist_ok=True)
    (folder / "soak.log").write_text("\n".join(outcome.world.lines) + "\n")
    return record("soak", claims(outcome, arguments.minutes), details(outcome, arguments.seed, arguments.gap))


if __name__ == "__main__":
    sys.exit(main())
