"""What a run may cost, before anything starts: seconds that its jobs may take, times the prices of prices.json.

`python -m kennel.costs` reads {"input", "defaults", "pictures"} and writes {"asked", "estimate", "refused",
"assumptions"}, or {"problems"}: that is how the tools, which import nothing of the stack, come to the same figures.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kennel import runs
from kennel.errors import InvalidRun

HOURS_A_MONTH = 730
# Seconds on two CPUs with AVX2 alone, from benchmarks/results; a test holds them to it.
VIEW_SECONDS = {"efficientnet_lite0": 0.0089, "resnet50": 0.06}  # one view decoded and through the backbone
ROW_SECONDS = 8e-6  # one view's features in one epoch of training a head
FINETUNE_SECONDS = 0.065  # one picture in one epoch, efficientnet_lite0
# Not measured: by their operations beside efficientnet_lite0's, but decoding does not get cheaper.
_OPERATIONS = {"efficientnet_lite1": 1.55, "efficientnet_lite2": 2.2, "mobilenet_v3_large": 1.0}
# How far an instance may be from that machine, CPU for CPU: with AMX four times as fast; slower where CPUs are shared.
MACHINE = (0.25, 1.5)
GPU_SHARE = 0.1  # of the least seconds where there is a GPU; it is not counted on for the most
# What SageMaker bills around the work: image, packages, data, upload. Assumed, not measured.
START_SECONDS = (60.0, 300.0)
BUILD = "BUILD_GENERAL1_SMALL"  # the template's ComputeType
BUILD_MINUTES = (4, 15)
SPOT_SHARE = 0.1  # of the price on demand, at best
TRANSITIONS = (30, 400)  # of the pipeline and the deployment, by how long the endpoint takes; a test walks them
_APPROVAL_TRANSITIONS = 90  # an hour: looked every two minutes
_LOG_GB = (0.001, 0.05)
_EC2_VOLUME_GB = 100  # above train.volume_gb, for the machine image


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is paid for, in US dollars at least and at most; None where there is no price."""

    name: str
    what: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may cost, and the prices it was made with."""

    items: tuple[Item, ...]
    instances: tuple[str, ...]  # the types that jobs run on
    ceiling: float  # US dollars if every job is stopped by train.max_runtime_seconds only

    @property
    def unpriced(self) -> list[str]:
        """The types without a price."""
        return [one for one in self.instances if instance_hour(one) is None]

    @property
    def low(self) -> float:
        """US dollars at least, of what has a price."""
        return sum(item.low or 0 for item in self.items)

    @property
    def high(self) -> float:
        """US dollars at most, of what has a price."""
        return sum(item.high or 0 for item in self.items)

    def document(self) -> dict[str, Any]:
        """The estimate as JSON, as a run's plan and the tools have it."""
        return {
            "as_of": prices()["as_of"],
            "region": prices()["region"],
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "ceiling": round(self.ceiling, 4),
            "unpriced": self.unpriced,
            "per_hour": {one: instance_hour(one) for one in (*self.instances, BUILD) if instance_hour(one) is not None},
            "items": [
                {"name": item.name, "what": item.what, "low": _rounded(item.low), "high": _rounded(item.high)}
                for item in self.items
            ],
        }


@dataclass(frozen=True, slots=True)
class _Job:
    """`times` jobs on `instances` instances each; `work`: seconds that one takes on the machine that was measured."""

    step: str
    instance: str
    work: float
    instances: int = 1
    times: int = 1
    spot: bool = False


@cache
def prices() -> dict[str, Any]:
    """The price table."""
    table: dict[str, Any] = json.loads(Path(__file__).with_name("prices.json").read_text(encoding="utf-8"))
    return table


def instance_hour(instance: str) -> float | None:
    """US dollars an hour on demand, read or derived; None where the table has no price."""
    hours = {name: minute * 60 for name, minute in prices()["build_minute"].items()}
    price: float | None = (hours | prices()["instance_hour"] | prices()["instance_hour_derived"]).get(instance)
    return price


