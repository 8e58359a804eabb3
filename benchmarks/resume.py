"""A training job that is interrupted and started again, against one that is not: the same weights, byte for byte.

training/train.py with a folder for checkpoints, as SageMaker keeps it for a Spot instance: killed within an epoch by
SIGKILL, started again, ended within a later epoch by SIGTERM (which Spot sends), started again, and let go on to its
end. Its weights.safetensors is compared with that of the same job without an interruption, on one core and a small part
of the photographs (DATA=folder for one's own; drawn dogs where there are neither). Within an epoch a checkpoint
is due once a minute, which is longer than these epochs take: so here a job goes on from the end of the last whole
one. That it may go on after any step is shown by tests/unit/test_training_checkpoint.py and test_training_finetune.py.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims import Claim, claim, record
from benchmarks.parts import jobs
from benchmarks.parts.pictures import photographs

PART = {"train": 3, "valid": 1}  # pictures of each class


@dataclass(frozen=True)
class Plan:
    """A job: its hyperparameters, and the lines of its log that the interruptions follow, `seconds` later.

    An epoch of a head takes milliseconds, so chance says where in it the job ends; one of fine-tuning takes seconds.
    """

    hyperparameters: dict[str, object]
    lines: tuple[str, str]
    seconds: float


PLANS = {
    "head": Plan({"epochs": 400}, ("epoch=100", "epoch=250"), 0.0),
    "finetune": Plan({"epochs": 3, "ema": 0.9, "accumulate": 2}, ("epoch=1", "epoch=2"), 1.5),
}


def main() -> int:
    """Measure and record."""
    claims: list[Claim] = []
    details: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        folder = Path(scratch)
        found = photographs(folder)
        data = found.linked(folder / "part", PART)
        features = jobs.run("extract", folder / "features", {"training": data})
        channels = {"training": data, "features": features.folder}
        for method, plan in PLANS.items():
            whole = start(method, plan, folder / f"{method}-whole", channels).done()
            last = interrupted(method, plan, folder / f"{method}-interrupted", channels).done()
            print(f"{method}: {whole.seconds:.1f} s without an interruption", flush=True)
            same = weights(whole) == weights(last)
            claims.append(claim(f"{method}: interrupted twice, weights identical", ">=", 1, float(same), "yes = 1"))
            details[method] = [line for line in last.log.splitlines() if line.startswith("checkpoint: ")]
    return record("resume", claims, details | {"pictures": f"{found}; of each class {PART}"})


def start(method: str, plan: Plan, folder: Path, channels: dict[str, Path]) -> jobs.Started:
    """The job, which keeps its checkpoints in `folder`, started for the first time or again."""
    environ = {"SM_NUM_CPUS": "1", "SM_CHECKPOINT_DIR": str(folder / "checkpoints")}
    return jobs.start("train", folder / "model", channels, environ, method=method, **plan.hyperparameters)


def interrupted(method: str, plan: Plan, folder: Path, channels: dict[str, Path]) -> jobs.Started:
    """The job after two interruptions, started for the third time."""
    for line, number in zip(plan.lines, (signal.SIGKILL, signal.SIGTERM), strict=True):
        job = start(method, plan, folder, channels)
        job.wait_for(line)
        time.sleep(plan.seconds)
        job.process.send_signal(number)
        job.process.communicate()
        if not job.process.returncode:
            raise SystemExit(f"{method} had ended before it could be interrupted")
    return start(method, plan, folder, channels)


def weights(done: jobs.Done) -> bytes:
    """The model's weights as they are shipped."""
    return (done.folder / "weights.safetensors").read_bytes()


if __name__ == "__main__":
    sys.exit(main())
