"""The tuning's trials as drawings: the objective from trial to trial, and against each tuned value."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.evaluation_shape import TrialFigures, TuningFigures
from training.report_html import Html, shortened, tag
from training.report_svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    axis,
    axis_name,
    drawing,
    frame,
    plain,
    spread_axis,
    text_at,
)

MOST_TRIALS = 400  # that are drawn; more cannot be told apart
MOST_CHOICES = 6  # of a value that is no number
LABEL_LENGTH = 8  # characters of a choice
FLOOR = HEIGHT - BOTTOM - 22  # of the objective's axis
LANE = HEIGHT - BOTTOM - 6  # below it: the trials without an objective


@dataclass(frozen=True)
class _Marked:
    """A trial and where it stands from left to right, in pixels."""

    x: float
    trial: TrialFigures


def over_trials(tuning: TuningFigures) -> Html:
    """The objective of every trial in turn, and the best so far as a line."""
    trials = tuning["trials"][:MOST_TRIALS]
    across = axis([1, max(len(trials), 2)])
    across = Axis(1, max(len(trials), 2), max(1.0, across.step))
    placed = [_Marked(across.place(n, LEFT, WIDTH - RIGHT), trial) for n, trial in enumerate(trials, start=1)]
    up = _upward(trials)
    labels = [(across.place(tick, LEFT, WIDTH - RIGHT), plain(tick)) for tick in across.ticks()]
    parts = [_best_so_far(placed, up, tuning["goal"]), tag("path", d=f"M{WIDTH - 104} 14h20", class_="line second")]
    parts.append(text_at(WIDTH - 80, 18, "best so far"))
    return _chart(tuning, "trial", up, placed, labels=labels, behind=parts)


def against_value(tuning: TuningFigures, name: str) -> Html:
    """The objective against one tuned value: on a scale where it is a number, else by choice."""
    trials = [trial for trial in tuning["trials"][:MOST_TRIALS] if name in trial["values"]]
    texts = [trial["values"][name] for trial in trials]
    numbers = [number for number in map(number_of, texts) if number is not None]
    if len(numbers) == len(texts):
        across = spread_axis(numbers)
        places = dict(zip(texts, (across.place(number, LEFT, WIDTH - RIGHT) for number in numbers), strict=True))
        labels = [(across.place(tick, LEFT, WIDTH - RIGHT), plain(tick)) for tick in across.ticks()]
    else:
        choices = sorted(set(texts))[:MOST_CHOICES]
        across = Axis(-0.5, len(choices) - 0.5, 1.0)
        places = {text: across.place(n, LEFT, WIDTH - RIGHT) for n, text in enumerate(choices)}
        labels = [(x, shortened(text, LABEL_LENGTH)) for text, x in places.items()]
    placed = [_Marked(places[trial["values"][name]], trial) for trial in trials if trial["values"][name] in places]
    return _chart(tuning, name, _upward(trials), placed, labels=labels)


def number_of(text: str) -> float | None:
    """The finite number that a value's text is; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def tuned_names(tuning: TuningFigures) -> list[str]:
    """The names of the values that differ between trials, in the order of their first mention."""
    names = dict.fromkeys(name for trial in tuning["trials"] for name in trial["values"])
    return [name for name in names if len({trial["values"].get(name) for trial in tuning["trials"]}) > 1]


def _upward(trials: Sequence[TrialFigures]) -> Axis:
    return spread_axis([trial["objective"] for trial in trials if trial["objective"] is not None] or [0.0, 1.0])


def _chart(
    tuning: TuningFigures,
    below: str,
    up: Axis,
    placed: Sequence[_Marked],
    *,
    labels: Sequence[tuple[float, str]],
    behind: Sequence[Html] = (),
) -> Html:
    """`below`: what the axis below shows; `labels`: its ticks, in pixels; `behind`: drawn before the marks."""
    parts = [*frame(up, Axis(0, 1, 1), plain, plain, labelled=False, floor=FLOOR)]
    parts += [text_at(x, HEIGHT - BOTTOM + 16, label, "middle", "soft") for x, label in labels]
    parts += [*behind, *_marks(tuning, placed, up), axis_name(shortened(below, 40), HEIGHT)]
    parts.append(text_at(LEFT, 18, shortened(tuning["objective"], 22)))
    lacking = sum(1 for one in placed if one.trial["objective"] is None)
    if lacking:
        parts.append(text_at(LEFT - 6, LANE + 4, "none", "end", "soft"))
    told = f"{len(placed)} trials, {lacking} of them without an objective; the table of trials has the figures."
    title = f"{shortened(tuning['objective'], 40)} by {shortened(below, 40)}"
    return drawing(WIDTH, HEIGHT, title, told, parts)


def _marks(tuning: TuningFigures, placed: Sequence[_Marked], up: Axis) -> Iterator[Html]:
    """A filled dot for a completed trial, an empty one for a stopped, a cross for a failed one; a ring for the best.

    Trials without an objective stand in a lane of their own below the others.
    """
    best = tuning["best"]["name"] if tuning["best"] else None
    for one in sorted(placed, key=lambda one: one.trial["name"] == best):
        found, trial = one.trial["objective"], one.trial
        y = LANE if found is None else up.place(found, FLOOR, TOP)
        said = "no objective" if found is None else f"{found:.5g}"
        title = tag("title", f"{shortened(trial['name'], 40)}: {said}, {trial['status'].lower()}")
        if trial["name"] == best:
            yield tag("circle", cx=one.x, cy=y, r=8, class_="ring")
        if trial["status"] == "Failed" or found is None:
            cross = f"M{one.x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
            yield tag("path", title, d=cross, class_="cross")
        else:
            kind = "trial" if trial["status"] == "Completed" else "trial stopped"
            yield tag("circle", title, cx=one.x, cy=y, r=4, class_=kind)


def _best_so_far(placed: Sequence[_Marked], up: Axis, goal: str) -> Html:
    """A stair through the best objective that any trial up to there had."""
    best: float | None = None
    path = ""
    for one in placed:
        found = one.trial["objective"]
        better = found is not None and (best is None or (found < best if goal == "Minimize" else found > best))
        if better and found is not None:
            y = up.place(found, FLOOR, TOP)
            path += f"H{one.x:.1f}V{y:.1f}" if path else f"M{one.x:.1f} {y:.1f}"
            best = found
    return tag("path", d=f"{path}H{WIDTH - RIGHT}", class_="line second") if path else Html()
