"""The section of report.html on time and cost."""

from collections.abc import Mapping

from training import prices
from training.evaluation_shape import Report, StepFigures
from training.report_html import Html, join, shortened, tag
from training.report_parts import NAME_LENGTH, NONE, counted, folded, table
from training.report_plots import share_bar


def timing(report: Report) -> Html:
    """The pipeline's steps with their cost, and where the time of training and evaluation went."""
    parts = [_steps(report)] if report["steps"] else []
    if training := report["training"]:
        caption = f"Training on {counted(training['hosts'], 'host')}; rank 0 held at most "
        caption += f"{training['peak_memory_mb']:.0f} MB"
        parts.append(folded("Stages of training", _stages(training["timings_seconds"], caption)))
    caption = f"Evaluation, without the writing of this page; it held at most {report['peak_memory_mb']:.0f} MB"
    parts.append(folded("Stages of this evaluation", _stages(report["timings_seconds"], caption)))
    return join(parts)


def _steps(report: Report) -> Html:
    steps, cost = report["steps"], report["cost"]
    whole = sum(step["seconds"] for step in steps)
    rows, before = [], 0.0
    for step in steps:
        bar = share_bar(step["seconds"] / (whole or 1), before / (whole or 1))
        before += step["seconds"]
        rows.append([shortened(step["step"], NAME_LENGTH), duration(step["seconds"]), bar, *_instances(step)])
    total = NONE if cost["usd"] is None else _dollars(cost["usd"])
    if cost["usd"] is not None and cost["unpriced"]:
        total = f"known: {total}"
    rows.append(["All", duration(whole), "", "", "", "", "", total])
    heads = ["Step", "#Time", "One after the other", "Instances", "Spot", "#Billed", "#Price per hour", "#Cost"]
    parts = [tag("p", _told(report)), table("Steps of the pipeline", heads, rows)]
    prices_of = f"Prices: on demand, {prices.REGION}, US dollars, {prices.AS_OF}; instances only, without storage, "
    told = f"{prices_of}requests and transfer. Time is what each instance ran; waiting between the steps is not in it."
    if cost["derived"]:
        derived = ", ".join(shortened(name, 40) for name in cost["derived"])
        told += f" Derived, not read: the price of {derived} ({prices.DERIVED_HOW})."
    parts.append(tag("p", told, class_="soft"))
    return join(parts)


def _told(report: Report) -> str:
    steps, cost = report["steps"], report["cost"]
    if cost["usd"] is None:
        return "What the run did cost is not known: there is no price for any of its instances."
    known = len(steps) - len(cost["unpriced"])
    told = f"{'The run' if known == len(steps) else f'{known} of the {len(steps)} steps'} cost {_dollars(cost['usd'])}"
    if any(_at_most(step) for step in steps):
        told += " at most: spot instances on EC2 are counted at the on-demand price, what was saved is not told"
    if cost["by_time"]:
        names = ", ".join(shortened(name, NAME_LENGTH) for name in cost["by_time"])
        told += f". Of that an estimate, by time alone: {names} (this evaluation up to the writing of this page)"
    if cost["unpriced"]:
        told += "; the price of the others' instances is not known"
    return told + "."


def _at_most(step: StepFigures) -> bool:
    return step["spot"] and step["billable_seconds"] is None and step["cost"] is not None


def _instances(step: StepFigures) -> list[str]:
    """What ran, what of it is billed, and what that costs."""
    price, cost, billed = step["price_per_hour"], step["cost"], step["billable_seconds"]
    bound = "\N{LESS-THAN OR EQUAL TO} " if _at_most(step) else ""
    return [
        f"{step['instances']} \N{MULTIPLICATION SIGN} {shortened(step['instance_type'], 40)}",
        "spot" if step["spot"] else "on demand",
        "not told" if billed is None else duration(billed),
        "price unknown" if price is None else bound + _dollars(price),
        NONE if cost is None else bound + _dollars(cost),
    ]


def _stages(stages: Mapping[str, float], caption: str) -> Html:
    total = sum(stages.values())
    rows: list[list[str]] = [
        [name, f"{seconds:.2f}", f"{seconds / (total or 1):.0%}", share_bar(seconds / (total or 1))]
        for name, seconds in stages.items()
    ]
    rows.append(["all", f"{total:.2f}", "", Html()])
    return table(caption, ["Stage", "#Seconds", "#Share", ""], rows)


def duration(seconds: float) -> str:
    """`48 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _dollars(amount: float) -> str:
    """With as many digits as tell something: most steps cost less than a cent."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.4g}"
