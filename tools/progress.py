"""Progress of long work: a live table on a terminal, plain lines elsewhere (logs, CI, a pipe)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

MARKS = {"done": Text("✓", style="green"), "failed": Text("✗", style="bold red")}
SHORT_SECONDS = 0.05  # a step that took less is no news: choices and assignments of a state machine


@dataclass
class Step:
    """One line of the display. ``seconds`` counts only while the step runs; a step may be entered again."""

    name: str
    status: str = "running"
    detail: str = ""
    seconds: float = 0.0
    entered: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds spent in the step so far."""
        return self.seconds + (time.monotonic() - self.entered if self.status == "running" else 0.0)


class Progress:
    """Shows steps as they begin, tell details and end. Use as a context manager around the whole work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[str, Step] = {}
        self._spinner = Spinner("dots")
        self._whole = False
        self._live = Live(self, console=console, refresh_per_second=8, transient=False)
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for step in self._steps.values():
            if step.status == "running":
                self.end(step.name, failed=error is not None)
        self._close()

    def begin(self, name: str) -> None:
        """Start a step, or go on with one that ended (a loop in the state machine comes back to its states)."""
        step = self._steps.get(name)
        if step is None:
            self._steps[name] = Step(name)
            self._line(f"{name} …")
        elif step.status != "running":
            step.status, step.entered = "running", time.monotonic()

    def chapter(self, title: str) -> None:
        """What is done next is told apart from what was: the lines so far stay, and steps may have the same names."""
        if self._console.is_terminal:
            self._close()
            self._live = Live(self, console=self._console, refresh_per_second=8, transient=False)
        self._steps = {}
        self._console.print(f"\n{title}", style="bold", highlight=False)
        if self._console.is_terminal:
            self._live.start()

    def _close(self) -> None:
        """Leave what was done on the screen, also the lines that the terminal had no room for while it was live."""
        self._whole = True
        self._live.stop()
        self._whole = False

    def detail(self, name: str, text: str) -> None:
        """Say what the step is doing just now."""
        step = self._steps[name]
        if text != step.detail:
            step.detail = text
            self._line(f"{name}: {text}")

    def count(self, name: str, done: int, total: int) -> None:
        """Say how much of the step is done; plain output gets a line every tenth of the way."""
        if self._console.is_terminal or done * 10 // total > (done - 1) * 10 // total:
            self.detail(name, f"{done} of {total}")

    def end(self, name: str, *, failed: bool = False) -> None:
        """Finish a step."""
        step = self._steps[name]
        first_time = step.seconds == 0.0
        step.seconds, step.status = step.elapsed(), "failed" if failed else "done"
        if failed or (first_time and step.seconds >= SHORT_SECONDS):
            self._line(f"{name} {step.status} in {step.seconds:.1f} s")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step around a block; it fails when the block raises."""
        self.begin(name)
        try:
            yield
        except BaseException:
            self.end(name, failed=True)
            raise
        self.end(name)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            stamp = f"[{time.monotonic() - self._began:6.1f} s]"
            self._console.print(f"{stamp} {text}", highlight=False, markup=False, soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        steps = [step for step in self._steps.values() if step.status != "done" or step.seconds >= SHORT_SECONDS]
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(width=1)
        table.add_column(width=max((len(step.name) for step in steps), default=0))
        table.add_column(justify="right", width=7)
        table.add_column(no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
        for step in steps if self._whole else steps[-(console.height - 2) :]:
            mark = MARKS.get(step.status, self._spinner)
            table.add_row(mark, step.name, f"{step.elapsed():.1f} s", step.detail)
        yield table
