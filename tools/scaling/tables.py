"""What a simulation found, in words and columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tools.scaling.simulation import Outcome

HEADS = ("profile", "p50 ms", "p99 ms", "refused", "by", "instances", "changes", "$ / million", "$ / day")


def told(value: float) -> str:
    """A number as a person reads it: three digits, or all before the point."""
    if not math.isfinite(value) or value == 0:
        return "0" if value == 0 else "-"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def row(one: Outcome) -> tuple[str, ...]:
    """An outcome as a row of HEADS."""
    cost = one.cost
    return (
        one.profile.name,
        told(one.p50 * 1000),
        told(one.p99 * 1000),
        f"{one.refused:.2%}",
        _who(one),
        f"{told(float(one.serving.mean()))} ({one.serving.min()} to {one.serving.max()})",
        str(one.changes),
        "unknown" if one.per_million is None else f"{one.per_million:,.2f}",
        "unknown" if cost is None else f"{cost.total / one.trace.seconds * 86400:,.2f}",
    )


def _who(one: Outcome) -> str:
    """Who refused most, where anything worth a word was refused."""
    counts = {"API": one.refused_by_api, "function": one.refused_by_function, "instances": one.refused_by_instances}
    who = max(counts, key=lambda name: counts[name])
    return who if one.refused >= 0.00005 else ""


def text(outcomes: Sequence[Outcome]) -> str:
    """A table for a terminal."""
    rows = [HEADS, *map(row, outcomes)]
    widths = [max(len(one[column]) for one in rows) for column in range(len(HEADS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(one, widths, strict=True))
        ).rstrip()
        for one in rows
    ]
    return "\n".join([f"{outcomes[0].trace.name} ({told(outcomes[0].trace.seconds / 3600)} hours)", *lines])


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The same for a page."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (HEADS, ["---"] * len(HEADS), *map(row, outcomes))]
    return "\n".join(lines)
