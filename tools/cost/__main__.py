"""What a run and a month of serving will cost, item by item, before either is begun.

    python -m tools.cost plan INPUT.json                        a pipeline's input, or an event that holds one
    python -m tools.cost plan INPUT.json --data FOLDER --requests 3000000 --environment prod --json
    python -m tools.cost plan INPUT.json --requests 0 --parameter ProvisionedConcurrency=0
    python -m tools.cost refresh --type ml.g6.xlarge            instance prices anew, by AWS's Price List API
    python -m tools.cost page docs/cost.md                      its tables anew

Prices are those of training/prices.json; docs/cost.md says how times are estimated.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from tools.cost.month import Use, assumptions, month
from tools.cost.refresh import API_REGION, refreshed
from tools.cost.stack_settings import SettingsError, StackSettings
from tools.template import ROOT
from tools.upload import SPLITS, DataError, picture_files

TABLE = ROOT / "training" / "prices.json"
DOG_IMAGES = "6680,835,836"
_BLOCK = re.compile(r"(<!-- cost (.*?) -->\n).*?(<!-- /cost -->)", re.S)


class InputError(Exception):
    """The input cannot be priced; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit status 0, 1 with a sentence on what to do, 2 when the run would be refused for its budget."""
    given = parser().parse_args(arguments)
    try:
        return {"plan": plan, "refresh": refresh, "page": fill}[given.command](given)
    except (InputError, SettingsError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """What may be asked."""
    shown = argparse.RawDescriptionHelpFormatter
    whole = argparse.ArgumentParser(prog="python -m tools.cost", description=__doc__, formatter_class=shown)
    commands = whole.add_subparsers(dest="command", required=True)
    planning = commands.add_parser("plan", help="a run and a month of serving")
    planning.add_argument("input", type=Path, metavar="INPUT.json")
    counted = planning.add_mutually_exclusive_group()
    counted.add_argument("--pictures", default=DOG_IMAGES, metavar="TRAIN,VALID,TEST", help=f"default {DOG_IMAGES}")
    counted.add_argument("--data", type=Path, metavar="FOLDER", help="count the pictures of a folder instead")
    planning.add_argument("--requests", type=float, default=1e6, help="requests a month (1000000)")
    planning.add_argument("--picture-kb", type=float, default=100, help="size of a picture (100)")
    planning.add_argument("--environment", default="default", help="of samconfig.toml (default)")
    planning.add_argument("--parameter", action="append", default=[], metavar="Name=value", help="of the template")
    planning.add_argument("--json", action="store_true", help="as JSON")
    refreshing = commands.add_parser("refresh", help="instance prices anew")
    refreshing.add_argument("--type", action="append", default=[], help="one more instance type, such as ml.g6.xlarge")
    filling = commands.add_parser("page", help="a Markdown page's tables anew")
    filling.add_argument("page", type=Path)
    return whole


def plan(given: argparse.Namespace) -> int:
    """The costs, as a table or JSON; 2 where `budget_usd` would refuse the run."""
    found = planned(given)
    print(json.dumps(found, indent=2) if given.json else as_text(found))
    return 2 if found["refused"] else 0


def planned(given: argparse.Namespace) -> dict[str, Any]:
    """Everything that is shown. Raises InputError with what the pipeline would refuse."""
    stack = StackSettings.of(given.environment, _pairs(given.parameter))
    pictures = _counted(given)
    answer = _estimated({"input": _input(given.input), "defaults": stack.run_defaults(), "pictures": pictures})
    if "problems" in answer:
        raise InputError("the pipeline would refuse this input:\n" + "\n".join(answer["problems"]))
    use = Use(given.requests, given.picture_kb * 1000, sum(pictures.values()))
    prices = json.loads(TABLE.read_text(encoding="utf-8"))
    items = [asdict(item) for item in month(answer["asked"]["endpoint"], stack, use, prices)]
    ends = {end: round(sum(item[end] or 0 for item in items), 4) for end in ("low", "high")}
    return {
        "run": answer["estimate"],
        "refused": answer["refused"],
        "month": {**ends, "items": items},
        "assumptions": [*answer["assumptions"], *assumptions(use), *_derived(answer, prices)],
        "sources": prices["sources"],
    }


def _derived(answer: dict[str, Any], prices: dict[str, Any]) -> list[str]:
    """Which of the prices asked for were not read anywhere, as a sentence."""
    kinds = {*answer["estimate"]["per_hour"], answer["asked"]["endpoint"].get("instance_type")}
    named = sorted(kinds & prices["instance_hour_derived"].keys())
    return [f"The price of {' and '.join(named)}: {prices['derived_how']}."] if named else []


def _estimated(question: dict[str, Any]) -> dict[str, Any]:
    """What the layer's own code says; a process, because tools import nothing of the stack."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "layers" / "common")}
    command = [sys.executable, "-m", "kennel.costs"]
    ran = subprocess.run(
        command, input=json.dumps(question), env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def _input(path: Path) -> Any:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no JSON file that can be read: {error}") from None
    return read["input"] if isinstance(read, dict) and {"input", "execution"} <= read.keys() else read


def _counted(given: argparse.Namespace) -> dict[str, int]:
    if given.data:
        counts = dict.fromkeys(SPLITS, 0)
        for file in picture_files(given.data):
            counts[file.relative_to(given.data).parts[0]] += 1
        return counts
    try:
        train, valid, test = (int(count) for count in given.pictures.split(","))
    except ValueError:
        raise InputError(f"--pictures {given.pictures}: it is TRAIN,VALID,TEST, such as {DOG_IMAGES}") from None
    return dict(zip(SPLITS, (train, valid, test), strict=True))


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    if wrong := [text for text in texts if "=" not in text]:
        raise InputError(f"--parameter {wrong[0]}: it is Name=value")
    return dict(text.split("=", 1) for text in texts)


def as_text(found: dict[str, Any]) -> str:
    """For a terminal."""
    run = found["run"]
    parts = [
        _table("A first run, US dollars", run),
        f"If every job runs until train.max_runtime_seconds stops it: at most {_dollars(run['ceiling'])}.",
        "",
        _table("A month of serving, US dollars", found["month"]),
        "",
        f"Prices of {run['as_of']}, {run['region']}, on demand. Assumed:",
        *(f"- {sentence}" for sentence in found["assumptions"]),
        *(f"The run would be refused: {sentence}" for sentence in found["refused"]),
    ]
    return "\n".join(parts)


def _table(title: str, part: dict[str, Any]) -> str:
    rows = [(item["name"], item["what"], _dollars(item["low"]), _dollars(item["high"])) for item in part["items"]]
    rows = [(title, "", "at least", "at most"), *rows, ("Together", "", _dollars(part["low"]), _dollars(part["high"]))]
    wide = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(f"{a:{wide[0]}}  {b:{wide[1]}}  {c:>{wide[2]}}  {d:>{wide[3]}}".rstrip() for a, b, c, d in rows)


def _markdown(part: dict[str, Any]) -> str:
    rows = ["| what | of it | at least | at most |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {item['name']} | {item['what']} | {_dollars(item['low'])} | {_dollars(item['high'])} |"
        for item in part["items"]
    ]
    return "\n".join([*rows, f"| **Together** | | **{_dollars(part['low'])}** | **{_dollars(part['high'])}** |"])


def _dollars(amount: float | None) -> str:
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.4f}"


