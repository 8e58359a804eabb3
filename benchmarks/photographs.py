"""The pipeline on real photographs: 20 breeds, 800 training pictures, default settings, accuracy over the API.

Needs the development photographs beside the checkout (../shared/data/dogs, or DATA=folder); they are not in this
repository.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.claims import ROOT, claim, record
from tools import ask, demo, local_stack


def main() -> int:
    """Measure and record."""
    folder = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data" / "dogs"))
    if not folder.is_dir():
        print(f"skipped: no photographs at {folder}")
        return 0
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        state = Path(scratch) / "aws"
        with local_stack.stopped_afterwards(state):
            stack, pictures = demo.main_job(Console(), folder, Path(scratch), state)
            answers = ask.ask(stack, pictures)
    median, p99 = ask.latency_ms(answers)
    claims = [claim("test accuracy, 20 breeds, default backbone", ">=", 0.94, ask.accuracy(answers), "share")]
    details = {"pictures": len(answers), "latency_p50_ms": median, "latency_p99_ms": p99}
    return record("photographs", claims, details)


if __name__ == "__main__":
    sys.exit(main())
