"""Pipeline runs in a row, each another input, some stopped on the way; and how each ended."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.soaking.ledger import Ledger
from benchmarks.soaking.requests import References
from benchmarks.soaking.world import World, patient
from tools import pipeline
from tools.demo import DATA_PREFIX

# How a run that is not well may end (docs/operate.md), and how the embedded AWS ends one that it did not survive.
NAMES = {
    "TimedOut", "ImageBuildFailed", "FeaturesFailed", "TuningFailed", "TrainingFailed", "EvaluationFailed",
    "QualityGateFailed", "RegistrationFailed", "EndpointFailed", "ScalingFailed", "SmokeTestFailed",
    "ValidationFailed", "PlanFailed", "TransformFailed", "CollectFailed",
}  # fmt: skip
RESTARTED = "States.ServiceRestart"
STUCK_SECONDS = 900.0
POLL_SECONDS = 0.5
STOPPED_SHARE = 0.12
LEAST_EPOCHS = 5
COMMON: dict[str, Any] = {
    "features": {"views": 1},
    # A model that is a little worse than the one before is deployed, too: updates are what is wanted here.
    "gate": {"largest_drop": 1, "least_accuracy": 0, "largest_calibration_error": 1},
    "endpoint": {"minimum": 1, "maximum": 2, "rollout_wait_seconds": 30},
}
INPUTS: dict[str, dict[str, Any]] = {
    "head": {"train": {"mode": "single"}},
    "search": {"tune": {"strategy": "embedded", "trials": 3, "parallel": 1}},
    "ec2": {"train": {"mode": "ec2", "heartbeat_seconds": 30}},
    "two": {"train": {"mode": "multi", "instances": 2}},
    "batch": {},
}
ORDER = ("head", "ec2", "search", "batch", "ec2", "two")


@dataclass
class Ended:
    """A run that ended: its input, when it began and how long it took (seconds of the soak), how it ended, and why.

    ``well``: it succeeded, was stopped by us, or failed with a name after something of it had been killed.
    """

    kind: str
    began: float
    seconds: float
    status: str
    error: str
    cause: str
    killed: list[str]
    stopped: bool
    well: bool


@dataclass
class Runs:
    """Starts one run after the other until the soak is over."""

    world: World
    ledger: Ledger
    references: References
    order: tuple[str, ...] = ORDER
    stopped_share: float = STOPPED_SHARE
    ended: list[Ended] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._client = boto3.client("stepfunctions")
        self._chance = random.Random(f"{self.world.seed}-runs")
        self._number = 0

    def run(self) -> None:
        """Until the soak is over; the run that is on its way then is stopped."""
        while not self.world.over.is_set():
            kind = self.order[self._number % len(self.order)]
            self._number += 1
            stop_after = self._chance.uniform(3, 40) if self._chance.random() < self.stopped_share else None
            self.one(kind, stop_after)

    def one(self, kind: str, stop_after: float | None = None) -> Ended | None:
        """One run to its end; None when it was not started."""
        machine, asked = self._asked(kind)
        began = self.world.seconds()
        try:
            execution = pipeline.start(machine, asked)
        except (BotoCoreError, ClientError):  # down at this moment; nothing was acknowledged
            self.refused += 1
            time.sleep(1)
            return None
        self.ledger.started(execution)
        found, stopped = self._followed(execution, began, stop_after)
        output = json.loads(found.get("output") or "{}")
        self.ledger.ended(execution, found["status"], output)
        ended = self._judged(kind, began, found, stopped)
        self.ended.append(ended)
        self._recover(ended)
        why = " ".join(f": {ended.error}: {ended.cause}".split())[:160] if ended.error else ""
        mark = "" if ended.well else "NOT WELL: "
        self.world.say(f"{mark}run {kind} ended {ended.status} after {ended.seconds:.0f} s{why}")
        if found["status"] == "SUCCEEDED" and kind != "batch":
            self.references.learn(output["run"])
        return ended

    def _asked(self, kind: str) -> tuple[str, dict[str, Any]]:
        """The state machine of a kind, and its input."""
        machines, stack = self.world.stack.state_machines, self.world.stack
        if kind == "batch":
            return machines["batch"], {"pictures": f"s3://{stack.data_bucket}/{DATA_PREFIX}test/"}
        asked = {**COMMON, **INPUTS[kind], "run": f"{kind}-{self._number}"}
        # Another number of epochs is another model.
        epochs = {"epochs": LEAST_EPOCHS + self._number % 7}
        return machines["pipeline"], {**asked, "train": {**epochs, **INPUTS[kind].get("train", {})}}

    def _followed(self, execution: str, began: float, stop_after: float | None) -> tuple[dict[str, Any], bool]:
        stopped = False
        while True:
            found = patient(lambda: self._client.describe_execution(executionArn=execution))
            lasted = self.world.seconds() - began
            if found["status"] != "RUNNING" or lasted > STUCK_SECONDS:
                return dict(found), stopped
            if not stopped and (self.world.over.is_set() or (stop_after is not None and lasted > stop_after)):
                try:
                    self._client.stop_execution(executionArn=execution, error="Soak", cause="stopped on purpose")
                    stopped = True
                except (BotoCoreError, ClientError):
                    pass  # down, or just ended
            time.sleep(POLL_SECONDS)

    def _judged(self, kind: str, began: float, found: dict[str, Any], stopped: bool) -> Ended:
        status, error = found["status"], found.get("error", "")
        killed = [one.kind for one in self.world.kills if one.at >= began - self._afterwards(one.kind)]
        named = status == "FAILED" and (error in NAMES or (error == RESTARTED and "emulator" in killed))
        well = status == "SUCCEEDED" or (status == "ABORTED" and stopped) or (named and bool(killed))
        return Ended(
            kind, began, self.world.seconds() - began, status, error, found.get("cause", ""), killed, stopped, well
        )

    @staticmethod
    def _afterwards(kind: str) -> float:
        """For how long after its kill a process may still be missed."""
        return 30.0 if kind in {"emulator", "endpoint"} else 5.0

    def _recover(self, ended: Ended) -> None:
        """What was killed of a run has been got over when the run has ended."""
        for kill in self.world.kills:
            if kill.kind in {"job", "instance"} and kill.recovered is None and kill.at >= ended.began:
                kill.recovered = self.world.seconds() - kill.at

    def succeeded_since(self, since: float) -> bool:
        """Whether a run that began at that time of the soak or later has succeeded."""
        return any(one.began >= since and one.status == "SUCCEEDED" for one in self.ended)
