"""The data, before money is spent on it: `python -m training.data check|fetch|split|version DIR`.

Exit status 0: all is well; 1: something would spoil training or its evaluation, or could not be done; 2: usage; 130:
stopped with Ctrl-C.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.preprocess import Preprocess
from training.data import SPLITS
from training.data.alike import ALIKE
from training.data.check import check, data_version
from training.data.check_text import as_document, as_text
from training.data.fetch import PUBLIC, PUBLISHED, Wanted, fetch
from training.data.split import split
from training.errors import TrainingError

Options = argparse.Namespace


class Terminal:
    """Results on stdout; progress on stderr, on a terminal as one line that is written over."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """A result."""
        self.clear()
        print(text, flush=True)

    def progress(self, line: str) -> None:
        """How far the work is."""
        sys.stderr.write(f"\r\x1b[K{line}" if self._live else f"{line}\n")
        sys.stderr.flush()

    def fail(self, reason: object) -> None:
        """Why it ends here."""
        self.clear()
        print(f"error: {reason}", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """No progress is left on the terminal."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def run_check(options: Options, terminal: Terminal) -> int:
    """`check`."""
    # Reading depends on the input's size alone, and on that only in how far a large picture is decoded.
    preprocess = Preprocess(size=options.size, resize=options.size)
    try:
        findings = check(options.dir, preprocess, options.alike, terminal.progress)
    except TrainingError as error:
        _write(options.json, {"ready": False, "verdict": str(error)})
        raise
    _write(options.json, as_document(findings))
    terminal.say(as_text(findings))
    return 0 if findings.ready else 1


def run_version(options: Options, terminal: Terminal) -> int:
    """`version`."""
    terminal.say(data_version(options.dir, terminal.progress))
    return 0


def run_fetch(options: Options, terminal: Terminal) -> int:
    """`fetch`."""
    published = PUBLISHED if options.url == PUBLIC else None
    wanted = Wanted(options.url, options.sha256, options.pictures or published)
    root = fetch(wanted, options.dir, terminal.say, terminal.progress)
    terminal.say(f"next       python -m training.data check {root}")
    return 0


def run_split(options: Options, terminal: Terminal) -> int:
    """`split`."""
    counts = split(options.dir, options.to, options.share)
    terminal.say(f"{options.to}: {', '.join(f'{count} pictures in {name}/' for name, count in counts.items())}")
    terminal.say(f"next       python -m training.data check {options.to}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    options = _parser().parse_args(arguments)
    run: Callable[[Options, Terminal], int] = options.run
    terminal = Terminal()
    try:
        return run(options, terminal)
    except (TrainingError, OSError) as error:
        terminal.fail(error)
        return 1
    except KeyboardInterrupt:
        terminal.fail(options.stopped)
        return 130


def _write(path: Path | None, document: dict[str, object]) -> None:
    if path is not None:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.data", description="The data, before money is spent on it."
    )
    commands = parser.add_subparsers(required=True, metavar="check|fetch|split|version")

    one = commands.add_parser("check", help="what would spoil training or its evaluation; status 1 if anything would")
    one.add_argument("dir", type=Path, help="the data set: train/CLASS/*.jpg, and the same in valid/ and test/")
    one.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found to FILE")
    one.add_argument("--size", type=_side, default=224, help="side of the model's input, pixels (default: %(default)s)")
    one.add_argument(
        "--alike",
        type=_share,
        default=ALIKE,
        help="from which correlation on two pictures are taken for copies; 1: only equal bytes (default: %(default)s)",
    )
    one.set_defaults(run=run_check, stopped="stopped")

    one = commands.add_parser("fetch", help="download the public set of dog breeds, or another archive")
    one.add_argument("dir", type=Path, help="where to put it")
    one.add_argument("--url", default=PUBLIC, help="another zip file (default: %(default)s)")
    one.add_argument("--sha256", type=_sha256, help="what the archive must have; without it, what it has is only said")
    one.add_argument(
        "--pictures",
        type=_pictures,
        metavar="TRAIN/VALID/TEST",
        help="how many there must be (default: 6680/835/836 for the public set, else any)",
    )
    one.set_defaults(run=run_fetch, stopped="stopped; what was downloaded is kept: the same command goes on from there")

    one = commands.add_parser("split", help="make train/, valid/ and test/ of a folder with a folder for each class")
    one.add_argument("dir", type=Path, help="the pictures as they are: CLASS/*.jpg; nothing in it is changed")
    one.add_argument("to", type=Path, help="a new folder, which gets copies")
    one.add_argument(
        "--share",
        type=_part,
        default=0.15,
        help="of a class's pictures for valid/, and as many for test/ (%(default)s)",
    )
    one.set_defaults(run=run_split, stopped="stopped; delete the new folder before you split again")

    one = commands.add_parser("version", help="the data version, as a model trained on the data states it")
    one.add_argument("dir", type=Path, help="the data set")
    one.set_defaults(run=run_version, stopped="stopped")
    return parser


def _side(text: str) -> int:
    if not 16 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text} is not from 16 to 4096")
    return int(text)


def _share(text: str) -> float:
    if not 0.5 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.5 to 1")
    return float(text)


def _part(text: str) -> float:
    if not 0 < float(text) <= 0.4:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 0.4")
    return float(text)


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no SHA-256: 64 hexadecimal digits are wanted")
    return text.lower()


def _pictures(text: str) -> dict[str, int]:
    if not re.fullmatch(r"\d+/\d+/\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers such as 6680/835/836")
    return dict(zip(SPLITS, map(int, text.split("/")), strict=True))


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names may hold any bytes
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
