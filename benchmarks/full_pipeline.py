"""The whole pipeline: the full demo once, ten runs in a row, three stacks at once (demo, runs, stacks; default all).

Each part leaves its own results/full_pipeline_PART.json.
"""

from __future__ import annotations

import sys

from benchmarks.parts import once, runs, stacks

PARTS = {"demo": once.main, "runs": runs.main, "stacks": stacks.main}


def main(names: list[str]) -> int:
    """Measure and record the parts named, or all."""
    for name in names or PARTS:
        if status := PARTS[name]():
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
