"""What the parts of a soak share: the stack, the time, the log, and when something was broken on purpose."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from tools.stack import Stack

PATIENCE_SECONDS = 60.0
T = TypeVar("T")


@dataclass
class Kill:
    """A process that was killed: what it was, when (seconds of the soak), and how long the stack took to recover.

    ``recovered`` is None while it has not.
    """

    kind: str
    what: str
    at: float
    recovered: float | None = None
    gave_up: bool = False


@dataclass
class World:
    """One soak."""

    stack: Stack
    state: Path
    pictures: list[Path]
    seed: int
    print_lines: bool = True
    over: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    kills: list[Kill] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def seconds(self) -> float:
        """How long the soak has lasted."""
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        """A line of the log, with its time."""
        minutes, seconds = divmod(int(self.seconds()), 60)
        line = f"{minutes:3d}:{seconds:02d}  {text}"
        self.lines.append(line)
        if self.print_lines:
            print(line, flush=True)

    def disturbed(self, since: float, until: float) -> bool:
        """Whether something that answers requests was killed and had not recovered in that time of the soak."""
        for kill in list(self.kills):
            ended = until if kill.recovered is None else kill.at + kill.recovered
            if kill.kind in {"endpoint", "function", "emulator"} and kill.at <= until and ended >= since:
                return True
        return False


def patient(call: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """What the call gives, tried again while the embedded AWS is down or says that it is at fault."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500 or time.monotonic() > deadline:
                raise
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.3)
