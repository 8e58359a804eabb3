"""What the report's page is built of: tables, facts, folds, and the names that people read."""

from collections.abc import Iterable, Mapping, Sequence

from training.data import display_name
from training.report_html import Html, join, shortened, tag

NAME_LENGTH = 60  # characters of a class's or file's name
NONE = "\N{EN DASH}"  # in the place of a figure that there is not


class Names:
    """What people read for a class's folder: `002.Afghan_hound` is `Afghan hound`, unless two would read the same."""

    def __init__(self, folders: Sequence[str]) -> None:
        told = [display_name(folder) for folder in folders]
        unique = len(set(told)) == len(told)
        self._names = dict(zip(folders, told if unique else folders, strict=True))

    def __getitem__(self, folder: str) -> str:
        return shortened(self._names[folder], NAME_LENGTH)

    def all(self) -> list[str]:
        """In the order of the classes, in full."""
        return list(self._names.values())


def cut(count: int, most: int) -> str:
    """What a caption says where a list is longer than what is shown of it."""
    return f"; the first {most} of them, report.json has all" if count > most else ""


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def percent(share: float | None) -> str:
    """A share for a table."""
    return NONE if share is None else f"{share:.1%}"


def moment(time: str) -> str:
    """A time of ISO 8601 for people, to the minute: `2026-01-02 03:04 UTC`; as it is where it is none in UTC."""
    return f"{time[:10]} {time[11:16]} UTC" if time.endswith("+00:00") else shortened(time, NAME_LENGTH)


def points(difference: float) -> str:
    """A difference of two shares, in percentage points with its sign."""
    return f"{difference * 100:+.1f}".replace("-", "\N{MINUS SIGN}")


def facts(named: Mapping[str, str]) -> Html:
    """Names with what they stand for."""
    pairs = [join([tag("dt", name), tag("dd", value)]) for name, value in named.items()]
    return tag("dl", *pairs, class_="facts")


def folded(summary: str, content: Html) -> Html:
    """What is there for who wants it; on paper it is open."""
    return tag("details", tag("summary", summary), content)


def warning(*content: str) -> Html:
    """What the reader must not overlook."""
    return tag("p", *content, class_="warning")


def scrolled(name: str, content: Html) -> Html:
    """What may be wider than the screen: to be scrolled by keyboard too."""
    return tag("div", content, class_="scroll", role="group", aria_label=name, tabindex="0")


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table whose first column names the row. `#` before a head: a column of numbers; "": one of ornament."""
    kinds = ["number" if head.startswith("#") else None for head in heads]
    top = [
        tag("th", head.removeprefix("#"), scope="col", class_=kind) if head else tag("td", aria_hidden="true")
        for head, kind in zip(heads, kinds, strict=True)
    ]
    lines = []
    for first, *others in rows:
        cells = [tag("td", cell, class_=kind) for cell, kind in zip(others, kinds[1:], strict=True)]
        lines.append(tag("tr", tag("th", first, scope="row"), *cells))
    whole = tag("table", tag("caption", caption), tag("thead", tag("tr", *top)), tag("tbody", *lines))
    return scrolled(caption, whole)
