"""What the documentation says is there: commands, files, tables and figures."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from kennel.reference import reference

from benchmarks.claims import HEADLINES
from tests.functional.failures import rows
from tools.parameters import parameters

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not {part for part in path.relative_to(ROOT).parts if part.startswith(".")}
)
TARGETS = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_command_and_module_in_a_page_exists(page: Path) -> None:
    code = "\n".join(re.findall(r"`[^`\n]+`|^    .+$", page.read_text(), re.M))
    assert set(re.findall(r"(?:^|[`$] *|&& )make ([a-z]+)", code, re.M)) <= TARGETS
    for module in re.findall(r"python -m ([a-z_.]+)", code):
        assert module in {"pip", "kennel.reference"} or importlib.util.find_spec(module), module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_file_named_in_a_page_exists(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text())
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", prose)]
    for link in links:
        assert link.startswith("https://") or not link or (page.parent / link).exists(), link
    for event in re.findall(r"events/\w+\.json", page.read_text()):
        assert (ROOT / event).exists(), event


def test_the_reference_holds_the_tables_that_the_code_reads() -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    assert page.endswith(reference()), "regenerate it: see the page's first lines"


def test_the_reference_holds_every_parameter_of_the_template() -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    assert f"\n{parameters()}\n## Prediction request\n" in page, "regenerate it: python -m tools.parameters"


def test_the_page_of_failures_holds_the_table_that_is_tested() -> None:
    assert (ROOT / "docs" / "failures.md").read_text() == rows.page(), "regenerate it: see the page's first lines"


def figures(page: str) -> list[tuple[str, str, str]]:
    """Benchmark, name and value of every row of a page's table of figures, in their order."""
    return re.findall(
        r"^\| (\w+) \| ([^|]+) \| [^|]+ \| (-?[\d.e-]+) [^|]*\| [^|]*\|$", (ROOT / page).read_text(), re.M
    )


def test_the_tables_of_figures_are_those_of_the_results() -> None:
    measured = [
        (path.stem, claim["name"], f"{claim['measured']:g}")
        for path in sorted((ROOT / "benchmarks" / "results").glob("*.json"))
        for claim in json.loads(path.read_text())["claims"]
    ]
    assert len({one[:2] for one in measured}) == len(measured), "two figures of a result have one name"
    assert figures("benchmarks/README.md") == measured, "make them anew: python -m benchmarks.claims"
    assert [name for _, name, _ in figures("README.md")] == list(HEADLINES)
    assert set(figures("README.md")) <= set(measured)
