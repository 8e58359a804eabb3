"""Nothing that a person sets, reads or meets is missing in the documentation, and nothing stands there that is not."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kennel import batches, errors, runs

from local_aws.supervisor import _PASSED_ON
from serving.errors import PROBLEMS as CONTAINER
from tests.contract import environment, template
from tests.contract.commands.found import blocks
from tests.contract.test_docs import PAGES, ROOT, TARGETS
from tools.cost import __main__ as cost_page
from tools.cost.month import Use, month
from tools.cost.stack_settings import StackSettings

DOCS = ROOT / "docs"
# What any program on a machine reads; nothing of Kennel's.
EVERYBODYS = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"}
BASHS = {"PWD", "SECONDS"}
AWSS = ("AWS_LAMBDA_", "AWS_DEFAULT_")  # Lambda's runtime, and the SDKs
ITS_OWN = {"GATEWAY_PORT"}  # what the embedded AWS tells itself
FIXTURES = "tests/functional/fixtures/"  # programs that stand in for the product's
PRICES = json.loads(cost_page.TABLE.read_text(encoding="utf-8"))
_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]{2,})`")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def first_cells(page: str) -> list[str]:
    """The first cell of every row of every table."""
    return re.findall(r"^\| (.*?) \|", page, re.M)


# --- the stack


def test_the_page_of_the_deployment_has_every_output_in_the_templates_own_words() -> None:
    shown = re.findall(r"^\| `(\w+)` \| (.*) \|$", text("docs/deploy.md").partition("## Outputs")[2], re.M)
    words = {name: output["Description"].replace("<", "&lt;") for name, output in template.load()["Outputs"].items()}
    assert dict(shown) == words


def test_what_the_page_of_the_deployment_says_of_costs_is_what_the_tool_says() -> None:
    page = text("docs/deploy.md")
    assert page == cost_page.filled(page), "regenerate it: python -m tools.cost page docs/deploy.md"


def said_to_cost() -> set[str]:
    costs = text("docs/deploy.md").partition("## Parameters")[2].partition("\nWhat `prod`")[0]
    return {name for cell in first_cells(costs) for name in re.findall(r"`(\w+)`", cell)}


def month_with(**parameters: str) -> float:
    """What a month costs at most in a stack with those parameters, US dollars."""
    stack = StackSettings.of("default", parameters)
    endpoint = runs.parse_run({}, stack.run_defaults())["endpoint"]
    return sum(item.high or 0 for item in month(endpoint, stack, Use(1e6, 100_000, 8351), PRICES))


def other_values(rules: dict[str, Any]) -> Iterator[str]:
    """Values of a parameter that are not its default."""
    ends = [rules["MinValue"], rules["MaxValue"]] if rules["Type"] == "Number" and "MinValue" in rules else ["x"]
    return (str(value) for value in rules.get("AllowedValues", ends) if value != rules["Default"])


def test_every_parameter_that_is_said_to_cost_is_one() -> None:
    assert said_to_cost() - template.load()["Parameters"].keys() == set()


def test_every_parameter_that_changes_a_months_cost_is_said_to_cost() -> None:
    costs, without = set(), month_with()
    for name, rules in template.load()["Parameters"].items():
        for value in other_values(rules):
            with contextlib.suppress(errors.InvalidRun):  # more instances at least than at most
                if month_with(**{name: value}) != without:
                    costs.add(name)

    assert costs >= {"ProvisionedConcurrency", "ScalingMaximum", "Monitoring", "Network", "KmsKeyArn"}
    assert costs - said_to_cost() == set()


def test_every_environment_of_samconfig_is_explained_with_its_stack() -> None:
    environments = tomllib.loads(text("samconfig.toml"))
    rows = re.findall(
        r"^\| (`.*?) \| (`.*?) \| ", text("docs/deploy.md").partition("| environment |")[2].partition("\n\n")[0], re.M
    )
    named = {name: stacks for names, stacks in rows for name in re.findall(r"`([\w-]+)`", names)}
    known = {name: one["deploy"]["parameters"]["stack_name"] for name, one in environments.items() if name != "version"}
    assert named.keys() == known.keys()
    assert {name: stack for name, stack in known.items() if f"`{stack}`" not in named[name]} == {}


def test_every_target_of_the_makefile_is_in_a_page() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [target for target in TARGETS if not re.search(rf"\bmake {target}\b", pages)] == []


# --- settings


def test_every_environment_variable_that_is_read_is_documented() -> None:
    read = {
        name
        for name, files in environment.read().items()
        if not all(file.startswith(FIXTURES) or file.startswith("tests/clients/") for file in files)
    }
    set_by_the_template = {
        name
        for function in template.resources("AWS::Serverless::Function").values()
        for name in function.get("Environment", {}).get("Variables", {})
    }
    shown = set(_VARIABLE.findall(text("docs/settings.md") + text("docs/serving.md")))
    missing = (read | set(_PASSED_ON) | set_by_the_template) - shown - EVERYBODYS - BASHS - ITS_OWN
    assert sorted(name for name in missing if not name.startswith(AWSS)) == []


def test_every_environment_variable_that_is_documented_is_read_somewhere() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in code())
    named = _VARIABLE.findall("\n".join(first_cells(text("docs/settings.md"))))
    # A channel that a job need not have is read by the channel's name.
    channels = {name: f'"{name.removeprefix("SM_CHANNEL_").lower()}"' for name in named}
    assert [name for name in named if name not in source and channels[name] not in source] == []


def code() -> list[Path]:
    """Every file that may read a variable."""
    found = [path for folder in environment.FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return [*found, ROOT / "template.yaml", ROOT / "training" / "ec2_bootstrap.sh"]


def test_reading_a_variable_would_be_noticed() -> None:
    source = (
        'A, B = "VIA_A", "x"\nos.environ.get(A)\nenviron["PLAIN"]\n_number(environ, "HANDED", 1)\nenviron["SET"] = "1"'
    )
    assert environment.in_python(source) == {"VIA_A", "PLAIN", "HANDED"}
    assert environment.in_shell('own=$PWD\nexport MADE=1\necho "${GIVEN%/}" $MADE') == {"PWD", "GIVEN"}


# --- errors


def test_every_problem_of_the_api_and_of_the_container_is_explained_and_no_other() -> None:
    api = re.findall(r"^\| `about:blank#([\w-]+)` \| (\d+) \|", text("docs/reference.md"), re.M)
    assert sorted(api) == sorted((one.slug, str(one.status)) for one in errors.PROBLEMS.values())
    container = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", text("docs/serving.md"), re.M)
    assert sorted(container) == sorted((slug, str(status)) for slug, (status, _) in CONTAINER.items())


# --- events, examples, pages


def test_every_event_has_its_row_and_every_row_an_event() -> None:
    patterns = [pattern for cell in first_cells(text("events/README.md")) for pattern in re.findall(r"`(.*?)`", cell)]
    events = [path.name for path in (ROOT / "events").glob("*.json")]
    assert [name for name in events if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not fnmatch.filter(events, pattern)] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_input_shown_is_accepted(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.lines and block.lines[0].startswith("{"):
            one = json.loads("\n".join(block.lines))
            parse = batches.parse_batch if "batch" in one else runs.parse_run
            parse(one, {})


def test_the_index_of_decisions_has_each_by_its_own_title() -> None:
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    titles = [page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").split(". ", 1) for page in pages]
    rows = [f"| {number} | [{title}]({page.name}) |" for (number, title), page in zip(titles, pages, strict=True)]
    assert re.findall(r"^\| \d+ \|.*$", text("docs/decisions/README.md"), re.M) == rows


def test_every_page_can_be_come_to_from_the_readme() -> None:
    """By links alone; a link to a folder stands for the page that is shown there."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        page = page / "README.md" if page.is_dir() else page
        if page in seen or not page.exists() or page.suffix != ".md":
            continue
        seen.add(page)
        prose = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
        waiting += [page.parent / link.partition("#")[0] for link in re.findall(r"\]\(([^)#]+)", prose)]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_heading_that_a_link_goes_to_is_there(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for name, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", prose):
        target = page.parent / name if name else page
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
        slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert anchor in slugs, f"{name}#{anchor}"


def test_the_states_that_are_drawn_are_the_state_machines() -> None:
    states = {
        state
        for path in (ROOT / "statemachine").glob("*.asl.json")
        for state in json.loads(path.read_text(encoding="utf-8"))["States"]
    }
    drawn = "\n".join(line for block in blocks(text("docs/architecture.md")) for line in block.lines)
    pipeline = drawn.partition("ValidateRun")[1:]
    named = {word for part in pipeline for word in re.findall(r"\b(?:[A-Z][a-z]+){2,}(?:Ec2)?\b", part)}
    assert named - states - {"OpenVINO"} == set()
