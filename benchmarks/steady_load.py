"""MINUTES (30) of load at 10 requests a second through the API, while the endpoint is changed in every way it can be.

Two updates by whole pipeline runs, one of them with a scale-in after it and one with a scale-out, and one update whose
container answers late, which the latency alarm takes back. Afterwards each model that answered is asked alone, at rest,
about every picture: an answer under load that differs is wrong. No request is tried again by this client.

The late container is the stack's own code with a wait before each answer, brought into service by the stack's own
deployment: a model that failed outright would be taken back as well, but what it answers meanwhile would be failures.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import boto3
from rich.console import Console

from benchmarks.claims import claim, record
from benchmarks.parts.alone import asked_alone
from benchmarks.parts.emulator import footprint, watched
from benchmarks.parts.late import LATE, late_image, late_model
from tools import ask, demo, local_stack, pipeline
from tools.load import Load, Reply, Tally, name_of, predictions_of
from tools.progress import Progress
from tools.stack import Stack

MINUTES = float(os.environ.get("MINUTES", "30"))
RATE = 10.0
SCALING_SECONDS = 300.0
ENDPOINT = {"minimum": 2, "maximum": 3, "scale_in_cooldown_seconds": 60, "scale_out_cooldown_seconds": 60}
# 600 requests a minute: three instances are many with 1,800 for each, and two are few with 250.
FIRST = {"run": "first", "endpoint": {**ENDPOINT, "initial_instances": 3, "target_invocations_per_minute": 250}}
CANARY = {"run": "by-canary", "endpoint": {**ENDPOINT, "rollout": "canary", "target_invocations_per_minute": 1800}}
LINEAR = {"run": "in-steps", "endpoint": {**ENDPOINT, "rollout": "linear", "target_invocations_per_minute": 250}}
EPOCHS = {"first": 20, "by-canary": 22, "in-steps": 24}  # so that the models differ


@dataclass
class Happening:
    """Something done to the endpoint: when (seconds of the load), and how it ended."""

    what: str
    began: float
    ended: float
    outcome: str
    as_planned: bool


@dataclass
class Changes:
    """What is done to the endpoint under load, one after the other, and what came of it."""

    stack: Stack
    load: Load
    progress: Progress
    models: dict[str, str]  # version -> s3 address of the model's archive
    plan: dict[str, Any]  # of the first run
    happened: list[Happening] = field(default_factory=list)

    def all(self) -> None:
        """Everything, each at its share of the time or when what was before it is done."""
        steps: tuple[tuple[float, str, Callable[[], str]], ...] = (
            (0.05, "update, canary", lambda: self._update(CANARY)),
            (0.05, "scale in", lambda: self._instances(2)),
            (0.40, "update that is rolled back", self._late_update),
            (0.60, "update, linear", lambda: self._update(LINEAR)),
            (0.60, "scale out", lambda: self._instances(3)),
        )
        for share, what, do in steps:
            self.until(share)
            self.progress.chapter(what)
            self.progress.begin(what)
            began = self.load.seconds()
            try:
                outcome, as_planned = do(), True
            except Exception as error:  # what fails is a finding, and the rest is to be seen, too
                outcome, as_planned = f"{type(error).__name__}: {error}", False
            self.happened.append(Happening(what, began, self.load.seconds(), outcome, as_planned))
            self.progress.detail(what, outcome)
            self.progress.end(what, failed=not as_planned)
        self.until(1.0)

    def until(self, share: float) -> None:
        """Wait for that share of the time."""
        time.sleep(max(0.0, MINUTES * 60 * share - self.load.seconds()))

    def _update(self, asked: Mapping[str, Any]) -> str:
        outcome, _ = run(self.stack, asked, self.progress)
        self.models[outcome.output["run"]] = outcome.output["model_data"]
        return f"{outcome.output['run']} replaced {outcome.output['replaced']}"

    def _late_update(self) -> str:
        """The stack's deployment of a container that answers late; it must come back by itself."""
        model_data = late_model(self.stack, self.models[self.plan["run"]])
        self.models[LATE] = model_data
        name = f"{self.stack.name}-{LATE}"
        plan = {
            **self.plan,
            "run": LATE,
            "image_uri": late_image(self.stack, self.plan),
            "names": {**self.plan["names"], "model": name, "endpoint_config": name},
            "endpoint": {**self.plan["endpoint"], "rollout": "canary"},
        }
        execution = pipeline.start(outputs(self.stack)["DeployArn"], {"plan": plan, "model_data": model_data})
        outcome = pipeline.follow(execution, self.progress)
        if outcome.status != "FAILED" or "rolled back" not in outcome.cause:
            raise RuntimeError(f"it was to be rolled back, and is {outcome.status}: {outcome.cause}")
        return outcome.cause

    def _instances(self, wanted: int) -> str:
        client, deadline = boto3.client("sagemaker"), time.monotonic() + SCALING_SECONDS
        while True:
            found = client.describe_endpoint(EndpointName=self.stack.endpoint_name)
            count = found["ProductionVariants"][0]["CurrentInstanceCount"]
            if count == wanted and found["EndpointStatus"] == "InService":
                return f"{count} instances"
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} instances after {SCALING_SECONDS:.0f} s, not {wanted}")
            time.sleep(0.5)