def estimate(asked: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, int], job_instance: str) -> Estimate:
    """What a first run of `asked` (`runs.parse_run`'s answer) may cost; later ones find image and features.

    `pictures`: of each split. `job_instance`: what all jobs but a training on EC2 run on.
    """
    train = asked["train"]
    jobs = list(_jobs(asked, pictures, job_instance))
    low, high = BUILD_MINUTES
    minute = prices()["build_minute"][BUILD]
    items = [Item("BuildImage", f"{low} to {high} min of CodeBuild", low * minute, high * minute)]
    items += [_priced(job, train["max_runtime_seconds"]) for job in jobs]
    items.append(_volumes(jobs, train))
    items += _small(asked, sum(pictures.values()), len(jobs))
    jobs_high = sum(item.high or 0 for item in items[1 : 1 + len(jobs)])
    hours = train["max_runtime_seconds"] / 3600
    longest = sum((instance_hour(job.instance) or 0) * job.instances * job.times for job in jobs) * hours
    ceiling = sum(item.high or 0 for item in items) - jobs_high + longest
    return Estimate(tuple(items), tuple(sorted({job.instance for job in jobs})), ceiling)


def check(budget: float | None, found: Estimate) -> None:
    """Raises InvalidRun, with the estimate by item, where the run may cost more than `budget`, or nobody knows."""
    if budget is None:
        return
    if found.unpriced:
        raise InvalidRun(
            [
                f"budget_usd: cannot be held: there is no price for {', '.join(found.unpriced)} in the table of "
                f"{prices()['as_of']}; take an instance type that has one ({', '.join(_priced_types())}), or leave "
                "budget_usd out"
            ]
        )
    if found.high > budget:
        by_item = "; ".join(f"{item.name} {dollars(item.high or 0)} ({item.what})" for item in found.items)
        raise InvalidRun(
            [
                f"budget_usd: the run may cost {dollars(found.high)} (at least {dollars(found.low)}), above the budget "
                f"of {dollars(budget)}. At most: {by_item}. Prices of {prices()['as_of']}, {prices()['region']}. Raise "
                "budget_usd, or bound the jobs by train.max_runtime_seconds, tune.trials or a cheaper "
                "train.instance_type"
            ]
        )


def assumptions() -> list[str]:
    """What the estimate rests on, in sentences."""
    per_view = ", ".join(f"{seconds} s for a view by {name}" for name, seconds in VIEW_SECONDS.items())
    return [
        f"Measured on two CPUs with AVX2: {per_view}; {ROW_SECONDS:g} s for a view's features in an epoch; "
        f"{FINETUNE_SECONDS} s for a picture in an epoch of fine-tuning efficientnet_lite0.",
        f"An instance is {1 / MACHINE[0]:g} times as fast to {MACHINE[1]:g} times as slow, CPU for CPU; a GPU takes "
        f"{GPU_SHARE:.0%} of the least, and is not counted on for the most.",
        f"Around the work SageMaker bills {START_SECONDS[0]:g} to {START_SECONDS[1]:g} s a job (image, packages, "
        "data): assumed, nothing here was run on AWS.",
        f"Spot costs {SPOT_SHARE:.0%} of the price at least, and all of it at most.",
    ]


def dollars(amount: float) -> str:
    """Two digits, or as many as tell something of less than a cent."""
    return f"${amount:.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.1g}"


def _jobs(asked: Mapping[str, Mapping[str, Any]], pictures: Mapping[str, int], job_instance: str) -> Iterator[_Job]:
    features, tune, train = asked["features"], asked["tune"], asked["train"]
    view = view_seconds(features["backbone"])
    valid = pictures["valid"]
    rows = pictures["train"] * features["views"]
    yield _Job("ExtractFeatures", job_instance, (rows + valid) * view)
    if tune["strategy"] == "embedded":
        work = tune["trials"] * _most_epochs(tune, train) * rows * ROW_SECONDS
        yield _Job("Tune", job_instance, work)
    elif tune["strategy"] is not None:
        work = _most_epochs(tune, train) * rows * ROW_SECONDS
        yield _Job("Tune", job_instance, work, times=tune["trials"])
    if train["method"] == "finetune":
        share = view / VIEW_SECONDS["efficientnet_lite0"]
        work = _most_epochs(tune, train) * (pictures["train"] + valid) * FINETUNE_SECONDS * share
    else:
        work = _most_epochs(tune, train) * rows * ROW_SECONDS
    # What is exported is run on the validation split in three precisions.
    work = work / train["instances"] + 3 * valid * view
    yield _Job("Train", train["instance_type"], work, train["instances"], spot=train["spot"])
    judged = pictures.get("test") or valid
    yield _Job("Evaluate", job_instance, 2 * judged * view)  # the new model and the one in service


