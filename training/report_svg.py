"""What the report's drawings are made of: axes, text, frames. Colours come from the page's style sheet."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from training.report_html import Html, tag

WIDTH, HEIGHT = 380, 250  # of a chart; small, so that a phone need not shrink it
LEFT, RIGHT, TOP, BOTTOM = 50, 18, 34, 38
WIDE_RANGE = 30  # the largest value over the smallest from which on a scale is logarithmic
Point = tuple[float, float]
Teller = Callable[[float], str]


@dataclass(frozen=True)
class Axis:
    """The part of a scale that is drawn, and its ticks, within low..high."""

    low: float
    high: float
    step: float

    def ticks(self) -> Iterator[float]:
        """The round values from low to high."""
        for n in range(math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9) + 1):
            yield n * self.step

    def place(self, value: float, start: float, end: float) -> float:
        """Where between `start` and `end` the value lies."""
        return start + (value - self.low) / (self.high - self.low) * (end - start)


def axis(values: Sequence[float], most: float = math.inf) -> Axis:
    """An axis with about five round ticks that holds all values, none of which is above `most`."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) / 10 or 1.0
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    low = math.floor(low / step) * step
    high = max(math.ceil(high / step) * step, low + step)
    if low >= most:  # all values are the highest there can be: room below them, where they might have been
        low = most - 2 * step
    return Axis(low, min(high, most), step)


@dataclass(frozen=True)
class LogAxis(Axis):
    """A logarithmic axis over powers of ten, `step` decades apart; `low` and `high` are above zero."""

    def ticks(self) -> Iterator[float]:
        """The powers of ten from low to high."""
        first, last = math.log10(self.low) - 1e-9, math.log10(self.high) + 1e-9
        for n in range(math.ceil(first / self.step), math.floor(last / self.step) + 1):
            yield 10.0 ** (n * self.step)

    def place(self, value: float, start: float, end: float) -> float:
        """Where between `start` and `end` the value lies."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return start + share * (end - start)


def spread_axis(values: Sequence[float]) -> Axis:
    """An axis that holds all values: logarithmic where none is zero and they span a factor of over 30."""
    low, high = min(values), max(values)
    if low <= 0 or high <= WIDE_RANGE * low:
        return axis(values)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return LogAxis(10.0**first, 10.0**last, max(1, math.ceil((last - first) / 6)))


def frame(
    up: Axis, across: Axis, upward: Teller, sideward: Teller, *, labelled: bool = True, floor: float = HEIGHT - BOTTOM
) -> Iterator[Html]:
    """Lines and labels of both axes, the one that goes up from `floor`; without `labelled`, not those across."""
    for tick in up.ticks():
        y = up.place(tick, floor, TOP)
        yield tag("path", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", class_="grid")
        yield text_at(LEFT - 6, y + 4, upward(tick), "end", "soft")
    for tick in across.ticks() if labelled else ():
        x = across.place(tick, LEFT, WIDTH - RIGHT)
        yield text_at(x, HEIGHT - BOTTOM + 16, sideward(tick), "middle", "soft")


def drawing(width: int, height: int, title: str, told: str, parts: Sequence[Html], *, shrink: bool = True) -> Html:
    """The whole SVG; `told` is for those who do not see it. Without `shrink` it keeps its size, to be scrolled."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", told),
        *parts,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=f"{title}. {told}",
        class_="chart" if shrink else "chart whole",
    )


def text_at(
    x: float, y: float, text: str, anchor: str = "start", kind: str = "", *, size: int = 12, turned: str | None = None
) -> Html:
    """`text` at a place; `turned` is a transform that goes instead of it."""
    ends = None if anchor == "start" else anchor
    return tag(
        "text",
        text,
        x=None if turned else x,
        y=None if turned else y,
        text_anchor=ends,
        class_=kind or None,
        font_size=size,
        transform=turned,
    )


def axis_name(name: str, height: int) -> Html:
    """What the axis below a chart of this height shows."""
    return text_at((LEFT + WIDTH - RIGHT) / 2, height - 6, name, "middle")


def percent_of(share: float) -> str:
    """A share as a tick tells it."""
    return f"{round(share * 100, 1):g}%"


def plain(value: float) -> str:
    """A number as a tick tells it."""
    return f"{value:g}"
