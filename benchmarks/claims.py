"""Record what a benchmark measured against its goal, with the machine and commit it was measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# Where results go instead, and the commit measured: for a machine that has the files but not the repository.
FOLDER, COMMIT = "KENNEL_RESULTS", "KENNEL_COMMIT"
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
# What README.md shows of all claims: of every part what says most of it, and what it misses.
HEADLINES = (
    "test accuracy, 20 breeds, default backbone",
    "test accuracy, 20 breeds, best of 50 trials",
    "50 trials on 20 breeds, one job, from start to end",
    "expected calibration error on 800 pictures that were held out, 20 breeds",
    "5 unknown breeds against test breeds, AUROC",
    "10 trials x 5 epochs, each its default network, ours 5 views (baseline extrapolated)",
    "10 trials x 5 epochs, ResNet-50 both, ours f32 5 views (both extrapolated)",
    "accuracy lost by int8, test",
    "serving, start to first answer, slowest precision",
    "requests/s at 32, ours over the best peer, int8",
    "p99 at 1, ours of the best peer's, int8",
    "requests/s at 32, ours int8 over the baseline handler",
    "peak, 32 at a time",
    "p99 at 80 % over the unloaded p99",
    "requests without an answer, all phases",
    "recovered after it",
    "classify cold, import and client, over a bare boto3 handler",
    "requests under load without an answer, or with another than 200",
    "unshifted hours in which the alarm of drift fires",
    "real less simulated instances, by concurrency, 15 s allowed",
    "acknowledged things lost",
    "requests failed while nothing was down",
    "slowest recovery from a kill of what answers, to right answers",
    "the embedded AWS's memory grows, in the last third",
    "make demo, fresh clone and empty caches",
    "the tutorial, from the fresh clone to the page",
    "make test, environment there",
)


@dataclass(frozen=True)
class Claim:
    """One figure: what was to be reached, what was measured. ``goal`` reads e.g. ``<= 150``, or ``none``."""

    name: str
    goal: str
    measured: float
    unit: str
    met: bool


def claim(name: str, comparison: Literal["<=", ">="], goal: float, measured: float, unit: str) -> Claim:
    """Compare a measured figure with its goal."""
    met = measured <= goal if comparison == "<=" else measured >= goal
    return Claim(name, f"{comparison} {goal:g}", round(measured, 4), unit, met)


def figure(name: str, measured: float, unit: str) -> Claim:
    """A figure for which no goal was set."""
    return Claim(name, "none", round(measured, 4), unit, met=True)


def record(name: str, claims: list[Claim], details: Mapping[str, object] | None = None, gpu: str = "") -> int:
    """Print the claims, write ``results/NAME.json``; returns an exit status: 0, also when a goal was missed.

    ``gpu``: the name of the one that was measured, if any. KENNEL_RESULTS names another folder than ``results``.

    A missed goal is a finding to be published, not a broken benchmark.
    """
    result = {
        "name": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": os.environ.get(COMMIT) or _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain").splitlines()),
        "machine": machine() | ({"gpu": gpu} if gpu else {}),
        "claims": [asdict(one) for one in claims],
        "details": details or {},
    }
    folder = Path(os.environ.get(FOLDER) or RESULTS)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    for one in claims:
        print(f"{'met   ' if one.met else 'MISSED'}  {one.name}: {one.measured:g} {one.unit} (goal {one.goal})")
    return 0


def rounded(value: Any) -> Any:
    """Details with four significant digits, however deep."""
    if isinstance(value, Mapping):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def machine() -> dict[str, object]:
    """The machine in the terms that matter here: cores, memory, instruction sets, Python."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith("model name")), "")
    flags = set(next((line.split() for line in cpu.splitlines() if line.startswith("flags")), []))
    return {
        "cpu": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def write_tables() -> None:
    """Generate the table of all claims into benchmarks/README.md, and HEADLINES into README.md."""
    rows = [
        (one["name"], f"| {result['name']} {_row(one)}")
        for result in (json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json")))
        for one in result["claims"]
    ]
    head = ["| benchmark | figure | goal | measured | met |", "|---|---|---|---|---|"]
    _replace_between(ROOT / "benchmarks" / "README.md", "claims", [*head, *(row for _, row in rows)])
    chosen = sorted((row for row in rows if row[0] in HEADLINES), key=lambda row: HEADLINES.index(row[0]))
    _replace_between(ROOT / "README.md", "figures", [*head, *(row for _, row in chosen)])


def _row(one: dict[str, Any]) -> str:
    met = "" if one["goal"] == "none" else "yes" if one["met"] else "**no**"
    return f"| {one['name']} | {one['goal']} | {one['measured']:g} {one['unit']} | {met} |"


def _replace_between(page: Path, marker: str, lines: list[str]) -> None:
    before, _, rest = page.read_text().partition(f"<!-- {marker} -->\n")
    _, _, after = rest.partition(f"<!-- /{marker} -->")
    page.write_text(f"{before}<!-- {marker} -->\n" + "\n".join(lines) + f"\n<!-- /{marker} -->{after}")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    write_tables()
