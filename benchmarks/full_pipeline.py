"""The whole pipeline: the full demo once, ten runs in a row, three stacks at once (demo, runs, stacks; default all).

Each part leaves its own results/full_pipeline_PART.json.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.parts import once, runs, stacks

PARTS = {"demo": once.main, "runs": runs.main, "stacks": stacks.main}


def main() -> int:
    """Measure and record the parts named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_pipeline", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS))
    names = parser.parse_args().parts
    if unknown := set(names) - PARTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    for name in names or PARTS:
        if status := PARTS[name]():
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