def run(stack: Stack, asked: Mapping[str, Any], progress: Progress) -> tuple[pipeline.Outcome, dict[str, Any]]:
    """One run of the pipeline, and its plan. Raises RuntimeError unless it succeeds."""
    wanted = {**asked, "train": {"epochs": EPOCHS[asked["run"]]}}
    execution = pipeline.start(stack.state_machines["pipeline"], wanted)
    outcome = pipeline.follow(execution, progress)
    if outcome.status != "SUCCEEDED":
        raise RuntimeError(f"the run {asked['run']} ended {outcome.status}: {outcome.error}: {outcome.cause}")
    return outcome, plan_of(execution)


def plan_of(execution: str) -> dict[str, Any]:
    """What the run's ValidateRun answered."""
    pages = boto3.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
    for event in (one for page in pages for one in page["events"]):
        exited = event.get("stateExitedEventDetails", {})
        if exited.get("name") == "ValidateRun":
            plan: dict[str, Any] = json.loads(exited["output"])["Payload"]
            return plan
    raise RuntimeError(f"{execution} has no plan")


def outputs(stack: Stack) -> dict[str, str]:
    """The stack's outputs."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}


def main() -> int:
    """Measure and record."""
    with watched(local_stack.TIME_FACTOR) as (scratch, state, leavings):
        factor = float(os.environ["LOCAL_AWS_TIME_FACTOR"])
        with Progress(Console()) as progress:
            stack, folder = demo.deployed(progress, None, scratch, state)
            pictures = demo.test_pictures(folder)
            outcome, plan = run(stack, FIRST, progress)
            at_rest = ask.ask(stack, pictures)
            before = footprint(state)
            with Load(stack, pictures, RATE) as load:
                changes = Changes(stack, load, progress, {outcome.output["run"]: outcome.output["model_data"]}, plan)
                changes.all()
                lasted = load.seconds()
            after = footprint(state)
            at_rest += ask.ask(stack, pictures)
            role = boto3.client("sagemaker").describe_model(ModelName=plan["names"]["model"])["ExecutionRoleArn"]
            reference = asked_alone(stack, changes.models, plan["image_uri"], role, pictures)
            activities = scaling(stack)
    wrong = load.tally.wrong(reference)
    resting = sum(
        one.status != 200 or reference[one.body["model"], name_of(one.path)] != predictions_of(one.body)
        for one in at_rest
    )
    done = {one.what: one for one in changes.happened if one.as_planned}
    claims = [
        claim("load at 10 requests a second", ">=", MINUTES, lasted / 60, "minutes"),
        claim(
            "requests under load without an answer, or with another than 200", "<=", 0, load.tally.failed, "requests"
        ),
        claim("answers under load that the model does not give alone", "<=", 0, len(wrong), "answers"),
        claim("updates of the model under load", ">=", 2, sum("update, " in what for what in done), "updates"),
        claim(
            "updates taken back by an alarm under load", ">=", 1, int("update that is rolled back" in done), "updates"
        ),
        claim("scaled out and in under load", ">=", 2, sum(what.startswith("scale") for what in done), "changes"),
    ]
    details = {
        "answers_at_rest": len(at_rest),
        "answers_at_rest_that_differ": resting,
        "left": vars(leavings),
        "time_factor": factor,
        "footprint": {"before": asdict(before), "after": asdict(after)},
        **told(load.tally),
        "each_minute": each_minute(load.tally),
        "happened": [vars(one) for one in changes.happened],
        "latency_ms_while": {one.what: figures(load.tally, one) for one in changes.happened},
        "scaling_activities": activities,
        "failures": [asdict(one) for one in load.tally.failures[:50]],
        "wrong": [asdict(one) for one in wrong[:50]],
    }
    return record("steady_load", claims, details)


def scaling(stack: Stack) -> list[str]:
    """What Application Auto Scaling did, the first first."""
    found = boto3.client("application-autoscaling").describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{stack.endpoint_name}/variant/primary"
    )["ScalingActivities"]
    return [f"{one['StartTime']:%H:%M:%S} {one['StatusCode']}: {one['Description']}" for one in reversed(found)]


def told(tally: Tally) -> dict[str, object]:
    """Counts and latencies of the whole load."""
    return {
        "sent": tally.sent,
        "statuses": dict(tally.statuses),
        "models": dict(tally.models),
        "latency_ms": percentiles(tally),
    }


def percentiles(tally: Tally) -> dict[str, float]:
    """Milliseconds from when a request was due to the end of its answer."""
    return {f"p{share * 100:g}": round(tally.latency_ms(share), 1) for share in (0.5, 0.9, 0.99, 0.999, 1.0)}


def each_minute(tally: Tally) -> list[dict[str, float]]:
    """How many requests of each minute failed, and how long they took (milliseconds)."""
    minutes: dict[int, list[Reply]] = {}
    for reply in tally.replies:
        minutes.setdefault(int(reply.due // 60), []).append(reply)
    return [
        {"sent": len(minute), "failed": sum(one.status != 200 for one in minute), **percentiles(Tally(replies=minute))}
        for _, minute in sorted(minutes.items())
    ]


def figures(tally: Tally, one: Happening) -> dict[str, float]:
    """The latencies of the requests that were due while it happened."""
    return percentiles(Tally(replies=[reply for reply in tally.replies if one.began <= reply.due <= one.ended]))


if __name__ == "__main__":
    sys.exit(main())
