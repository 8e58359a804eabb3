"""The main job on one machine, whole and for real: `make demo`, `make up`, `make down`.

demo [--data DIR]          embedded AWS up, sam build, sam deploy, upload, pipeline, predictions; then all is stopped
demo --full [--data DIR]   the whole pipeline instead: tune, train three ways, update, scale, tear down
up   [--data DIR]          the same as demo, but left running; writes .local/stack.json, prints a curl line and a page.
                           Where that was killed, or the machine was switched off, it is started again as it was
down                       stops what `up` left running and removes its state
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import FrameType

import boto3
from rich.console import Console
from rich.text import Text

from tools import ask, full_demo, local_stack, pipeline
from tools.progress import Progress
from tools.stack import Stack, StackError, describe_stack
from tools.upload import DataError, picture_files, upload

LOCAL = Path(os.environ.get("KENNEL_LOCAL", local_stack.ROOT / ".local"))
STATE = LOCAL / "aws"
STACK_FILE = LOCAL / "stack.json"
DATA_PREFIX = "dogImages/"
SHOWN_PICTURES = 5


class DemoError(Exception):
    """A step failed; the message holds what a person needs to go on."""


def main() -> int:
    """Command line; exit status 0 on success, 1 on failure, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["demo", "up", "down"])
    parser.add_argument("--full", action="store_true", help="the whole pipeline (demo only)")
    parser.add_argument("--data", type=Path, help="a folder in the dogImages layout (default: drawn pictures)")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console()
    try:
        if arguments.command == "down":
            down()
        elif arguments.command == "up":
            up(console, arguments.data)
        elif arguments.full:
            whole(console, arguments.data)
        else:
            demo(console, arguments.data)
    except (DemoError, full_demo.FullDemoError, StackError, DataError, local_stack.LocalStackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: everything that was started has been stopped", file=sys.stderr)
        return 130
    return 0


def demo(console: Console, data: Path | None) -> None:
    """Run the main job in a temporary place and leave nothing behind."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kennel-") as scratch:
        state = Path(scratch) / "aws"
        with local_stack.stopped_afterwards(state):
            main_job(console, data, Path(scratch), state)
    console.print(f"Everything is stopped. Whole demo: {time.monotonic() - began:.0f} s.", highlight=False)


def whole(console: Console, data: Path | None) -> None:
    """Run everything the pipeline can do in a temporary place; the report alone is left."""
    timeline = full_demo.Timeline()
    os.environ.setdefault("LOCAL_AWS_TIME_FACTOR", full_demo.TIME_FACTOR)
    with tempfile.TemporaryDirectory(prefix="kennel-") as scratch:
        state = Path(scratch) / "aws"
        with local_stack.stopped_afterwards(state):
            with timeline.part("build and deploy the stack"), Progress(console) as progress:
                stack, folder = deployed(progress, data, Path(scratch), state)
            full_demo.run(console, stack, test_pictures(folder), timeline, LOCAL / "report.html")
    console.print(f"Everything is stopped. Whole demo: {time.monotonic() - timeline.began:.0f} s.", highlight=False)


def up(console: Console, data: Path | None) -> None:
    """Run the main job and leave the stack running for its user; start one again that has ended without ``down``."""
    if not STACK_FILE.exists():
        stack = _from_nothing(console, data)
    elif local_stack.is_up(STATE):
        raise DemoError("a local stack is up already ('make down' stops it)")
    else:
        stack = _again()
        console.print("It had ended without 'make down', and is up again with all that was in it.", highlight=False)
    stack.save(STACK_FILE)
    shown = next(LOCAL.glob("picture.*"))
    console.print(
        f"\nThe stack is up ({_shown(STACK_FILE)}); 'make watch' shows it live, 'make down' stops it. Ask it:\n",
        highlight=False,
        soft_wrap=True,
    )
    print(
        f"curl -s -H 'x-api-key: {stack.api_key}' -H 'content-type: {ask.content_type(shown)}' "
        f"--data-binary @{_shown(shown)} '{stack.api_url}/predictions?top_k=5'"
    )
    console.print(f"\nOr open the page, which asks once for the key {stack.api_key}:\n", highlight=False)
    print(f"{stack.api_url}/")


def _from_nothing(console: Console, data: Path | None) -> Stack:
    """The main job, and one of its pictures to ask about."""
    with tempfile.TemporaryDirectory(prefix="kennel-") as scratch:
        try:
            stack, pictures = main_job(console, data, Path(scratch), STATE)
        except BaseException:
            with local_stack.stopped_afterwards(STATE):
                raise
        shutil.copyfile(pictures[0], LOCAL / f"picture{pictures[0].suffix.lower()}")
    return stack


def _again() -> Stack:
    """The stack that was up, from its state on disk, with its model in service."""
    local_stack.start(STATE)
    stack = describe_stack(local_stack.NAME)
    waiter = boto3.client("sagemaker").get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=stack.endpoint_name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    return stack


def down() -> None:
    """Stop what ``up`` left running and remove its state."""
    local_stack.stop(STATE)
    shutil.rmtree(STATE, ignore_errors=True)
    for left in (STACK_FILE, *LOCAL.glob("picture.*")):
        left.unlink(missing_ok=True)


def main_job(console: Console, data: Path | None, scratch: Path, state: Path) -> tuple[Stack, list[Path]]:
    """From nothing to answers, printed. Returns the stack and the pictures its accuracy was measured on."""
    with Progress(console) as progress:
        stack, folder = deployed(progress, data, scratch, state)
        outcome = pipeline.follow(pipeline.start(stack.state_machines["pipeline"], {}), progress)
        if outcome.status != "SUCCEEDED":
            raise DemoError(f"the pipeline ended {outcome.status}: {outcome.error}: {outcome.cause}")
        pictures = test_pictures(folder)
        with progress.step("predictions over the API"):
            answers = ask.ask(stack, pictures)
    _report(console, answers, outcome.seconds)
    return stack, pictures


def deployed(progress: Progress, data: Path | None, scratch: Path, state: Path) -> tuple[Stack, Path]:
    """The stack on the embedded AWS, and the folder with the pictures that are in its bucket."""
    if data:
        picture_files(data)  # a wrong folder is refused before anything is started
    with progress.step("start embedded AWS"):
        local_stack.start(state)
    with progress.step("sam build"):
        local_stack.build(scratch)
    with progress.step("sam deploy"):
        local_stack.deploy(scratch)
    stack = describe_stack(local_stack.NAME)
    folder = data.resolve() if data else _draw(progress, scratch / "dogs")
    with progress.step("upload pictures"):
        sent = partial(progress.count, "upload pictures")
        upload(boto3.client("s3"), folder, stack.data_bucket, DATA_PREFIX, sent)
    return stack, folder


def test_pictures(folder: Path) -> list[Path]:
    """The test split, or everything where there is none."""
    files = picture_files(folder)
    return [path for path in files if path.parts[-3] == "test"] or files


def _draw(progress: Progress, folder: Path) -> Path:
    with progress.step("draw pictures"):
        local_stack.run([sys.executable, "-m", "tools.draw_dogs", str(folder)], "drawing the pictures")
    return folder


def _report(console: Console, answers: list[ask.Answer], pipeline_seconds: float) -> None:
    """Five of the answers with their truth, then what was measured on all of them."""
    for answer in answers[:: max(1, len(answers) // SHOWN_PICTURES)][:SHOWN_PICTURES]:
        for line in _answer_lines(answer):
            console.print(line, soft_wrap=True)
    median, p99 = ask.latency_ms(answers)
    console.print(
        f"\nTest split over the API: accuracy {ask.accuracy(answers):.1%} on {len(answers)} pictures\n"
        f"Latency p50 {median:.0f} ms, p99 {p99:.0f} ms, one request at a time. Pipeline: {pipeline_seconds:.0f} s.",
        highlight=False,
        soft_wrap=True,
    )


def _answer_lines(answer: ask.Answer) -> list[Text]:
    name = f"{answer.path.parent.name}/{answer.path.name}"
    if answer.status != 200:
        return [Text(f"\n{name}: refused with {answer.status}: {answer.body.get('detail')}", style="red")]
    sure = "" if answer.body["confident"] else ", and the model is not sure"
    lines = [Text(f"\n{name}: truth {answer.truth}{sure}", style="bold")]
    for prediction in answer.body["predictions"]:
        style = "green" if prediction["breed"] == answer.truth else ""
        lines.append(Text(f"  {prediction['probability']:6.1%}  {prediction['breed']}", style=style))
    return lines


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
