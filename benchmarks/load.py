"""MINUTES (30) at 80 % of the serving process's peak, then a minute at twice the peak: latency, rejections, memory.

The model is one that training makes here with its default network, on photographs (DATA=folder; without it those
beside the checkout, else drawn dogs), served in f32. Each of 200 different pictures is first asked alone, twice; under
load every answer is compared with its own picture's by its logits, and the pictures' are checked to lie further apart
than what is let pass. Retries are not remembered (SERVING_REMEMBERED=0): everything is computed.

Latency counts from when a request was due. `unloaded` is one request at a time; the peak is what 32 at a time get
answered a second. The client runs on the same cores and takes its part of them, in every phase. At 80 % requests are
due evenly; callers who come independently queue by chance at that load however fast the server is, which the figure "as
independent callers come" shows for a minute without a goal. Virtual processors are not always equally fast: the same
work costs more CPU time when neighbours keep the caches and the other half of a core busy. So the CPU time of server
and client a request is taken down for every five seconds, and for how many of them the cores had no time for 80 % of
the peak, whatever the server does; three minutes at 60 % show the server where such times fit in. Recovery: from the
end of the overload to the first of three seconds in a row, at 80 % again, with every request answered 200 and the 95th
percentile within the limit that holds for 80 %. Memory: the slope of a straight line through the resident megabytes,
each second of the second half of the 80 %; of a few minutes it says little.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import uvloop

from benchmarks.claims import claim, figure, record, rounded
from benchmarks.parts import jobs
from benchmarks.parts.open_loop import Answer, Client, at_random, evenly, post
from benchmarks.parts.pictures import photographs
from benchmarks.parts.server import Server, serving

MINUTES = float(os.environ.get("MINUTES", "30"))
PICTURES = 200
TRAINED_ON = {"train": 4, "valid": 2}  # pictures of each class: enough for a model that tells them apart
SHARE, LOWER_SHARE = 0.8, 0.6  # of the peak
FACTOR = 2.0  # of the unloaded p99, at that share
OVERLOAD = 2.0  # times the peak
UNLOADED_SECONDS, PEAK_SECONDS, MINUTE, AFTER_SECONDS = 60.0, 20.0, 60.0, 30.0
LOWER_MINUTES, WINDOW_SECONDS = 3.0, 5
PEAK_AT_A_TIME, PEAK_ROUNDS = 32, 3
REJECTED_MS = 250.0  # within which a rejection has to come, 99 of 100 times
SLOPE_MB = 20.0  # an hour
APART = 0.02  # of a logit: by as much may an answer under load differ from the same picture's alone


@dataclass
class Expected:
    """What each picture is answered alone: its body, and its logits [pictures, classes]."""

    bodies: list[bytes] = field(default_factory=list)
    logits: list[list[float]] = field(default_factory=list)

    def right(self, number: int, body: bytes) -> bool:
        """Whether `body` answers picture `number`."""
        if body == self.bodies[number]:
            return True
        try:
            found = json.loads(body)["logits"]
            return len(found) == len(self.logits[number]) and worst(found, self.logits[number]) <= APART
        except (ValueError, LookupError, TypeError):
            return False

    def nearest(self) -> float:
        """How far the two pictures are apart whose logits are nearest to each other."""
        rows = np.array(self.logits)
        gaps = np.abs(rows[:, None] - rows[None]).max(axis=2)
        return float(gaps[~np.eye(len(rows), dtype=bool)].min())


def worst(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference between two pictures' logits."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Look:
    """What was seen `second` seconds after the 80 % began: resident megabytes, CPU seconds of server and client."""

    second: float
    megabytes: float
    cpu: float


@dataclass
class Phases:
    """The answers of each phase, and what was seen each second of the 80 %."""

    unloaded: list[Answer]
    peak: float  # requests/s
    peaks: list[Answer]
    steady: list[Answer]
    looks: list[Look]
    independent: list[Answer]
    lower: list[Answer]
    over: list[Answer]
    after: list[Answer]
    over_ended: float


async def measure(server: Server, payloads: list[bytes]) -> tuple[Phases, Expected]:
    """Everything, one phase after the other."""
    expected = Expected()
    client = Client(server.port, payloads, expected.right)
    await learn(client, expected, len(payloads))
    say("one at a time")
    unloaded = await client.in_turn(1, UNLOADED_SECONDS)
    say(f"{PEAK_AT_A_TIME} at a time")
    peaks = [await client.in_turn(PEAK_AT_A_TIME, PEAK_SECONDS) for _ in range(PEAK_ROUNDS)]
    peak = sorted(len(answers) / PEAK_SECONDS for answers in peaks)[PEAK_ROUNDS // 2]
    say(f"{MINUTES:g} minutes at {SHARE:.0%} of {peak:.1f} requests/s")
    looks: list[Look] = []
    watch = asyncio.create_task(watched(server, looks))
    steady = await client.due(evenly(SHARE * peak, MINUTES * MINUTE))
    watch.cancel()
    say("the same as independent callers come")
    independent = await client.due(at_random(SHARE * peak, MINUTE))
    say(f"{LOWER_MINUTES:g} minutes at {LOWER_SHARE:.0%}")
    lower = await client.due(evenly(LOWER_SHARE * peak, LOWER_MINUTES * MINUTE))
    say(f"{OVERLOAD:g} times the peak, then {SHARE:.0%} again")
    over = asyncio.create_task(client.due(evenly(OVERLOAD * peak, MINUTE)))
    await asyncio.sleep(MINUTE)
    over_ended = time.monotonic()
    after = await client.due(evenly(SHARE * peak, AFTER_SECONDS))
    found = Phases(
        unloaded, peak, [one for answers in peaks for one in answers], steady, looks, independent, lower,
        await over, after, over_ended,
    )  # fmt: skip
    client.close()
    return found, expected


async def learn(client: Client, expected: Expected, count: int) -> None:
    """Asks each picture alone. Raises RuntimeError when a second time gives another answer, or two pictures one."""
    for number in range(count):
        replies = [await client.ask(number) for _ in range(2)]
        if {reply.status for reply in replies} != {200}:
            raise RuntimeError(f"picture {number} is answered {replies[0].body!r}")
        logits = [json.loads(reply.body)["logits"] for reply in replies]
        if worst(*logits) > APART:
            raise RuntimeError(f"picture {number} is answered in two ways, alone")
        expected.bodies.append(replies[0].body)
        expected.logits.append(logits[0])
    if expected.nearest() <= 2 * APART:
        raise RuntimeError(f"two pictures' logits are only {expected.nearest():g} apart")


async def watched(server: Server, looks: list[Look]) -> None:
    """Takes down memory and CPU time each second."""
    began, client = time.monotonic(), psutil.Process()
    while True:
        cpu = sum(sum(one.cpu_times()[:2]) for one in (server.process, client))
        looks.append(Look(time.monotonic() - began, server.resident_mb(), cpu))
        await asyncio.sleep(1)


def say(what: str) -> None:
    """A line about what comes now."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def within(answers: Sequence[Answer], share: float) -> float:
    """Milliseconds within which `share` (0 to 1) of the requests ended, from when each was due."""
    times = sorted(one.took for one in answers)
    return times[max(0, math.ceil(share * len(times)) - 1)] * 1e3 if times else math.nan


