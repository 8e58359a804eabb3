"""The first of report.html: how good the model is in a few figures, and its surest mistakes."""

import base64
from collections.abc import Mapping

from training.evaluation_shape import Report
from training.pictures import Thumbnail
from training.report_html import Html, join, shortened, tag
from training.report_parts import NAME_LENGTH, Names, counted, percent, points, warning
from training.report_plots import interval_bar
from training.report_shape import MistakeFigures, SplitFigures

FEW_PICTURES = 100  # below this the interval is so wide that the page warns of it


def headline(report: Report) -> Html:
    """What was measured on what, and the figures."""
    split = report["figures"]
    parts = [warning(shortened(problem, 500)) for problem in report["problems"]]
    parts.append(_measured(report))
    if split["pictures"] < FEW_PICTURES:
        low, high = split["accuracy_interval"]
        few = f"{counted(split['pictures'], 'picture')} can only tell so much: the accuracy may as well be "
        parts.append(warning(few, f"{low:.0%} or {high:.0%}."))
    cards = [
        tag("div", tag("dt", name), tag("dd", value, class_="value"), *drawn, tag("dd", note, class_="soft"))
        for name, value, drawn, note in _cards(report)
    ]
    parts.append(tag("dl", *cards, class_="cards"))
    return join(parts)


def _measured(report: Report) -> Html:
    split = report["figures"]
    if report["split"] == "test":
        return tag(
            "p", f"Measured on the test split, {split['pictures']} pictures that no choice in training has seen, with "
            "the model as it ships: its own graph, preprocessing, temperature and thresholds."
        )  # fmt: skip
    return warning(
        tag("strong", "The data has no test split, so these figures are of the validation split"),
        f" ({split['pictures']} pictures). The epoch, the temperature and the thresholds were chosen on these very "
        "pictures: expect the figures to flatter the model.",
    )


def _cards(report: Report) -> list[tuple[str, str, tuple[Html, ...], str]]:
    """Name, value, what is drawn below it, and what it means."""
    split, incumbent = report["figures"], report["incumbent"]
    low, high = split["accuracy_interval"]
    right, chance = split["pictures"] - split["wrong"], 1 / len(report["model"]["classes"])
    accuracy: tuple[str, str, tuple[Html, ...], str] = (
        "Accuracy",
        f"{split['accuracy']:.1%}",
        (tag("dd", interval_bar(low, split["accuracy"], high)),),
        f"{right} of {split['pictures']} right; 95% interval {low:.1%} to {high:.1%}; guessing would give {chance:.1%}",
    )
    cards = [accuracy]
    if incumbent:
        least, most = incumbent["difference_interval"]
        cards.append(
            (
                "Against the model in service",
                f"{points(incumbent['difference'])} points",
                (),
                f"of accuracy on {counted(incumbent['pictures'], 'shared picture')}; 95% interval {points(least)} to "
                f"{points(most)}",
            )
        )
    sure = percent(split["confident_accuracy"])
    limits = report["model"]
    told = (
        f"of answers have a probability of {limits['threshold']:.3f} or more, on a picture that does not look unknown; "
        f"{sure} of those are right"
    )
    return [
        *cards,
        (
            f"Top-{split['top_k']} accuracy",
            f"{split['top5']:.1%}",
            (),
            f"the truth is among the {split['top_k']} likeliest of {len(report['model']['classes'])} classes",
        ),
        ("Confident", f"{split['confident']:.1%}", (), told),
        (
            "Look unknown",
            f"{split['unknown']:.1%}",
            (),
            f"of pictures have no logit of {limits['logit_threshold']:.3f} or more; all of them are of a known class, "
            "so none should",
        ),
        (
            "Calibration error",
            f"{split['calibration_error']:.3f}",
            (),
            "mean gap between probability and accuracy; 0 is best, and chance alone gives some on few pictures",
        ),
        ("Log loss", f"{split['log_loss']:.3f}", (), "mean of \N{MINUS SIGN}ln of the true class's probability"),
    ]


def mistakes(split: SplitFigures, names: Names, thumbnails: Mapping[str, Thumbnail]) -> Html:
    """The surest mistakes as photographs."""
    listed = split["mistakes"]
    if not listed:
        return tag("p", f"None: all {split['pictures']} pictures were told right.")
    which = "All of them" if len(listed) == split["wrong"] else f"The {len(listed)} surest of {split['wrong']}"
    told = tag(
        "p", f"{which}, the surest first. A mistake at the top is either a weakness of the model or a wrong label."
    )
    items = [tag("li", _mistake(one, names, thumbnails.get(one["file"]))) for one in listed]
    return join([told, tag("ul", *items, class_="photos", role="list")])


def photograph(file: str, alt: str, lines: list[Html], small: Thumbnail | None) -> Html:
    """A picture with `lines` and its file's name below it."""
    picture = tag("div", "The picture could not be read again.", class_="none")
    if small:
        data = "data:image/jpeg;base64," + base64.b64encode(small.jpeg).decode("ascii")
        picture = tag("img", src=data, alt=alt, width=small.width, height=small.height)
    name = tag("span", shortened(file.rpartition("/")[2], NAME_LENGTH), class_="file")
    return tag("figure", picture, tag("figcaption", *lines, name))


def _mistake(one: MistakeFigures, names: Names, small: Thumbnail | None) -> Html:
    truth, answer = names[one["truth"]], names[one["answer"]]
    sure = " (confident)" if one["confident"] else ""
    lines = [
        tag("span", "Is ", tag("strong", truth)),
        tag("span", "Answer ", tag("strong", answer, class_="wrong"), f", {one['probability']:.1%}{sure}"),
    ]
    return photograph(one["file"], f"Picture of {truth}, taken for {answer}", lines, small)
