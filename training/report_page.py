"""report.html: what report.json says, as one page that needs nothing beside itself, no script either.

Its size is bounded whatever the data holds (MAX_PAGE_BYTES): names are shortened and long lists cut, and the page says
where; report.json has everything.
"""

from collections.abc import Mapping

from training import report_headline, report_incumbent, report_sections, report_timing, report_tuning
from training.evaluation_shape import Report
from training.pictures import Thumbnail
from training.report_html import Html, join, tag
from training.report_parts import Names, facts, moment
from training.report_style import STYLE

MAX_PAGE_BYTES = 4_000_000
# What the page says of itself, should any name ever get past the escaping: nothing is loaded, nothing is run.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(report: Report, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The whole page. `thumbnails` are the shown pictures by file name; one that lacks is said to lack."""
    sections = _sections(report, thumbnails)
    links = [tag("li", tag("a", name, href=f"#{_anchor(name)}")) for name in sections]
    body = [
        tag(
            "section",
            tag("h2", name, id=f"h-{_anchor(name)}"),
            content,
            id=_anchor(name),
            aria_labelledby=f"h-{_anchor(name)}",
        )
        for name, content in sections.items()
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{report['run']}: evaluation"),
        tag("style", STYLE),
    )
    whole = tag(
        "body",
        tag("a", "Skip to the figures", href="#accuracy", class_="skip"),
        tag("header", _title(report), tag("nav", tag("ul", *links), aria_label="Sections")),
        tag("main", *body),
    )
    return f"<!doctype html>\n{tag('html', head, whole, lang='en')}\n"


def _sections(report: Report, thumbnails: Mapping[str, Thumbnail]) -> dict[str, Html]:
    """By name, in the order of the page; those that the run has nothing for are left out."""
    split, incumbent, training = report["figures"], report["incumbent"], report["training"]
    removed = incumbent["classes_removed"] if incumbent else ()
    names = Names([*report["model"]["classes"], *removed])
    own = names.all()[: len(report["model"]["classes"])]
    sections = {"Accuracy": report_headline.headline(report)}
    if incumbent:
        sections["Model in service"] = report_incumbent.incumbent(incumbent, names, thumbnails)
    sections |= {
        "Mistakes": report_headline.mistakes(split, names, thumbnails),
        "Classes": report_sections.classes(split, names),
        "Confusion": report_sections.confusion(split, names, own),
        "Calibration": report_sections.calibration(split),
    }
    if report["tuning"]:
        sections["Tuning"] = report_tuning.tuning(report["tuning"])
    if training:
        sections["Training"] = report_sections.training(training)
    sections["Data"] = report_sections.data(report)
    sections["Time and cost"] = report_timing.timing(report)
    sections["Provenance"] = report_sections.provenance(report)
    return sections


def _title(report: Report) -> Html:
    split, training = report["figures"], report["training"]
    named: dict[str, str] = {"Backbone": report["model"]["backbone"]}
    if training:
        used = " and ".join(f"{count} {name}" for name, count in training["data"]["pictures"].items())
        named["Trained"] = f"{moment(training['provenance']['created'])}, on {used} pictures"
    named["Evaluated"] = f"{moment(report['created'])}, on {split['pictures']} pictures of the {report['split']} split"
    return join([tag("h1", f"Evaluation of {report['run']}"), facts(named)])


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
