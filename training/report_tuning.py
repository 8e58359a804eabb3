"""The section of report.html on the tuning: how the trials went, and where the best one lies."""

from training.evaluation_shape import TrialFigures, TuningFigures
from training.report_html import Html, join, shortened, tag
from training.report_parts import NAME_LENGTH, NONE, counted, cut, folded, table
from training.report_trials import MOST_TRIALS, against_value, over_trials, tuned_names

MOST_VALUES = 8  # that are drawn
MOST_ROWS = 100
FOLDED = 12  # a table with more rows than this is folded


def tuning(found: TuningFigures) -> Html:
    """What was searched for how, drawn and as a table."""
    trials, best = found["trials"], found["best"]
    if not trials:
        return tag("p", "The tuning made no trial.")
    names = tuned_names(found)
    parts = [tag("p", *_told(found))]
    if best is None:
        parts.append(tag("p", "No trial has an objective: the model was trained without the tuning's help."))
    charts = [over_trials(found), *(against_value(found, name) for name in names[:MOST_VALUES])]
    titles = ["Objective over trials", *(f"Against {shortened(name, NAME_LENGTH)}" for name in names[:MOST_VALUES])]
    figures = [tag("figure", tag("figcaption", title), chart) for title, chart in zip(titles, charts, strict=True)]
    parts.append(tag("div", *figures, class_="charts even"))
    parts.append(tag("p", _legend(found), class_="soft"))
    listed = _table(found, names)
    parts.append(folded(f"All {counted(len(trials), 'trial')} as a table", listed) if len(trials) > FOLDED else listed)
    return join(parts)


def _told(found: TuningFigures) -> list[str]:
    trials, best = found["trials"], found["best"]
    by_status = [(status, sum(trial["status"] == status for trial in trials)) for status in ("Stopped", "Failed")]
    others = "".join(f", {count} {status.lower()}" for status, count in by_status if count)
    seconds = sum(trial["seconds"] or 0 for trial in trials)
    goal = "lowest" if found["goal"] == "Minimize" else "highest"
    told = [
        f"{counted(len(trials), 'trial')} by the strategy {shortened(found['strategy'], 40)} for the {goal} ",
        tag("code", shortened(found["objective"], NAME_LENGTH)),
        f"{others}; {seconds:.0f} seconds of trials in all.",
    ]
    if best:
        values = ", ".join(
            f"{shortened(name, 40)} {_value(text)}" for name, text in list(best["values"].items())[:MOST_VALUES]
        )
        told += [" The best, ", tag("strong", shortened(best["name"], NAME_LENGTH)), f", has {best['objective']:.5g}"]
        told.append(f" with {values}." if values else ".")
    return told


def _legend(found: TuningFigures) -> str:
    told = "Filled: completed. Empty: stopped early. Cross: failed, or no objective yet. Ring: the best."
    if len(found["trials"]) > MOST_TRIALS:
        told += f" Drawn are the first {MOST_TRIALS} trials."
    return told


def _table(found: TuningFigures, names: list[str]) -> Html:
    best = found["best"]["name"] if found["best"] else None
    shown = names[:MOST_VALUES]
    rows = [_row(trial, shown, trial["name"] == best) for trial in found["trials"][:MOST_ROWS]]
    caption = f"{counted(len(found['trials']), 'trial')} in turn" + cut(len(found["trials"]), MOST_ROWS)
    heads = ["Trial", "Status", "#Objective", *(f"#{shortened(name, NAME_LENGTH)}" for name in shown), "#Seconds"]
    return table(caption, heads, rows)


def _row(trial: TrialFigures, names: list[str], best: bool) -> list[str]:
    name = shortened(trial["name"], NAME_LENGTH)
    return [
        join([tag("strong", name), " (best)"]) if best else name,
        trial["status"],
        NONE if trial["objective"] is None else f"{trial['objective']:.5g}",
        *(_value(trial["values"].get(one, NONE)) for one in names),
        NONE if trial["seconds"] is None else f"{trial['seconds']:.1f}",
    ]


def _value(text: str) -> str:
    """A value for people: a number with four digits, any other text as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return shortened(text, 40)
