"""`python -m tests.fuzz TARGET RUNS REPORT FOLDER [option ...]`: RUNS inputs, guided by the coverage that each reaches.

Needs atheris (libFuzzer), which only `benchmarks/fuzz.py` installs. FOLDER keeps the inputs that reached something new.
An input that breaks the target's word is kept beside REPORT and counted, and the next one is tried; one that crashes
the process, takes longer than libFuzzer's -timeout or more memory than its -rss_limit_mb ends it (exit status not 0).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import atheris

# Coverage is counted in what is imported here: our code, and the Python that decoders and parsers have.
with atheris.instrument_imports(include=["serving", "kennel", "functions", "PIL", "python_multipart"]):
    # What is imported where it is first needed would be imported too late.
    from kennel import multipart  # noqa: F401
    from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

    from tests.fuzz import inputs, targets

SEEDS = {"decoder": inputs.pictures, "event": inputs.events, "body": inputs.bodies}
CHANGES = {"decoder": inputs.changed_picture, "event": inputs.changed_event, "body": inputs.changed_bytes}


@dataclass
class Report:
    """What came of the inputs so far. `broken`: what broke its word, by the last line of its traceback."""

    inputs: int = 0
    accepted: int = 0
    slowest_cpu_seconds: float = 0.0
    resident_mb: float = 0.0
    broken: dict[str, int] = field(default_factory=dict)


class Watch:
    """Calls the target, keeps the report, and ends the process when there were RUNS inputs."""

    def __init__(self, target: Callable[[bytes], bool], runs: int, path: Path) -> None:
        self.target, self.runs, self.path, self.report = target, runs, path, Report()

    def __call__(self, data: bytes) -> None:
        report, began = self.report, time.process_time()  # of the CPU: others may be using it, too
        try:
            report.accepted += self.target(data)
        except Exception:
            self._broken(data)
        report.inputs += 1
        report.slowest_cpu_seconds = max(report.slowest_cpu_seconds, time.process_time() - began)
        if report.inputs % 500 == 0 or report.inputs == self.runs:
            report.resident_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self.path.write_text(json.dumps(asdict(report)))
        if report.inputs == self.runs:
            os._exit(0)  # libFuzzer would go on to say goodbye for seconds

    def _broken(self, data: bytes) -> None:
        text = traceback.format_exc()
        reason = text.strip().splitlines()[-1][:200]
        if reason not in self.report.broken:
            print(text, file=sys.stderr, flush=True)
            name = f"broken-{hashlib.sha256(data).hexdigest()[:12]}"
            self.path.with_name(name).write_bytes(data)
        self.report.broken[reason] = self.report.broken.get(reason, 0) + 1


def main(name: str, runs: str, report: str, folder: str, *options: str) -> None:
    """Does not return."""
    seeds = SEEDS[name]()
    for number, seed in enumerate(seeds):
        Path(folder, f"seed-{number:03}").write_bytes(seed)

    def change(data: bytes, most: int, seed: int) -> bytes:
        """Every second time by libFuzzer's own ways, which know what the code compared its bytes with.

        Every third time from a seed: what libFuzzer keeps becomes ever more broken, and is refused ever sooner.
        """
        rng = random.Random(seed)
        data = rng.choice(seeds) if rng.random() < 0.33 else data
        if rng.random() < 0.5:
            changed: bytes = atheris.Mutate(data, most)
            return inputs.with_checksums(changed) if changed.startswith(inputs.PNG_MAGIC) else changed
        return CHANGES[name](data, rng)[:most]

    with targets.outside_world():
        watch = Watch(targets.TARGETS[name], int(runs), Path(report))
        atheris.Setup([sys.argv[0], folder, *options], watch, custom_mutator=change)
        atheris.Fuzz()


main(*sys.argv[1:])
