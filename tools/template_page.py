"""The template's parameters and outputs as tables of a Markdown page: `python -m tools.template_page docs/deploy.md`.

Between `<!-- parameters -->` and `<!-- /parameters -->` comes a table for each group of the console of CloudFormation,
between `<!-- outputs -->` and `<!-- /outputs -->` one of the outputs.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.template import template


def parameters() -> str:
    """A table for each group of parameters, with defaults, what is taken, and the template's own words."""
    known = template()["Parameters"]
    parts = []
    for group in template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        rows = [
            (f"`{name}`", _default(known[name]), known[name]["ConstraintDescription"], known[name]["Description"])
            for name in group["Parameters"]
        ]
        parts.append(
            f"### {group['Label']['default']}\n\n{_table(('parameter', 'default', 'takes', 'what it is'), rows)}"
        )
    return "\n\n".join(parts)


def outputs() -> str:
    """A table of what a deployed stack tells."""
    rows = [(f"`{name}`", output["Description"]) for name, output in template()["Outputs"].items()]
    return _table(("output", "what it is"), rows)


def filled(text: str) -> str:
    """A page's text with its tables anew."""
    for name, table in (("parameters", parameters), ("outputs", outputs)):
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        text = block.sub(lambda found, made=table: f"{found[1]}\n{made()}\n\n{found[2]}", text)
    return text


def _default(parameter: dict[str, object]) -> str:
    default = parameter["Default"]
    return "" if default == "" else f"`{default}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown takes for nothing else, in a cell."""
    return text.strip().replace("|", "\\|").replace("<", "&lt;")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.template_page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    page: Path = parser.parse_args(arguments).page
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
