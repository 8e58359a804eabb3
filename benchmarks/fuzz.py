"""INPUTS (200,000) made-up inputs, guided by coverage, to the picture decoder and the event parser: does any do harm?

Two fifths go to `serving.preprocess` (bytes to the model's input), two fifths to `kennel.requests` and the whole of
`functions/classify` with a model that answers, the rest to how `serving` finds several pictures in a body. Inputs
begin with small pictures of every kind, events/*.json and bodies of two pictures, and are changed by libFuzzer
(atheris) and by ways that know PNG's checksums and JSON. Coverage is of Python code, ours and Pillow's; the C of the
decoders is run, but guides nothing. Each target is a process of its own under a limit on memory; one that dies is
started again for the rest of its inputs, and what killed it is counted and kept.

An error outside the named ones is an exception other than BadImage, RequestError or Problem, an answer of 5xx, or
anything else that tests/fuzz/targets.py says must not be. Inputs are small (at most 16 KB); what floods of 6 MB do is
shown by tests/unit/test_preprocess.py. Needs Linux and pip: atheris goes into a folder of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.claims import ROOT, claim, record, rounded

INPUTS = int(os.environ.get("INPUTS", "200000"))
TARGETS = {"decoder": 0.4, "event": 0.4, "body": 0.2}  # and each one's share of the inputs
LIMIT_SECONDS = 9  # of CPU for one input: as long as classify waits for the model
HANGS_SECONDS = 60  # by the clock: it was not the other processes of a busy machine
MEMORY_MB = 1024  # of the process, resident: one WebP of 50 million pixels takes 780
ADDRESSES = 4 * 2**30  # bytes of address space: what stops a process that grows too fast for libFuzzer to see
ENDS = {70: "hangs", 71: "beyond memory"}  # libFuzzer's exit statuses; any other but 0 is a crash
MOST_ENDS = 20


@dataclass
class Tried:
    """What came of one target's inputs, of all its processes together."""

    inputs: int = 0
    accepted: int = 0
    slowest_cpu_seconds: float = 0.0
    resident_mb: float = 0.0
    seconds: float = 0.0
    broken: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def add(self, report: dict[str, Any]) -> None:
        """One process's report."""
        self.inputs += report["inputs"]
        self.accepted += report["accepted"]
        self.slowest_cpu_seconds = max(self.slowest_cpu_seconds, report["slowest_cpu_seconds"])
        self.resident_mb = max(self.resident_mb, report["resident_mb"])
        for reason, count in report["broken"].items():
            self.broken[reason] = self.broken.get(reason, 0) + count


def main() -> int:
    """Try and record."""
    kept = Path(os.environ.get("KEPT") or tempfile.mkdtemp(prefix="kennel-fuzz-"))
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        library = Path(scratch) / "atheris"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        wanted = ["--target", str(library), "-r", str(ROOT / "benchmarks" / "requirements-fuzz.txt")]
        subprocess.run([*pip, *wanted], check=True)
        tried = {name: try_out(name, round(INPUTS * share), library, kept / name) for name, share in TARGETS.items()}
    ended = [end for one in tried.values() for end, count in one.ends.items() for _ in range(count)]
    claims = [
        claim("inputs tried, coverage-guided", ">=", 200_000, sum(one.inputs for one in tried.values()), "inputs"),
        claim("crashes, and ends for want of memory", "<=", 0, len(ended) - ended.count("hangs"), "inputs"),
        claim("hangs", "<=", 0, ended.count("hangs"), "inputs"),
        claim(
            "errors outside the named ones", "<=", 0, sum(sum(one.broken.values()) for one in tried.values()), "inputs"
        ),
        claim("largest resident memory", "<=", MEMORY_MB, max(one.resident_mb for one in tried.values()), "MB"),
        claim("slowest input, CPU", "<=", LIMIT_SECONDS, max(one.slowest_cpu_seconds for one in tried.values()), "s"),
    ]
    return record("fuzz", claims, {name: rounded(vars(one)) for name, one in tried.items()})


def try_out(name: str, inputs: int, library: Path, kept: Path) -> Tried:
    """`inputs` inputs for one target; what does harm lies in `kept` afterwards."""
    corpus = kept / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    tried, report = Tried(), kept / "report.json"
    while tried.inputs < inputs and sum(tried.ends.values()) < MOST_ENDS:
        report.write_text(json.dumps({**vars(Tried())}))
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.fuzz", name, str(inputs - tried.inputs), str(report), str(corpus)]
        options = [f"-timeout={HANGS_SECONDS}", f"-rss_limit_mb={MEMORY_MB}", "-max_len=16384"]
        options += [f"-artifact_prefix={kept}/", f"-seed={1 + sum(tried.ends.values())}", "-verbosity=0"]
        path = os.pathsep.join((str(library), str(ROOT), str(ROOT / "layers" / "common")))
        done = subprocess.run(
            [*command, *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES)),
            check=False,
        )
        tried.add(json.loads(report.read_text()))
        tried.seconds += time.monotonic() - began
        if done.returncode:
            end = ENDS.get(done.returncode, "crashes")
            tried.ends[end] = tried.ends.get(end, 0) + 1
            print(f"{name}: ended with status {done.returncode}: see {kept}", flush=True)
    print(f"{name}: {tried.inputs} inputs in {tried.seconds:.0f} s", flush=True)
    return tried


if __name__ == "__main__":
    sys.exit(main())
