"""The section of report.html that sets the candidate beside the model in service."""

from collections.abc import Mapping

from training.evaluation_shape import ChangeFigures, IncumbentFigures
from training.pictures import Thumbnail
from training.report_headline import photograph
from training.report_html import Html, join, tag
from training.report_parts import Names, counted, cut, points, table, warning
from training.report_plots import comparison

SURE = 0.05  # a p value from which on a difference may as well be chance
MOST_CLASSES = 20


def incumbent(found: IncumbentFigures, names: Names, thumbnails: Mapping[str, Thumbnail]) -> Html:
    """Both accuracies on the same pictures, whether the difference may be chance, and what changed."""
    both = round(found["candidate_accuracy"] * found["pictures"]) - found["gained"]
    neither = found["pictures"] - both - found["gained"] - found["lost"]
    rows = [
        ["In service right", str(both), str(found["lost"])],
        ["In service wrong", str(found["gained"]), str(neither)],
    ]
    caption = f"{counted(found['pictures'], 'picture')}, by who is right"
    drawn = tag("figure", tag("figcaption", "Accuracy with 95% interval"), comparison(found))
    side = [drawn, table(caption, ["", "#Candidate right", "#Candidate wrong"], rows)]
    parts = [*_classes(found), *_verdict(found), tag("div", *side, class_="charts")]
    if found["by_class"]:
        parts.append(_by_class(found, names))
    for title, kind, count in (("Newly wrong", "newly_wrong", "lost"), ("Newly right", "newly_right", "gained")):
        listed: list[ChangeFigures] = found[kind]  # type: ignore[literal-required]
        total: int = found[count]  # type: ignore[literal-required]
        parts.append(tag("h3", f"{title}: {counted(total, 'picture')}"))
        if len(listed) < total:
            parts.append(tag("p", f"Shown are the {len(listed)} with the candidate's surest answers."))
        if listed:
            items = [tag("li", _change(one, names, thumbnails.get(one["file"]))) for one in listed]
            parts.append(tag("ul", *items, class_="photos", role="list"))
    return join(parts)


def _classes(found: IncumbentFigures) -> list[Html]:
    """What keeps the comparison from being one of the whole models."""
    told = []
    if found["unknown_pictures"]:
        told.append(
            warning(
                f"The model in service does not know {counted(len(found['classes_added']), 'class', 'classes')} of the "
                f"candidate's: {counted(found['unknown_pictures'], 'picture')} of them are left aside, and the "
                "accuracies here are on the others."
            )
        )
    if found["classes_removed"]:
        gone = counted(len(found["classes_removed"]), "class", "classes")
        told.append(warning(f"The candidate does not know {gone} that the model in service knows."))
    return told


def _verdict(found: IncumbentFigures) -> list[Html]:
    low, high = found["difference_interval"]
    sure = found["p_value"] < SURE
    word = "better" if found["difference"] > 0 else "worse"
    verdict = f"The candidate is {word}" if sure else "Which of the two is better, these pictures cannot tell"
    told = (
        f": it gains {counted(found['gained'], 'picture')} and loses {found['lost']} against ",
        tag("strong", found["run"]),
        f", {points(found['difference'])} points of accuracy (95% interval {points(low)} to {points(high)}). Were both "
        f"equally good, a difference this large would still turn up in {_chance(found['p_value'])} of such comparisons "
        "(McNemar's exact test).",
    )
    return [tag("p", tag("strong", verdict), *told)]


def _chance(p_value: float) -> str:
    return "less than 0.1%" if p_value < 0.001 else f"{p_value:.1%}" if p_value < 0.1 else f"{p_value:.0%}"


def _by_class(found: IncumbentFigures, names: Names) -> Html:
    changed = sorted(
        found["by_class"].items(), key=lambda one: (one[1]["gained"] - one[1]["lost"], -one[1]["lost"], names[one[0]])
    )
    rows = [
        [
            names[folder],
            str(one["gained"]),
            str(one["lost"]),
            f"{one['gained'] - one['lost']:+d}".replace("-", "\u2212"),
        ]
        for folder, one in changed[:MOST_CLASSES]
    ]
    caption = f"{counted(len(changed), 'class', 'classes')} changed, those that lost most first"
    return table(caption + cut(len(changed), MOST_CLASSES), ["Class", "#Gained", "#Lost", "#Net"], rows)


def _change(one: ChangeFigures, names: Names, small: Thumbnail | None) -> Html:
    lines = [tag("span", "Is ", tag("strong", names[one["truth"]]))]
    for who, said in (("In service", one["incumbent"]), ("Candidate", one["candidate"])):
        kind = None if said["answer"] == one["truth"] else "wrong"
        answer = tag("strong", names[said["answer"]], class_=kind)
        lines.append(tag("span", f"{who} ", answer, f", {said['probability']:.1%}"))
    return photograph(one["file"], f"Picture of {names[one['truth']]}", lines, small)
