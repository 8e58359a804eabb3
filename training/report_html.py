"""HTML and SVG by construction: what is not markup already is escaped, so that no file's name can become markup."""

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"img", "meta"})
_JOINERS = "\u200c\u200d"  # not printable by themselves, but Persian words and many emoji need them


class Html(str):
    """Text that is markup already. `tag` and `join` escape every other text."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """One element. `class_` is written as class, `stroke_width` as stroke-width; what is None is left out."""
    written = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """All parts, one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(visible(part)) for part in parts))


def visible(text: str) -> str:
    """`text` with what cannot be seen, or would turn the text around it, written as an escape.

    So two names that look alike are alike, and a name may hold bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in _JOINERS else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def shortened(text: str, most: int) -> str:
    """`text`, visible, its middle left out where it is longer than `most` characters."""
    seen = visible(text)
    if len(seen) <= most:
        return seen
    head = most // 2
    return f"{seen[:head]}…{seen[head + 1 - most :]}"


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return escape(visible(value)) if isinstance(value, str) else f"{round(value, 2):g}"