def slope(looks: Sequence[Look]) -> float:
    """MB an hour, over the second half."""
    half = np.array([(one.second, one.megabytes) for one in looks[len(looks) // 2 :]])
    return float(np.polyfit(half[:, 0], half[:, 1], 1)[0] * 3600) if len(half) > 2 else 0.0


def recovered(after: Sequence[Answer], ended: float, limit_ms: float) -> float:
    """Seconds from the end of the overload to the first of three good seconds in a row; infinite if there are none."""
    seconds: dict[int, list[Answer]] = {}
    for one in after:
        seconds.setdefault(int(one.due - ended), []).append(one)
    good = [
        all(one.status == 200 for one in answers) and within(answers, 0.95) <= limit_ms
        for _, answers in sorted(seconds.items())
    ]
    return next((float(n) for n in range(len(good) - 2) if all(good[n : n + 3])), math.inf)


def cpu_ms(steady: Sequence[Answer], looks: Sequence[Look]) -> list[float]:
    """CPU milliseconds of server and client a request that ended, for each WINDOW_SECONDS of the 80 %."""
    began = min(one.due for one in steady)
    ended = np.sort([one.due + one.took - began for one in steady])
    found = []
    for first, last in itertools.pairwise(looks[::WINDOW_SECONDS]):
        count = np.searchsorted(ended, last.second) - np.searchsorted(ended, first.second)
        found.append((last.cpu - first.cpu) / max(1, int(count)) * 1e3)
    return found


def told(answers: Sequence[Answer]) -> dict[str, Any]:
    """Counts and latencies, for the details."""
    return {
        "sent": len(answers),
        "statuses": dict(Counter(one.status for one in answers)),
        "latency_ms": {f"p{share * 100:g}": within(answers, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0)},
        "sent_late_ms_p99": sorted(one.late for one in answers)[int(len(answers) * 0.99)] * 1e3 if answers else 0.0,
    }


def each_minute(phases: Phases) -> list[dict[str, float]]:
    """Latency and memory of each minute at 80 %."""
    began = min(one.due for one in phases.steady)
    rows = []
    for minute in range(math.ceil(MINUTES)):
        answers = [one for one in phases.steady if minute <= (one.due - began) / MINUTE < minute + 1]
        megabytes = [one.megabytes for one in phases.looks if minute <= one.second / MINUTE < minute + 1]
        p50, p99 = within(answers, 0.5), within(answers, 0.99)
        rows.append({"p50_ms": p50, "p99_ms": p99, "resident_mb": max(megabytes, default=math.nan)})
    return rows


def main() -> int:
    """Measure and record."""
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        folder = Path(scratch)
        found = photographs(folder)
        part = found.linked(folder / "part", TRAINED_ON)
        model = jobs.run("train", folder / "model", {"training": part}, precision="f32").folder
        each = math.ceil(PICTURES / len(found.found.classes))
        chosen = found.first("train", each)[:PICTURES]
        payloads = [post(one.path.read_bytes(), "image/jpeg", "top_k=5,logits=1") for one in chosen]
        with serving(model, folder / "serving.log", SERVING_REMEMBERED="0") as server:
            runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
            with runner:
                phases, expected = runner.run(measure(server, payloads))
    limit = FACTOR * within(phases.unloaded, 0.99)
    rejected = [one for one in phases.over if one.status not in (0, 200)]
    under_load = (phases.peaks, phases.steady, phases.independent, phases.lower, phases.over, phases.after)
    every = [one for phase in (phases.unloaded, *under_load) for one in phase]
    accepted = [one for one in phases.over if one.status == 200]
    costs = cpu_ms(phases.steady, phases.looks)
    affordable = (os.cpu_count() or 1) * 1e3 / (SHARE * phases.peak)  # CPU milliseconds a request
    claims = [
        figure("peak, 32 at a time", phases.peak, "requests/s"),
        figure("unloaded, p99", within(phases.unloaded, 0.99), "ms"),
        claim("load at 80 % of the peak", ">=", 30, MINUTES, "minutes"),
        claim("p99 at 80 % over the unloaded p99", "<=", FACTOR, within(phases.steady, 0.99) / limit * FACTOR, "x"),
        claim("requests at 80 % not answered 200", "<=", 0, sum(o.status != 200 for o in phases.steady), "requests"),
        claim("memory at 80 %", "<=", SLOPE_MB, slope(phases.looks), "MB/hour"),
        figure("five seconds at 80 % in which the same request cost the most CPU time, over the median",
               max(costs) / statistics.median(costs), "x"),
        figure("such in which the cores had no time for 80 % of the peak",
               sum(one > affordable for one in costs) / len(costs), "share"),
        figure("p99 at 60 % over the unloaded p99",
               within(phases.lower, 0.99) / within(phases.unloaded, 0.99), "x"),
        figure("requests at 60 % not answered 200", sum(o.status != 200 for o in phases.lower), "requests"),
        figure("p99 at 80 % as independent callers come", within(phases.independent, 0.99), "ms"),
        claim("answers that are not those of their pictures, all phases", "<=", 0,
              sum(one.status == 200 and not one.right for one in every), "answers"),
        claim("requests without an answer, all phases", "<=", 0, sum(one.status == 0 for one in every), "requests"),
        claim("rejections at twice the peak other than 503 with Retry-After", "<=", 0,
              sum(one.status != 503 or not one.retry_after for one in rejected), "requests"),
        claim("rejections at twice the peak, p99", "<=", REJECTED_MS, within(rejected, 0.99), "ms"),
        figure("answered at twice the peak", len(accepted) / MINUTE, "requests/s"),
        claim("recovered after it", "<=", 5, recovered(phases.after, phases.over_ended, limit), "s"),
    ]  # fmt: skip
    details = {
        "pictures": f"{len(payloads)} of {found}",
        "nearest_two_pictures": expected.nearest(),
        "unloaded": told(phases.unloaded),
        "at_the_peak": told(phases.peaks),
        "steady": told(phases.steady),
        "cpu_ms_a_request": {
            "affordable_at_80": affordable,
            **{f"p{share}": float(np.percentile(costs, share)) for share in (0, 10, 50, 90, 100)},
        },
        "independent": told(phases.independent),
        "lower": told(phases.lower),
        "over": {**told(phases.over), "answered": told(accepted), "rejected": told(rejected)},
        "after": told(phases.after),
        "each_minute": each_minute(phases),
    }
    return record("load", claims, rounded(details))


if __name__ == "__main__":
    sys.exit(main())
