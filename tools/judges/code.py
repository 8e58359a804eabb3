"""What bandit finds in the product's code: all but tests and benchmarks, which try things out on purpose."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from tools.judges.skips import Finding, Verdict
from tools.template import ROOT

FOLDERS = ("functions", "layers/common/kennel", "training", "serving", "local_aws", "tools")


def bandit() -> Verdict:
    """Bandit's findings less those with a reason in their line, and less the rules that pyproject.toml leaves out.

    Ruff's rule S310 is bandit's B310, so that one `# noqa: S310 - reason` speaks to both; `# nosec B310 - reason`
    where only bandit finds something. A comment without a reason skips nothing.
    """
    report = look(*(ROOT / folder for folder in FOLDERS))
    left_out = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["bandit"]["skips"]
    failed, skipped = [], 0
    for one in report["results"]:
        if one["test_id"] in left_out or is_argued(one):
            skipped += 1
        else:
            where = f"{Path(one['filename']).relative_to(ROOT)}:{one['line_number']}"
            failed.append(Finding(one["test_id"], where, text=one["issue_text"]))
    return Verdict("bandit", None, failed, skipped, f"{report['metrics']['_totals']['loc']} lines")


def look(*paths: Path) -> dict[str, Any]:
    """Bandit's own report of files or folders, with nothing skipped."""
    command = [ROOT / ".venv-check" / "bin" / "python", "-m", "bandit", "--quiet", "--recursive", "--ignore-nosec"]
    done = subprocess.run(
        [str(part) for part in (*command, "--format", "json", "--exit-zero", *paths)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    if report["errors"]:
        raise RuntimeError(f"bandit could not read everything: {report['errors']}")
    return report


def is_argued(finding: dict[str, Any]) -> bool:
    """Whether a line of the statement that it is about says why it may be so."""
    number = finding["test_id"].removeprefix("B")
    lines = Path(finding["filename"]).read_text(encoding="utf-8").splitlines()
    statement = lines[finding["line_range"][0] - 1 : finding["line_range"][-1]]
    return any(re.search(rf"# (?:noqa: S|nosec B){number} - \w", line) for line in statement)
