"""report.html: what report.json says, as one page that needs nothing beside itself, no script either.

Its size is bounded whatever the data holds (MAX_PAGE_BYTES): names are shortened and long lists cut, and the page says
where; report.json has everything.
"""

import base64
from collections.abc import Mapping

from training import report_sections
from training.pictures import Thumbnail
from training.report_html import Html, join, shortened, tag
from training.report_parts import NAME_LENGTH, Names, facts, shown
from training.report_shape import MistakeFigures, Report, SplitFigures
from training.report_style import STYLE

MAX_PAGE_BYTES = 3_000_000
# What the page says of itself, should any name ever get past the escaping: nothing is loaded, nothing is run.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(report: Report, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The whole page. `thumbnails` are the mistakes' pictures by file name; one that lacks is said to lack."""
    split = shown(report)
    names = Names(report["data"]["classes"])
    sections = {
        "Accuracy": _headline(report, split),
        "Mistakes": _mistakes(report, split, names, thumbnails),
        "Classes": report_sections.classes(split, names),
        "Confusion": report_sections.confusion(split, names),
        "Calibration": report_sections.calibration(split),
        "Training": report_sections.training(report),
        "Data": report_sections.data(report),
        "Timing": report_sections.timing(report),
        "Provenance": report_sections.provenance(report),
    }
    links = [tag("li", tag("a", name, href=f"#{name.lower()}")) for name in sections]
    body = [
        tag(
            "section",
            tag("h2", name, id=f"h-{name.lower()}"),
            content,
            id=name.lower(),
            aria_labelledby=f"h-{name.lower()}",
        )
        for name, content in sections.items()
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{report['version']}: training report"),
        tag("style", STYLE),
    )
    whole = tag(
        "body",
        tag("a", "Skip to the figures", href="#accuracy", class_="skip"),
        tag("header", _title(report), tag("nav", tag("ul", *links), aria_label="Sections")),
        tag("main", *body),
    )
    return f"<!doctype html>\n{tag('html', head, whole, lang='en')}\n"


def _title(report: Report) -> Html:
    made = report["provenance"]
    named = {
        "Backbone": str(made["parameters"].get("backbone", "")),
        "Data version": tag("code", made["data_version"]),
        "Code version": tag("code", made["code_sha256"]),
        "Made": made["created"],
    }
    return join([tag("h1", f"Training report: {report['version']}"), facts(named)])


def _headline(report: Report, split: SplitFigures) -> Html:
    low, high = split["accuracy_interval"]
    right = split["pictures"] - split["wrong"]
    cards = [
        (
            "Accuracy",
            f"{split['accuracy']:.1%}",
            f"{right} of {split['pictures']} right; 95% interval {low:.1%} to {high:.1%}",
        ),
        ("Top-5 accuracy", f"{split['top5']:.1%}", "the truth is among the five likeliest answers"),
        (
            "Calibration error",
            f"{split['calibration_error']:.3f}",
            "mean gap between probability and accuracy; 0 is best",
        ),
        (
            "Confident",
            f"{split['confident']:.1%}",
            f"of answers have a probability of {report['threshold']:.3f} or more",
        ),
    ]
    if report["test"]:
        told = tag(
            "p", f"Measured on the test split, {split['pictures']} pictures that no choice in training has seen."
        )
    else:
        told = tag(
            "p",
            tag("strong", "There is no usable test picture, so this page shows the validation split"),
            f" ({split['pictures']} pictures). The epoch, the temperature and the threshold were chosen on these very "
            "pictures: expect the figures to flatter the model.",
            class_="warning",
        )
    shown_cards = [
        tag("div", tag("dt", name), tag("dd", value, class_="value"), tag("dd", note, class_="soft"))
        for name, value, note in cards
    ]
    return join([told, tag("dl", *shown_cards, class_="cards")])


def _mistakes(report: Report, split: SplitFigures, names: Names, thumbnails: Mapping[str, Thumbnail]) -> Html:
    listed = split["mistakes"]
    if not listed:
        return tag("p", f"None: all {split['pictures']} pictures were told right.")
    which = "All of them" if len(listed) == split["wrong"] else f"The {len(listed)} surest of {split['wrong']}"
    told = tag(
        "p", f"{which}, the surest first. A mistake at the top is either a weakness of the model or a wrong label."
    )
    items = [tag("li", _photo(one, names, thumbnails.get(one["file"]), report["threshold"])) for one in listed]
    return join([told, tag("ul", *items, class_="photos", role="list")])


def _photo(one: MistakeFigures, names: Names, small: Thumbnail | None, threshold: float) -> Html:
    truth, answer = names[one["truth"]], names[one["answer"]]
    picture = tag("div", "The picture could not be read again.", class_="none")
    if small:
        data = "data:image/jpeg;base64," + base64.b64encode(small.jpeg).decode("ascii")
        alt = f"Picture of {truth}, taken for {answer}"
        picture = tag("img", src=data, alt=alt, width=small.width, height=small.height)
    sure = " (confident)" if one["probability"] >= threshold else ""
    caption = tag(
        "figcaption",
        tag("span", "Is ", tag("strong", truth)),
        tag("span", "Answer ", tag("strong", answer, class_="wrong"), f", {one['probability']:.1%}{sure}"),
        tag("span", shortened(one["file"].rpartition("/")[2], NAME_LENGTH), class_="file"),
    )
    return tag("figure", picture, caption)
