"""Simulate how a stack scales, and choose its settings: before it is deployed, in seconds, without an account.

    python -m tools.scaling compare                               every baseline and `recommended`, on four traffics
    python -m tools.scaling compare --traffic burst:20:600 --profile recommended --profile prod --pictures FOLDER
    python -m tools.scaling recommend --traffic csv:FILE --p99-ms 200 --write FILE
    python -m tools.scaling page docs/scaling.md                  its tables and pictures anew, by the arguments in it

docs/scaling.md says what is simulated and how far it is to be believed.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tools.scaling.picture import picture
from tools.scaling.profiles import ProfileError, profiles
from tools.scaling.queueing import Queue
from tools.scaling.recommend import Goal, NothingFitsError, recommend
from tools.scaling.simulation import Outcome, World, measured, simulate
from tools.scaling.tables import markdown, text
from tools.scaling.traffic import FORMS, STEP_SECONDS, Trace, TrafficError, trace

TRAFFICS = ("steady:0.5", "steady:20", "daily:2:160", "burst:8:100")
_BLOCK = re.compile(r"(<!-- simulated (.*?) -->\n).*?(<!-- /simulated -->)", re.S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit status 0, or 1 with a sentence on what to do."""
    given = parser().parse_args(arguments)
    try:
        return {"compare": compare, "recommend": choose, "page": fill}[given.command](given)
    except (TrafficError, ProfileError, NothingFitsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """What may be asked."""
    world = argparse.ArgumentParser(add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    world.add_argument("--traffic", action="append", metavar="FORM", help=f"as often as you like; one of\n{FORMS}")
    world.add_argument("--service-ms", type=float, help="what an instance takes for one request (default: measured)")
    world.add_argument("--function-ms", type=float, help="what API and function add to that (default: measured)")
    world.add_argument("--threads", type=int, default=2, help="requests an instance works on at a time (2)")
    world.add_argument(
        "--capacity", type=int, default=64, help="requests inside an instance before it answers 503 (64)"
    )
    world.add_argument("--service", choices=["fixed", "exponential"], default="fixed", help="how service times spread")
    world.add_argument("--routing", choices=["random", "turns"], default="random", help="how an instance is chosen")
    world.add_argument("--start-seconds", type=float, default=240.0, help="until a new instance answers (240)")
    shown = argparse.RawDescriptionHelpFormatter
    whole = argparse.ArgumentParser(prog="python -m tools.scaling", description=__doc__, formatter_class=shown)
    commands = whole.add_subparsers(dest="command", required=True)
    comparing = commands.add_parser(
        "compare", parents=[world], help="profiles beside each other", formatter_class=shown
    )
    comparing.add_argument(
        "--profile", action="append", help="[LABEL=]NAME[:Parameter=value,...], NAME an environment of samconfig.toml"
    )
    comparing.add_argument("--pictures", type=Path, metavar="FOLDER", help="an SVG for each traffic goes there")
    choosing = commands.add_parser("recommend", parents=[world], help="settings for a load", formatter_class=shown)
    choosing.add_argument("--p99-ms", type=float, required=True, help="99 of 100 answers come within this")
    choosing.add_argument("--refused", type=float, default=0.001, help="largest share without an answer (0.001)")
    choosing.add_argument("--write", type=Path, metavar="FILE", help="the parameter overrides go there, too")
    filling = commands.add_parser("page", help="a Markdown page's simulated blocks anew")
    filling.add_argument("page", type=Path)
    return whole


def compare(given: argparse.Namespace) -> int:
    """A table for each traffic, and a picture where they were asked for."""
    for outcomes in compared(given, given.pictures):
        print(text(outcomes), end="\n\n")
    print(_assumed(_world(given)))
    return 0


def compared(given: argparse.Namespace, folder: Path | None) -> Iterator[list[Outcome]]:
    """Every profile's outcome on each traffic; its picture goes to the folder."""
    found, world = profiles(given.profile), _world(given)
    queue = Queue(world.server, STEP_SECONDS)
    for form in given.traffic or TRAFFICS:
        traffic = trace(form)
        outcomes = [simulate(one, traffic, world, queue) for one in found]
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _file_name(traffic)).write_text(picture(outcomes), encoding="utf-8")
        yield outcomes


def fill(given: argparse.Namespace) -> int:
    """Between `<!-- simulated ARGUMENTS -->` and `<!-- /simulated -->` come the tables of `compare ARGUMENTS`."""
    page: Path = given.page

    def filled(block: re.Match[str]) -> str:
        asked = parser().parse_args(["compare", *shlex.split(block[2])])
        folder = page.parent / asked.pictures if asked.pictures else None
        sections = [section(outcomes, asked.pictures) for outcomes in compared(asked, folder)]
        return "\n".join([block[1], *sections, _assumed(_world(asked)), "", block[3]])

    page.write_text(_BLOCK.sub(filled, page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def choose(given: argparse.Namespace) -> int:
    """The settings, as overrides."""
    world, goal = _world(given), Goal(given.p99_ms / 1000, given.refused)
    traces = [trace(form) for form in given.traffic or TRAFFICS]
    choice = recommend(traces, world, goal, lambda said: print(said, file=sys.stderr))
    for one in choice.outcomes:
        print(text([one]), end="\n\n")
    print(_assumed(world), choice.overrides(), sep="\n\n")
    if given.write:
        given.write.write_text(choice.overrides() + "\n", encoding="utf-8")
    return 0


def _world(given: argparse.Namespace) -> World:
    world = measured()
    server = replace(
        world.server,
        service_seconds=given.service_ms / 1000 if given.service_ms else world.server.service_seconds,
        threads=given.threads,
        capacity=given.capacity,
        service=given.service,
        routing=given.routing,
    )
    around = given.function_ms / 1000 if given.function_ms is not None else world.function_seconds
    return replace(world, server=server, function_seconds=around, start_seconds=given.start_seconds)


def _assumed(world: World) -> str:
    server = world.server
    return (
        f"An instance takes {server.service_seconds * 1000:.1f} ms for a request, {server.threads} at a time, so at "
        f"most {server.most:.0f} a second, and {server.capacity} inside; a new one answers after "
        f"{world.start_seconds:.0f} s. "
        f"API and function add {world.function_seconds * 1000:.1f} ms."
    )


def _file_name(traffic: Trace) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", traffic.name) + ".svg"


def section(outcomes: Sequence[Outcome], pictures: Path | None) -> str:
    """The part of a page on one traffic; `pictures`: the folder, as the page names it."""
    traffic = outcomes[0].trace
    image = [f"![{traffic.name}: instances over time]({pictures}/{_file_name(traffic)})", ""] if pictures else []
    return "\n".join([f"**{traffic.name[0].upper()}{traffic.name[1:]}**", "", *image, markdown(outcomes), ""])


if __name__ == "__main__":
    sys.exit(main())
