"""The simulator of scaling against the embedded AWS's real loop: real processes, real requests, the same traffic.

A stack with a trained model is put under a load that rises and falls, once with each metric that scaling can hold, and
its instances are counted all the time. The simulator gets the same traffic, the same policy and what was measured: what
an instance takes for a picture, what a new one takes to start. Then the two are laid over each other.

For the metric of concurrency the container waits half a second before each answer. So what is inside it is decided by
the traffic, of which two cores cannot make much, and not by who else uses the machine.

Waits are quickened by LOCAL_AWS_TIME_FACTOR (10): metric periods, cooldowns and the traffic's changes take a tenth of
their time; requests and the start of a process take what they take. All seconds here are AWS's, ten of which pass in
one, so a process that starts in 3 s is an instance that starts in 30. The embedded AWS, its instances and the client
share the machine; `service_ms` in the details, which the simulator then takes for the time of one picture unless it is
told otherwise, is only worth something from a machine that does nothing else.

The load is even, and so is what the simulator counts; it begins on a whole minute. No two pictures are the same, as
the container remembers its latest answers.

This comparison was shaped by what came of it. Two trials at a factor of 30 on a busy machine missed for concurrency (3
and 2 instances apart): without the wait, where a picture took another time than the one measured, and with a target
that three instances all but reached. The wait, even counting and a target between such numbers came after that.

Also: how long a simulated day of a thousand requests a second takes, in seconds of one core.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
from rich.console import Console

from benchmarks.claims import claim, figure, record
from benchmarks.parts.emulator import watched
from benchmarks.parts.late import LATE, late_image, late_model
from benchmarks.steady_load import outputs, run
from tools import ask, demo, local_stack, pipeline
from tools.load import Load
from tools.progress import Progress
from tools.scaling.profiles import Profile, profile
from tools.scaling.queueing import Server
from tools.scaling.simulation import World, simulate
from tools.scaling.target_tracking import Policy
from tools.scaling.traffic import STEP_SECONDS, Trace, trace
from tools.stack import Stack

# Requests a second and for how many (AWS's) seconds.
PARTS = ((3.0, 240), (20.0, 720), (12.0, 1320), (3.0, 1140))
LIMITS = {"minimum": 1, "maximum": 4, "scale_in_cooldown_seconds": 60, "scale_out_cooldown_seconds": 60}
TARGETS = {"invocations": 500.0, "concurrency": 4.3}
WAITS = 0.5  # seconds before an answer, where concurrency is held
AT_ONCE = 64  # requests that may wait together: as many as an instance takes
POLICIES = {
    metric: Policy(metric, target, 60.0, 60.0, LIMITS["minimum"], LIMITS["maximum"])  # type: ignore[arg-type]
    for metric, target in TARGETS.items()
}
DISTINCT = 1500  # more than the container remembers
ASKED = 150  # to measure what one picture takes
SLACK = 15  # seconds that a change may come earlier or later
DAY = {"ApiThrottleRate": "5000", "ApiThrottleBurst": "5000", "ReservedConcurrency": "500", "ScalingTarget": "4000"}


@dataclass(frozen=True)
class Counted:
    """Instances in service, for every (AWS's) second of the load; how long a new one took; requests without a 200."""

    instances: list[int]
    start_seconds: float
    sent: int
    failed: int


def main() -> int:
    """Measure and record."""
    day_seconds = a_day()
    with watched(local_stack.TIME_FACTOR) as (scratch, state, leavings):
        factor = float(os.environ["LOCAL_AWS_TIME_FACTOR"])
        with Progress(Console()) as progress:
            stack, folder = demo.deployed(progress, None, scratch, state)
            first, plan = run(stack, {"run": "first", "endpoint": LIMITS}, progress)
            pictures = distinct(demo.test_pictures(folder), scratch / "distinct")
            instance, api = service_seconds(stack, pictures)
            hold(stack, POLICIES["invocations"])
            with progress.step("load, invocations held"):
                counted = {"invocations": under_load(stack, pictures, factor)}
            with progress.step("a container that waits"):
                make_wait(stack, plan, first.output["model_data"])
                hold(stack, POLICIES["concurrency"])
            with progress.step("load, concurrency held"):
                counted["concurrency"] = under_load(stack, pictures, factor)
    world = World(Server(instance, routing="turns"), function_seconds=max(0.0, api - instance), even=True)
    waiting = replace(world.server, service_seconds=instance + WAITS, threads=AT_ONCE)
    compared = {
        metric: beside(POLICIES[metric], found, replace(world, server=server, start_seconds=found.start_seconds))
        for (metric, found), server in zip(counted.items(), (world.server, waiting), strict=True)
    }
    claims = [claim("a day of 1,000 requests a second, simulated on one core", "<=", 10, day_seconds, "s")]
    for metric, one in compared.items():
        claims += [
            claim(f"real less simulated instances, by {metric}, 15 s allowed", "<=", 1, one["most_apart"], "instances"),
            figure(f"share of the time with the same number of both, by {metric}", one["same"], "of 1"),
        ]
    details = {
        "time_factor": factor,
        "service_ms": round(instance * 1000, 2),
        "function_ms": round(max(0.0, api - instance) * 1000, 2),
        "traffic": PARTS,
        "policies": {metric: vars(policy) for metric, policy in POLICIES.items()},
        "compared": compared,
        "left": vars(leavings),
    }
    return record("scaling_simulator", claims, details)


def a_day() -> float:
    """Seconds of processor time; one core, as NumPy's products of this size take one thread."""
    world = World(Server(0.014), function_seconds=0.006)
    own = profile("day", {**DAY, "ScalingMinimum": "2", "ScalingMaximum": "40"})
    took = []
    for _ in range(3):
        began = time.process_time()
        simulate(own, trace("steady:1000:24"), world)
        took.append(time.process_time() - began)
    return statistics.median(took)


def distinct(pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Copies of the pictures, each with a few bytes of its own after its end, which no decoder reads."""
    made = []
    for number in range(DISTINCT):
        source = pictures[number % len(pictures)]
        target = folder / f"{number // len(pictures)}-{source.parent.name}" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes() + number.to_bytes(4, "big"))
        made.append(target)
    return made


def service_seconds(stack: Stack, pictures: Sequence[Path]) -> tuple[float, float]:
    """Median seconds of a picture, one after the other: asked of the endpoint, and of the API."""
    runtime = boto3.client("sagemaker-runtime")
    with httpx.Client(headers={"x-api-key": stack.api_key}) as client:

        def endpoint(path: Path) -> None:
            kind = ask.content_type(path)
            runtime.invoke_endpoint(EndpointName=stack.endpoint_name, Body=path.read_bytes(), ContentType=kind)

        def api(path: Path) -> None:
            headers = {"content-type": ask.content_type(path)}
            client.post(f"{stack.api_url}/predictions", content=path.read_bytes(), headers=headers).raise_for_status()

        times: dict[Callable[[Path], None], list[float]] = {endpoint: [], api: []}
        for number in range(ASKED):
            for call, path in zip(times, pictures[2 * number :], strict=False):
                began = time.perf_counter()
                call(path)
                times[call].append(time.perf_counter() - began)
    return statistics.median(times[endpoint]), statistics.median(times[api])


def make_wait(stack: Stack, plan: Mapping[str, Any], model_data: str) -> None:
    """Puts into service, by the stack's own deployment, the same code with a wait before each answer."""
    name = f"{stack.name}-{LATE}"
    waiting = {
        **plan,
        "run": LATE,
        "image_uri": late_image(stack, plan, WAITS),
        "names": {**plan["names"], "model": name, "endpoint_config": name},
    }
    asked = {"plan": waiting, "model_data": late_model(stack, model_data)}
    outcome = pipeline.follow(pipeline.start(outputs(stack)["DeployArn"], asked), Progress(Console()))
    if outcome.status != "SUCCEEDED":
        raise RuntimeError(f"the deployment ended {outcome.status}: {outcome.cause}")


def hold(stack: Stack, policy: Policy) -> None:
    """Has the endpoint's policy hold the metric, and waits until there are the fewest instances."""
    client = boto3.client("application-autoscaling")
    (known,) = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    kind = {
        "invocations": "SageMakerVariantInvocationsPerInstance",
        "concurrency": "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    }
    client.delete_scaling_policy(
        **{name: known[name] for name in ("PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension")}
    )
    client.put_scaling_policy(
        **{name: known[name] for name in ("PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension")},
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": policy.target,
            "PredefinedMetricSpecification": {"PredefinedMetricType": kind[policy.metric]},
            "ScaleInCooldown": int(policy.in_cooldown),
            "ScaleOutCooldown": int(policy.out_cooldown),
        },
    )
    deadline = time.monotonic() + 300
    while instances_of(stack) != policy.minimum:
        if time.monotonic() > deadline:
            raise TimeoutError("the endpoint does not come down to its fewest instances")
        time.sleep(0.5)


def instances_of(stack: Stack) -> int:
    """Instances in service."""
    found = boto3.client("sagemaker").describe_endpoint(EndpointName=stack.endpoint_name)
    return int(found["ProductionVariants"][0]["CurrentInstanceCount"])


def under_load(stack: Stack, pictures: list[Path], factor: float) -> Counted:
    """The whole traffic, from a whole minute on, and what came of it."""
    minute = 60 / factor
    time.sleep(minute - time.time() % minute)
    first, sent, failed = len(activities(stack)), 0, 0
    with counting(stack) as seen:
        began = time.time()
        until = began
        for rate, seconds in PARTS:
            until += seconds / factor
            with Load(stack, pictures, rate) as load:
                time.sleep(max(0.0, until - time.time()))
            sent, failed = sent + load.tally.sent, failed + load.tally.failed
    times = np.array([(moment - began) * factor for moment, _ in seen])
    every = np.arange(sum(seconds for _, seconds in PARTS))
    last = np.clip(np.searchsorted(times, every, side="right") - 1, 0, None)
    outs = [took * factor for took, grew in activities(stack)[first:] if grew]
    return Counted([seen[index][1] for index in last], statistics.median(outs or [0.0]), sent, failed)


def activities(stack: Stack) -> list[tuple[float, bool]]:
    """(seconds it took, whether it added instances) of every change of the endpoint so far, the first first."""
    found = boto3.client("application-autoscaling").describe_scaling_activities(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{stack.endpoint_name}/variant/primary"
    )["ScalingActivities"]
    return [
        ((one["EndTime"] - one["StartTime"]).total_seconds(), "AlarmHigh" in one["Cause"])
        for one in reversed(found)
        if "EndTime" in one
    ]


@contextmanager
def counting(stack: Stack) -> Iterator[list[tuple[float, int]]]:
    """(time, instances in service), several times a second for as long as the block lasts."""
    seen: list[tuple[float, int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append((time.time(), instances_of(stack)))
            done.wait(0.1)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def beside(policy: Policy, real: Counted, world: World) -> dict[str, Any]:
    """The real and the simulated instances, and how far they are apart."""
    rates = np.concatenate([np.full(int(seconds / STEP_SECONDS), rate) for rate, seconds in PARTS])
    own: Profile = replace(profile("embedded", {"ReservedConcurrency": "20", "ApiThrottleRate": "500"}), policy=policy)
    outcome = simulate(own, Trace("as measured", rates), world)
    simulated = np.repeat(outcome.serving, int(STEP_SECONDS)).tolist()
    return {
        "most_apart": apart(real.instances, simulated),
        "same": float(np.mean(np.array(real.instances) == np.array(simulated))),
        "changes_of_the_real": steps(real.instances),
        "changes_of_the_simulated": steps(simulated),
        "start_seconds": round(real.start_seconds, 1),
        "sent": real.sent,
        "failed": real.failed,
    }


def steps(counts: Sequence[int]) -> list[tuple[int, int]]:
    """(second, instances from then on) of every change."""
    return [(second + 1, later) for second, (earlier, later) in enumerate(pairwise(counts)) if later != earlier]


def apart(real: Sequence[int], simulated: Sequence[int]) -> int:
    """The largest distance of a real count from all simulated ones of SLACK seconds before and after."""
    worst = 0
    for second, count in enumerate(real):
        around = simulated[max(0, second - SLACK) : second + SLACK + 1]
        worst = max(worst, min(abs(count - other) for other in range(min(around), max(around) + 1)))
    return worst


if __name__ == "__main__":
    sys.exit(main())
