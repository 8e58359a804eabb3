"""`make demo` and `make test` as a newcomer meets them: a fresh clone, no environment, then once more.

Caches: pip's cache is switched off for the fresh clone. The working tree's commits are what is cloned.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.claims import ROOT, claim, record

PIPELINE_SECONDS = re.compile(r"Pipeline: (\d+) s")


def main() -> int:
    """Measure and record."""
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        clone = Path(scratch) / "kennel"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        first, said = _timed(clone, "demo")
        second, _ = _timed(clone, "demo")
        tests, tests_said = _timed(clone, "test")
    job = PIPELINE_SECONDS.search(said)
    claims = [
        claim("make demo, fresh clone and empty caches", "<=", 480, first, "s"),
        claim("of which the pipeline", "<=", 120, float(job.group(1)) if job else float("inf"), "s"),
        claim("make demo again", "<=", 120, second, "s"),
        claim("make test, environment there", "<=", 600, tests, "s"),
    ]
    return record("main_job", claims, {"make_test_said": tests_said.strip().splitlines()[-1]})


def _timed(clone: Path, target: str) -> tuple[float, str]:
    """Seconds that `make TARGET` took, and what it printed. Raises when it failed."""
    # Nothing that this process has from its own environment may help the clone along.
    environment = {
        key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "KENNEL_SAM", "PYTHONPATH"}
    }
    began = time.perf_counter()
    done = subprocess.run(
        ["make", target],
        cwd=clone,
        env=environment | {"PIP_NO_CACHE_DIR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"make {target} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    sys.exit(main())