def fill(given: argparse.Namespace) -> int:
    """Between `<!-- cost run|month ARGUMENTS -->` and `<!-- /cost -->` comes that table of `plan ARGUMENTS`."""
    page: Path = given.page
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def filled(text: str) -> str:
    """A page's text with its tables anew."""

    def block(match: re.Match[str]) -> str:
        which, *arguments = shlex.split(match[2])
        given = parser().parse_args(["plan", *arguments])
        given.input = ROOT / given.input
        found = planned(given)
        return f"{match[1]}\n{_markdown(found[which])}\n\n{match[3]}"

    return _BLOCK.sub(block, text)


def refresh(given: argparse.Namespace) -> int:
    """Writes the table."""
    old = json.loads(TABLE.read_text(encoding="utf-8"))
    new = refreshed(old, boto3.client("pricing", region_name=API_REGION), datetime.now(UTC).date(), given.type)
    TABLE.write_text(json.dumps(new, indent=2) + "\n", encoding="utf-8")
    before = old["instance_hour"] | old["instance_hour_derived"]
    for name, price in new["instance_hour"].items():
        print(f"{name}: {price}{'' if before.get(name) == price else f' (was {before.get(name)})'}")
    for name in new["instance_hour_derived"]:
        print(f"{name}: not told; still derived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
