"""The report's drawings as SVG, coloured by the page's style sheet so that they follow light, dark and print."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from training.report_html import Html, shortened, tag
from training.report_shape import BinFigures, SplitFigures

WIDTH, HEIGHT = 380, 250  # of a chart; small, so that a phone need not shrink it
LEFT, RIGHT, TOP, BOTTOM = 50, 18, 34, 38
MOST_POINTS = 300  # of a line: more cannot be told apart at this width
MOST_CELLS, MOST_TITLES = 4000, 800  # of the heat map
FAINTEST = 0.35  # opacity of a cell: one picture must be seen among hundreds
LABEL_LENGTH = 28  # characters of a class's name beside the heat map
Point = tuple[float, float]
Teller = Callable[[float], str]


@dataclass(frozen=True)
class Line:
    """One line of a chart: a value for each x. `kind` is its class in the style sheet: first or second."""

    name: str
    kind: str
    values: Sequence[float]


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


def line_chart(title: str, x_name: str, xs: Sequence[int], lines: Sequence[Line], *, best: int, shares: bool) -> Html:
    """`lines` over `xs`, with a mark at x = `best`. With `shares`, the values lie in 0..1 and are told in per cent."""
    across = axis([xs[0], xs[-1]])
    across = Axis(xs[0], max(xs[-1], xs[0] + 1), max(1.0, across.step))
    up = axis([value for line in lines for value in line.values], 1.0 if shares else math.inf)
    kept = thinned(range(len(xs)), MOST_POINTS)

    def at(x: float, y: float) -> Point:
        return across.place(x, LEFT, WIDTH - RIGHT), up.place(y, HEIGHT - BOTTOM, TOP)

    parts = [*_frame(up, across, _percent if shares else _plain, _plain), _x_name(x_name, HEIGHT)]
    marked = at(best, up.low)[0]
    parts.append(tag("path", d=f"M{marked:.1f} {TOP}V{HEIGHT - BOTTOM}", class_="best"))
    for number, line in enumerate(lines):
        points = [at(xs[n], line.values[n]) for n in kept]
        if len(points) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(tag("polyline", points=path, class_=f"line {line.kind}"))
        if len(points) <= 40:
            parts += [tag("circle", cx=x, cy=y, r=2.5, class_=f"dot {line.kind}") for x, y in points]
        start = LEFT + number * 110
        parts.append(tag("path", d=f"M{start} 14h24", class_=f"line {line.kind}"))
        parts.append(_text(start + 30, 18, line.name))
    start = LEFT + len(lines) * 110
    parts += [tag("path", d=f"M{start} 14h24", class_="best"), _text(start + 30, 18, "shipped")]
    told = "; ".join(f"{line.name} from {line.values[0]:.3f} to {line.values[-1]:.3f}" for line in lines)
    return _drawing(WIDTH, HEIGHT, title, f"{told}. The epoch that is shipped is {best}.", parts)


def reliability_diagram(bins: Sequence[BinFigures]) -> Html:
    """Accuracy over probability, a bar for each bin beside the diagonal of perfect honesty; below, the counts."""
    up, across = Axis(0, 1, 0.25), Axis(0, 1, 0.2)
    below, deep = HEIGHT + 14, 60  # where the counts begin, and how high they are
    most = max(1, *(one["pictures"] for one in bins))
    parts = [*_frame(up, across, _percent, _percent, labelled=False)]
    for one in bins:
        left, right = (across.place(one[end], LEFT, WIDTH - RIGHT) for end in ("low", "high"))
        tall = one["pictures"] / most * deep
        box = {"x": left + 1, "width": right - left - 2}
        told = f"{_percent(one['low'])} to {_percent(one['high'])}: {one['pictures']} pictures"
        if one["accuracy"] is not None and one["confidence"] is not None:
            told += f", mean probability {one['confidence']:.1%}, right {one['accuracy']:.1%}"
            top = up.place(one["accuracy"], HEIGHT - BOTTOM, TOP)
            title = tag("title", told)
            parts.append(tag("rect", title, y=top, height=HEIGHT - BOTTOM - top, class_="bar", **box))
            centre = across.place(one["confidence"], LEFT, WIDTH - RIGHT)
            ideal = up.place(one["confidence"], HEIGHT - BOTTOM, TOP)
            parts.append(tag("path", d=f"M{centre:.1f} {ideal:.1f}V{top:.1f}", class_="gap"))
            parts.append(tag("circle", tag("title", told), cx=centre, cy=top, r=3, class_="dot second"))
        parts.append(tag("rect", tag("title", told), y=below + deep - tall, height=tall, class_="count", **box))
    diagonal = f"M{LEFT} {HEIGHT - BOTTOM}L{WIDTH - RIGHT} {TOP}"
    parts.append(tag("path", d=diagonal, class_="diagonal"))
    parts += [_text(LEFT, 18, "share right, by the answer's probability"), _text(LEFT, below - 6, "pictures", "start")]
    parts.append(_text(LEFT - 6, below + 9, str(most), "end", "soft"))
    parts.append(tag("path", d=f"M{LEFT} {below + deep}H{WIDTH - RIGHT}", class_="grid"))
    for tick in across.ticks():
        parts.append(
            _text(across.place(tick, LEFT, WIDTH - RIGHT), below + deep + 16, _percent(tick), "middle", "soft")
        )
    height = below + deep + 44
    parts.append(_x_name("probability of the answer", height))
    filled = sum(1 for one in bins if one["pictures"])
    told = f"{filled} of {len(bins)} bins hold answers; the table that follows has the figures."
    return _drawing(WIDTH, height, "Reliability diagram", told, parts)


def heat_map(split: SplitFigures, names: Sequence[str]) -> tuple[Html, int]:
    """The confusion matrix, a row for each true class, coloured by share of the row; and how many cells were left out.

    Empty cells are not drawn, and of very many the rarest neither, so the drawing stays small with any number of
    classes.
    """
    size = len(names)
    cell = next(side for most, side in ((30, 24), (60, 15), (160, 10), (math.inf, 4)) if size <= most)
    labelled, numbered = cell >= 10, cell >= 15
    font = min(12, cell)
    shorts = [shortened(name, LABEL_LENGTH) for name in names] if labelled else []
    margin = round(max(map(len, shorts)) * font * 0.58) + 12 if labelled else 4
    far = margin + size * cell
    parts = [tag("rect", x=margin, y=margin, width=size * cell, height=size * cell, class_="sheet")]
    if labelled:
        steps = [margin + n * cell for n in range(size + 1)]
        parts.append(tag("path", d="".join(f"M{margin} {n}H{far}M{n} {margin}V{far}" for n in steps), class_="grid"))
        for n, short in enumerate(shorts):
            middle = margin + n * cell + cell / 2
            parts.append(_text(margin - 5, middle + font * 0.35, short, "end", size=font))
            parts.append(
                _text(0, 0, short, size=font, turned=f"translate({middle + font * 0.35} {margin - 5}) rotate(-90)")
            )
    cells = sorted(
        (
            (count, row, column)
            for row, found in enumerate(split["confusion"])
            for column, count in enumerate(found)
            if count
        ),
        key=lambda one: (one[1] == one[2], -one[0]),
    )
    totals = [sum(found) for found in split["confusion"]]
    for n, (count, row, column) in enumerate(cells[:MOST_CELLS]):
        share, left, top = count / totals[row], margin + column * cell, margin + row * cell
        told = f"{shortened(names[row], 40)}: {count} of {totals[row]} answered {shortened(names[column], 40)}"
        title = [tag("title", told)] if n < MOST_TITLES else []
        parts.append(
            tag(
                "rect",
                *title,
                x=left,
                y=top,
                width=cell,
                height=cell,
                fill_opacity=max(share, FAINTEST),
                class_="hit" if row == column else "miss",
            )
        )
        if numbered:
            strong = "on" if share > 0.72 else "over"  # where both are readable, on light and on dark
            parts.append(_text(left + cell / 2, top + cell / 2 + 4, str(count), "middle", strong, size=font - 1))
    told = (
        f"{size} classes; rows are the true class, columns the answer. {split['pictures'] - split['wrong']} pictures "
        f"on the diagonal are right, {split['wrong']} beside it are wrong; the tables of this page tell which."
    )
    return _drawing(far + 4, far + 4, "Confusion matrix", told, parts, shrink=False), len(cells[MOST_CELLS:])


def share_bar(share: float) -> Html:
    """A bar as long as the share, to stand beside the number itself."""
    inner = tag("rect", width=max(share, 0) * 100, height=10, class_="bar")
    return tag("svg", inner, class_="share", viewBox="0 0 100 10", aria_hidden="true", preserveAspectRatio="none")


def thinned(positions: Sequence[int], most: int) -> list[int]:
    """At most `most` of the positions, evenly spread, with the first and the last."""
    if len(positions) <= most:
        return list(positions)
    return [positions[round(n * (len(positions) - 1) / (most - 1))] for n in range(most)]


def _frame(up: Axis, across: Axis, upward: Teller, sideward: Teller, *, labelled: bool = True) -> Iterator[Html]:
    for tick in up.ticks():
        y = up.place(tick, HEIGHT - BOTTOM, TOP)
        yield tag("path", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", class_="grid")
        yield _text(LEFT - 6, y + 4, upward(tick), "end", "soft")
    if labelled:
        for tick in across.ticks():
            yield _text(across.place(tick, LEFT, WIDTH - RIGHT), HEIGHT - BOTTOM + 16, sideward(tick), "middle", "soft")


def _drawing(width: int, height: int, title: str, told: str, parts: Sequence[Html], *, shrink: bool = True) -> Html:
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


def _text(
    x: float, y: float, text: str, anchor: str = "start", kind: str = "", *, size: int = 12, turned: str | None = None
) -> Html:
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


def _x_name(name: str, height: int) -> Html:
    return _text((LEFT + WIDTH - RIGHT) / 2, height - 6, name, "middle")


def _percent(share: float) -> str:
    return f"{round(share * 100, 1):g}%"


def _plain(value: float) -> str:
    return f"{value:g}"