def _most_epochs(tune: Mapping[str, Any], train: Mapping[str, Any]) -> float:
    """What training takes at most where the search also chooses the epochs."""
    searched = (tune["ranges"] or {}).get("epochs", {}) if tune["strategy"] else {}
    return float(max([train["epochs"], *searched.get("values", []), searched.get("maximum", 0)]))


def view_seconds(backbone: str) -> float:
    """Seconds for a view on the machine that was measured."""
    known = VIEW_SECONDS.get(backbone)
    return VIEW_SECONDS["efficientnet_lite0"] * _OPERATIONS[backbone] if known is None else known


def _seconds(job: _Job, longest: float) -> tuple[float, float]:
    """Billable seconds of one of its instances, at least and at most."""
    work = job.work * 2 / cpus(job.instance)
    gpu = GPU_SHARE if job.instance.removeprefix("ml.").startswith(("g", "p")) else 1.0
    high = min(longest, START_SECONDS[1] + work * MACHINE[1])
    return min(high, START_SECONDS[0] + work * MACHINE[0] * gpu), high


def cpus(instance: str) -> int:
    """Virtual CPUs by the size in a type's name: `large` has 2, `xlarge` 4, `8xlarge` 32; other sizes count as 2."""
    size = re.fullmatch(r".*\.(\d*)xlarge", instance)
    return 4 * int(size[1] or 1) if size else 2


def _priced(job: _Job, longest: float) -> Item:
    low, high = _seconds(job, longest)
    count = job.instances * job.times
    what = f"{count} x {job.instance}, {_minutes(low)} to {_minutes(high)} min each"
    price = instance_hour(job.instance)
    if price is None:
        return Item(job.step, f"{what}, price unknown", None, None)
    whole = count * price / 3600
    return Item(
        job.step, f"{what}{', spot' if job.spot else ''}", whole * low * (SPOT_SHARE if job.spot else 1), whole * high
    )


def _minutes(seconds: float) -> str:
    return f"{max(seconds / 60, 0.1):.2g}" if seconds < 600 else f"{seconds / 60:.0f}"


def _volumes(jobs: list[_Job], train: Mapping[str, Any]) -> Item:
    """Disks of the jobs, and the disk and the address of an EC2 instance."""
    storage = prices()["storage_gb_month"]
    ends = [0.0, 0.0]
    for job in jobs:
        own = job.instance.startswith("ml.")
        gigabytes = train["volume_gb"] if own else train["volume_gb"] + _EC2_VOLUME_GB
        hour = gigabytes * storage["ml_volume" if own else "gp3"] / HOURS_A_MONTH
        hour += 0 if own else prices()["address_hour"]
        for end, seconds in enumerate(_seconds(job, train["max_runtime_seconds"])):
            ends[end] += job.times * job.instances * seconds / 3600 * hour
    return Item("Volumes", f"{train['volume_gb']} GB for each instance", *ends)


def _small(asked: Mapping[str, Mapping[str, Any]], pictures: int, jobs: int) -> list[Item]:
    """What every run has and hardly costs."""
    hours = asked[""]["approve_within_hours"] if asked[""]["approve"] == "manual" else 0
    low, high = TRANSITIONS[0], TRANSITIONS[1] + hours * _APPROVAL_TRANSITIONS
    price, read = prices()["state_transition"], prices()["s3_thousand_requests"]["read"] / 1000
    return [
        Item("Step Functions", f"{low} to {high} transitions", low * price, high * price),
        Item(
            "S3 requests",
            f"each job reads what it needs, {pictures} pictures at most",
            pictures * read,
            pictures * jobs * read,
        ),
        Item("Logs", f"{_LOG_GB[0]} to {_LOG_GB[1]} GB", *(gb * prices()["logs_gb"] for gb in _LOG_GB)),
    ]


def _priced_types() -> list[str]:
    return sorted(
        name for name in prices()["instance_hour"] | prices()["instance_hour_derived"] if name.startswith("ml.")
    )


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)


def main() -> None:
    """Standard input to standard output, as the first lines say."""
    given = json.load(sys.stdin)
    try:
        asked = runs.parse_run(given["input"], given["defaults"])
    except InvalidRun as error:
        print(json.dumps({"problems": error.problems}))
        return
    found = estimate(asked, given["pictures"], runs.job_instance(asked["train"], given["defaults"]))
    refused = []
    try:
        check(asked[""]["budget_usd"], found)
    except InvalidRun as error:
        refused = error.problems
    answer = {"asked": asked, "estimate": found.document(), "refused": refused, "assumptions": assumptions()}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
