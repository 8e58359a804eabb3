"""The report's drawings as SVG, coloured by the page's style sheet so that they follow light, dark and print."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluation_shape import IncumbentFigures
from training.report_html import Html, shortened, tag
from training.report_shape import BinFigures, SplitFigures
from training.report_svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Point,
    axis,
    axis_name,
    drawing,
    frame,
    percent_of,
    plain,
    text_at,
)

MOST_POINTS = 300  # of a line: more cannot be told apart at this width
MOST_CELLS, MOST_TITLES = 4000, 800  # of the heat map
FAINTEST = 0.35  # opacity of a cell: one picture must be seen among hundreds
LABEL_LENGTH = 28  # characters of a class's name beside the heat map


@dataclass(frozen=True)
class Line:
    """One line of a chart: a value for each x. `kind` is its class in the style sheet: first or second."""

    name: str
    kind: str
    values: Sequence[float]


def line_chart(title: str, x_name: str, xs: Sequence[int], lines: Sequence[Line], *, best: int, shares: bool) -> Html:
    """`lines` over `xs`, with a mark at x = `best`. With `shares`, the values lie in 0..1 and are told in per cent."""
    across = axis([xs[0], xs[-1]])
    across = Axis(xs[0], max(xs[-1], xs[0] + 1), max(1.0, across.step))
    up = axis([value for line in lines for value in line.values], 1.0 if shares else math.inf)
    kept = thinned(range(len(xs)), MOST_POINTS)

    def at(x: float, y: float) -> Point:
        return across.place(x, LEFT, WIDTH - RIGHT), up.place(y, HEIGHT - BOTTOM, TOP)

    parts = [*frame(up, across, percent_of if shares else plain, plain), axis_name(x_name, HEIGHT)]
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
        parts.append(text_at(start + 30, 18, line.name))
    start = LEFT + len(lines) * 110
    parts += [tag("path", d=f"M{start} 14h24", class_="best"), text_at(start + 30, 18, "shipped")]
    told = "; ".join(f"{line.name} from {line.values[0]:.3f} to {line.values[-1]:.3f}" for line in lines)
    return drawing(WIDTH, HEIGHT, title, f"{told}. The epoch that is shipped is {best}.", parts)


def reliability_diagram(bins: Sequence[BinFigures]) -> Html:
    """Accuracy over probability, a bar for each bin beside the diagonal of perfect honesty; below, the counts."""
    up, across = Axis(0, 1, 0.25), Axis(0, 1, 0.2)
    below, deep = HEIGHT + 14, 60  # where the counts begin, and how high they are
    most = max(1, *(one["pictures"] for one in bins))
    parts = [*frame(up, across, percent_of, percent_of, labelled=False)]
    for one in bins:
        left, right = (across.place(one[end], LEFT, WIDTH - RIGHT) for end in ("low", "high"))
        tall = one["pictures"] / most * deep
        box = {"x": left + 1, "width": right - left - 2}
        told = f"{percent_of(one['low'])} to {percent_of(one['high'])}: {one['pictures']} pictures"
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
    parts += [
        text_at(LEFT, 18, "share right, by the answer's probability"),
        text_at(LEFT, below - 6, "pictures", "start"),
    ]
    parts.append(text_at(LEFT - 6, below + 9, str(most), "end", "soft"))
    parts.append(tag("path", d=f"M{LEFT} {below + deep}H{WIDTH - RIGHT}", class_="grid"))
    for tick in across.ticks():
        parts.append(
            text_at(across.place(tick, LEFT, WIDTH - RIGHT), below + deep + 16, percent_of(tick), "middle", "soft")
        )
    height = below + deep + 44
    parts.append(axis_name("probability of the answer", height))
    filled = sum(1 for one in bins if one["pictures"])
    told = f"{filled} of {len(bins)} bins hold answers; the table that follows has the figures."
    return drawing(WIDTH, height, "Reliability diagram", told, parts)


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
            parts.append(text_at(margin - 5, middle + font * 0.35, short, "end", size=font))
            parts.append(
                text_at(0, 0, short, size=font, turned=f"translate({middle + font * 0.35} {margin - 5}) rotate(-90)")
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
            parts.append(text_at(left + cell / 2, top + cell / 2 + 4, str(count), "middle", strong, size=font - 1))
    told = (
        f"{size} classes; rows are the true class, columns the answer. {split['pictures'] - split['wrong']} pictures "
        f"on the diagonal are right, {split['wrong']} beside it are wrong; the tables of this page tell which."
    )
    return drawing(far + 4, far + 4, "Confusion matrix", told, parts, shrink=False), len(cells[MOST_CELLS:])


def share_bar(share: float, start: float | None = None) -> Html:
    """A bar as long as the share, to stand beside the number itself; with `start` on a longer line, from there on."""
    inner = tag("rect", x=(start or 0) * 100, width=max(share * 100, 0), height=10, class_="bar")
    kind = "share" if start is None else "share long"
    return tag("svg", inner, class_=kind, viewBox="0 0 100 10", aria_hidden="true", preserveAspectRatio="none")


def interval_bar(low: float, value: float, high: float) -> Html:
    """A share on the scale from 0 to 1, with its interval, to stand below the number itself."""
    parts = [
        tag("rect", y=4, width=100, height=2, class_="count"),
        tag("rect", x=low * 100, y=1, width=max((high - low) * 100, 0.5), height=8, class_="bar"),
        tag("rect", x=min(value * 100, 99), width=1, height=10, class_="mark"),
    ]
    return tag("svg", *parts, class_="interval", viewBox="0 0 100 10", aria_hidden="true", preserveAspectRatio="none")


def comparison(found: IncumbentFigures) -> Html:
    """Both models' accuracies with their intervals, one above the other on one scale."""
    rows = (
        ("in service", "second", found["accuracy"], found["accuracy_interval"]),
        ("candidate", "first", found["candidate_accuracy"], found["candidate_interval"]),
    )
    across = axis([*found["accuracy_interval"], *found["candidate_interval"]], 1.0)
    start, end, height = 84, WIDTH - 24, 112
    parts = []
    for tick in across.ticks():
        x = across.place(tick, start, end)
        parts.append(tag("path", d=f"M{x:.1f} 8V{height - 24}", class_="grid"))
        parts.append(text_at(x, height - 8, percent_of(tick), "middle", "soft"))
    for number, (name, kind, value, (low, high)) in enumerate(rows):
        y = 28 + number * 36
        left, middle, right = (across.place(share, start, end) for share in (low, value, high))
        whisker = f"M{left:.1f} {y - 5}v10M{left:.1f} {y}H{right:.1f}M{right:.1f} {y - 5}v10"
        parts += [text_at(start - 8, y + 4, name, "end"), tag("path", d=whisker, class_=f"whisker {kind}")]
        parts += [tag("circle", cx=middle, cy=y, r=5, class_=f"dot {kind}")]
        parts.append(text_at(middle, y - 9, f"{value:.1%}", "middle"))
    told = "; ".join(f"{name} {value:.1%}, {low:.1%} to {high:.1%}" for name, _, value, (low, high) in rows)
    return drawing(WIDTH, height, "Accuracy on shared pictures", told, parts)


def thinned(positions: Sequence[int], most: int) -> list[int]:
    """At most `most` of the positions, evenly spread, with the first and the last."""
    if len(positions) <= most:
        return list(positions)
    return [positions[round(n * (len(positions) - 1) / (most - 1))] for n in range(most)]
