"""What a job used: seconds by stage, and memory."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROGRESS_SECONDS = 2.0


class Timings:
    """Seconds per stage, in the order of the stages."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._log = log

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times the block and says so in the log."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)
        self._log(f"stage: {name} took {self.seconds[name]:.1f} s")


class Progress:
    """Says now and then how many of `total` pictures are done, and how many a second."""

    def __init__(self, what: str, total: int, log: Callable[[str], None]) -> None:
        self._what, self._total, self._log = what, total, log
        self._done = 0
        self._began = self._said = time.monotonic()

    def advance(self, pictures: int = 1) -> None:
        """So many more are done."""
        self._done += pictures
        now = time.monotonic()
        if now - self._said >= PROGRESS_SECONDS or self._done == self._total:
            rate = self._done / max(now - self._began, 1e-9)
            self._log(f"{self._what} {self._done}/{self._total} pictures, {rate:.0f}/s")
            self._said = now


def peak_memory_mb() -> float:
    """The most memory this process has held, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
