"""One picture of a traffic: requests per second, and below it what each profile does, as a self-contained SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from tools.scaling.simulation import Outcome
from tools.scaling.tables import told
from tools.scaling.traffic import STEP_SECONDS

WIDTH, LEFT, RIGHT = 760, 150, 205
TOP, STRIP, GAP, BOTTOM = 30, 44, 14, 40
_POINTS = 240  # of a curve, at most
_STYLE = """text{font:12px system-ui,sans-serif;fill:#1a2028}.soft{fill:#566170}.axis{stroke:#d5dbe3;fill:none}
.load{fill:#8a95a5;fill-opacity:.45}.paid{fill:#1c5fb8;fill-opacity:.2}.serving{stroke:#1c5fb8;stroke-width:1.5;fill:none}
.bad{fill:#b34700}
@media(prefers-color-scheme:dark){text{fill:#e8ecf2}.soft{fill:#a3afbe}.axis{stroke:#37414e}.paid{fill:#6fa8ff}
.serving{stroke:#6fa8ff}.bad{fill:#ff9a52}}"""


def picture(outcomes: Sequence[Outcome]) -> str:
    """The SVG; the outcomes are of one traffic."""
    trace = outcomes[0].trace
    height = TOP + (STRIP + GAP) * (len(outcomes) + 1) + BOTTOM
    across = WIDTH - LEFT - RIGHT
    title = f"{trace.name}: instances over time"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><style>{_STYLE}</style>',
        _text(LEFT, 18, f"{trace.name}: instances that serve (line), that are paid for (area)"),
    ]
    load = [("load", _thinned(trace.rates))]
    parts += _strip(TOP, "requests a second", most=float(trace.rates.max()), shown=trace.rates, series=load)
    most = max(int(one.paid.max()) for one in outcomes)
    for number, one in enumerate(outcomes, start=1):
        series = [("paid", one.paid), ("serving", one.serving)]
        said = f"p99 {told(one.p99 * 1000)} ms, {'$' + told(one.per_million) + ' a million' if one.per_million else ''}"
        top = TOP + number * (STRIP + GAP)
        parts += _strip(top, one.profile.name, most=most, shown=one.paid, series=series, said=said)
        refused = f"refused {one.refused:.1%}" if one.refused >= 0.0005 else "nothing refused"
        parts.append(_text(WIDTH - RIGHT + 10, top + 34, refused, "bad" if one.refused >= 0.0005 else "soft"))
    base = height - BOTTOM
    parts.append(f'<path class="axis" d="M{LEFT} {base}H{LEFT + across}"/>')
    for seconds in _ticks(trace.seconds):
        x = LEFT + seconds / trace.seconds * across
        parts.append(_text(x, base + 18, _clock(seconds), "soft", "middle"))
    return "\n".join([*parts, "</svg>", ""])


def _strip(
    top: float,
    name: str,
    *,
    most: float,
    shown: NDArray[np.float64] | NDArray[np.int64],
    series: Sequence[tuple[str, NDArray[np.float64] | NDArray[np.int64]]],
    said: str = "",
) -> list[str]:
    """One row: its name and highest value, the curves with `most` at the top, and what is said of it on the right."""
    most, base, right = most or 1.0, top + STRIP, WIDTH - RIGHT
    parts = [
        _text(0, top + 16, name),
        _text(0, top + 34, f"at most {told(float(shown.max()))}", "soft"),
        f'<path class="axis" d="M{LEFT} {base}H{right}"/>',
    ]
    for kind, values in series:

        def height(value: float) -> float:
            return base - value / most * (STRIP - 4)

        path = _stairs(values, height, right - LEFT)
        closed = f"M{LEFT} {base}V{path[0]}{path[1]}V{base}Z"
        parts.append(f'<path class="{kind}" d="{closed if kind != "serving" else f"M{LEFT} {path[0]}{path[1]}"}"/>')
    return [*parts, _text(right + 10, top + 16, said)] if said else parts


def _stairs(
    values: NDArray[np.float64] | NDArray[np.int64], height: Callable[[float], float], width: float
) -> tuple[str, str]:
    """(where it begins, the rest of the path), with equal neighbours as one line."""
    runs = [(value, len(list(same))) for value, same in groupby(values.tolist())]
    parts, so_far = [], 0
    for number, (value, length) in enumerate(runs):
        so_far += length
        up = f"V{height(value):.1f}" if number else ""
        parts.append(f"{up}H{LEFT + so_far / len(values) * width:.1f}")
    return f"{height(runs[0][0]):.1f}", "".join(parts)


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most _POINTS values, each the mean of its neighbours."""
    parts = np.array_split(values, min(_POINTS, len(values)))
    return np.array([part.mean() for part in parts]).round(2)


def _ticks(seconds: float) -> list[float]:
    step = next(one for one in (600.0, 1800.0, 3600.0, 14400.0, 86400.0, seconds) if seconds / one <= 8)
    return [step * number for number in range(int(seconds / step + STEP_SECONDS / step) + 1)]


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    extra = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{x:.0f}" y="{y:.0f}"{extra}>{escape(text)}</text>'
