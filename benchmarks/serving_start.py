"""The serving container with ResNet-50 (as in `benchmarks.serving`): from start to first answer, and its memory.

Each precision is started STARTS times, in turns. The time runs from the start of the process (interpreter, imports,
the model's hashes, graphs, what it measures of itself) to the answer to a first picture. Memory is what is resident
right after 32 requests at a time; pages that are mapped twice count twice, as `ps` shows them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import serving
from benchmarks.claims import claim, record, rounded
from benchmarks.parts.servers import ends_cleanly

STARTS = 5
LENGTH = serving.Length({1: 1.0, 8: 1.0, 32: 4.0}, 0.0, STARTS)


def main() -> int:
    """Measure and record."""
    ends_cleanly()
    ground = serving.made_once(LENGTH)
    found: dict[str, list[Any]] = {precision: [] for precision in ground.precisions}
    with tempfile.TemporaryDirectory(prefix="kennel-", ignore_cleanup_errors=True) as folder:
        for _ in range(STARTS):
            for precision, seen in found.items():
                seen.append(serving.race(serving.Contestant(serving.OURS, precision), ground, Path(folder)))
                print(serving.row(precision, seen[-1]), flush=True)
    starts = {precision: [one["seconds_to_first_answer"] for one in seen] for precision, seen in found.items()}
    memory = {precision: [one["memory"]["rss_mb"] for one in seen] for precision, seen in found.items()}
    slowest, largest = (max(map(statistics.median, each.values())) for each in (starts, memory))
    made = [
        claim("serving, start to first answer, slowest precision", "<=", 3, slowest, "s"),
        claim("serving, resident after load, largest precision", "<=", 500, largest, "MB"),
    ]
    return record("serving_start", made, rounded({"seconds": starts, "resident_mb": memory}))


if __name__ == "__main__":
    sys.exit(main())
