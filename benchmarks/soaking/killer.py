"""Kills processes of every kind at random, starts the embedded AWS again, and times the recovery from each kill."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soaking.ledger import Ledger
from benchmarks.soaking.requests import Requests, recovery
from benchmarks.soaking.victims import kill
from benchmarks.soaking.world import Kill, World
from tools import local_stack

# How often each kind comes in one round; rounds are shuffled.
ROUND = (*("endpoint", "function", "job") * 4, "instance", "instance", "instance", "emulator")
ONCE = ("endpoint", "instance", "emulator", "function", "job")
WAIT_SECONDS = 240.0  # for a job or an instance to be there
RECOVERY_SECONDS = 120.0


@dataclass
class Killer:
    """One kill after the other, `gap` seconds apart on average."""

    world: World
    ledger: Ledger
    requests: Requests
    gap: float
    spared_after: float  # seconds of the soak after which the emulator lives, so that its growth can be seen
    once: bool = False  # each kind once, and no more
    up_seconds: list[float] = field(default_factory=list)  # from the command to the embedded AWS's answer

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.world.seed}-kills")

    @property
    def counts(self) -> Counter[str]:
        """Kills by kind."""
        return Counter(one.kind for one in self.world.kills)

    def run(self) -> None:
        """Until the soak is over."""
        while not self.world.over.is_set():
            kinds = list(ONCE if self.once else ROUND)
            if not self.once:
                self._chance.shuffle(kinds)
            for kind in kinds:
                if kind == "emulator" and self.world.seconds() > self.spared_after:
                    continue
                if self.world.over.wait(self._chance.uniform(0.5, 1.5) * self.gap):
                    return
                self._one(kind)
            if self.once:
                return

    def _one(self, kind: str) -> None:
        """Waits for a victim of the kind, kills it, and waits until what it did is done again."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.world.over.is_set() and time.monotonic() < deadline:
            if kind in {"job", "instance"} and self.world.over.wait(self._chance.uniform(0, 3)):  # at any moment of it
                return
            # Noted before, so that no request fails in between.
            note = Kill(kind, "", self.world.seconds())
            self.world.kills.append(note)
            what = kill(self.world.state, kind, self._chance)
            if what is not None:
                note.what = what
                self.world.say(f"killed {kind}: {what}")
                self._after(note)
                return
            self.world.kills.remove(note)
            time.sleep(0.2)
        self.world.say(f"no {kind} to kill")

    def _after(self, note: Kill) -> None:
        if note.kind in {"job", "instance"}:  # the run it belongs to tells (runs.py)
            return
        if note.kind == "emulator":
            self._start_again()
        seconds = recovery(self.requests, RECOVERY_SECONDS)
        note.gave_up = seconds is None
        note.recovered = self.world.seconds() - note.at
        self.world.say(f"recovered from {note.kind} after {note.recovered:.1f} s" + " NOT" * note.gave_up)
        if note.kind == "emulator":
            lost = self.ledger.check()
            self.world.say(f"ledger: {self.ledger.acknowledged} acknowledged, {len(lost)} lost")

    def _start_again(self) -> None:
        """What an operator does, or a supervisor: the same command as the first time."""
        began = time.monotonic()
        command = [sys.executable, "-m", "local_aws", "up", "--state", str(Path(self.world.state))]
        local_stack.run(command, "starting the embedded AWS again")
        self.up_seconds.append(time.monotonic() - began)
