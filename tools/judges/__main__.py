"""Run every judge and print what each counts; the exit status is 1 if any finds something that no skip argues for."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.judges import code, pins, stack, template
from tools.judges.skips import Skips, Verdict


def main() -> int:
    """Two judges at a time: they are processes of their own, the longest ones first."""
    parser = argparse.ArgumentParser(prog="python -m tools.judges", description=__doc__)
    parser.add_argument("--skips", action="store_true", help="print every skip of the template with its reason instead")
    if parser.parse_args().skips:
        print(reasons())
        return 0
    os.environ.setdefault("AWS_DEFAULT_REGION", stack.REGION)
    transformed = stack.transformed()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        judges: list[Callable[[], Verdict]] = [
            lambda: template.checkov(transformed, Path(folder)),
            code.bandit,
            template.cfn_lint,
            pins.pip_audit,
            lambda: template.parliament(transformed),
        ]
        verdicts = list(pool.map(lambda judge: judge(), judges))
    print(table(verdicts))
    return 1 if any(verdict.failed for verdict in verdicts) else 0


def reasons() -> str:
    """A line for every skip of the template."""
    judges = {judge: Skips.of_template(stack.source(), judge).reasons for judge in ("checkov", "parliament")}
    return "\n".join(
        f"{judge}: {' '.join(part for part in skip if part)}: {reason}"
        for judge, found in judges.items()
        for skip, reason in found.items()
    )


def table(verdicts: list[Verdict]) -> str:
    """A line for each judge, and one for each finding."""
    lines = [f"{'judge':<12}{'passed':>8}{'failed':>8}{'skipped':>8}"]
    for one in verdicts:
        passed = "-" if one.passed is None else one.passed
        lines.append(f"{one.judge:<12}{passed:>8}{len(one.failed):>8}{one.skipped:>8}  {one.note}".rstrip())
    for one in verdicts:
        lines += [f"{one.judge}: {' '.join(part for part in finding if part)}" for finding in one.failed]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
