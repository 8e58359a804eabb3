"""A month of serving, item by item, from template.yaml's parameters and a run's `endpoint` section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.cost.stack_settings import StackSettings

HOURS = 730
SECONDS = HOURS * 3600
# The least is what benchmarks/scaling_simulator measured; the rest is assumed, and `assumptions` says so.
ENDPOINT_SECONDS = (0.033, 0.2)  # of one picture: with the embedded AWS on two cores, and on a slow small copy
FUNCTION_SECONDS = (0.044, 0.25)  # the same with the function around it
LOG_BYTES = (2000, 4000)  # of a request: API, function and endpoint together
ANSWER_BYTES = 1000
API_METRICS = 5  # count, latency twice, 4xx and 5xx of a method with detailed metrics
OWN_METRICS = 8  # what classify emits
TRACES_A_SECOND, TRACES_SHARE = 1, 0.05  # X-Ray's default sampling
SCALING_ALARMS = 2  # of a target tracking policy
SWEEP_TRANSITIONS = (10, 14)  # of an hourly sweep with nothing to do, without and with an endpoint; a test walks them
SWEEP_LOG_BYTES = 2500  # of a transition
# Watching for drift. Of an hourly call with nothing to read, and of one that reads a busy endpoint's log.
WATCH_SECONDS, WATCH_LOG_BYTES = (0.3, 60), 1200
SAMPLE_BYTES, DRIFT_METRICS = 400, 5  # of a sampled picture's line (benchmarks/drift)
IMAGE_GB = 0.5
RUN_GB = 0.2  # features, model and report of a run


@dataclass(frozen=True)
class Item:
    """One thing that is paid for, US dollars a month at least and at most; None where there is no price."""

    name: str
    what: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Use:
    """What a month brings: requests of one picture each, and the pictures and runs that are kept."""

    requests: float
    picture_bytes: float
    pictures: int
    runs: int = 1


def month(endpoint: Mapping[str, Any], stack: StackSettings, use: Use, prices: Mapping[str, Any]) -> list[Item]:
    """The items; what costs nothing is left out."""
    items = [
        *_endpoint(endpoint, use, prices),
        *_function(stack, use, prices),
        *_seen(endpoint, stack, use, prices),
        *_sweeps(prices),
        *_drift(stack, use, prices),
        *_options(stack, prices),
        *_kept(use, prices),
    ]
    return [item for item in items if item.high != 0]


def _endpoint(endpoint: Mapping[str, Any], use: Use, prices: Mapping[str, Any]) -> Iterator[Item]:
    if endpoint["serving"] == "serverless":
        gigabytes = endpoint["memory_mb"] / 1024
        price = use.requests * gigabytes * prices["endpoint"]["serverless_gb_second"]
        yield _item("Endpoint, serverless", f"{gigabytes:g} GB while it answers", price, ENDPOINT_SECONDS)
    else:
        kind, counts = endpoint["instance_type"], (endpoint["minimum"], endpoint["maximum"])
        high = counts[1] if use.requests else counts[0]
        hour = (prices["instance_hour"] | prices["instance_hour_derived"]).get(kind)
        what = f"{counts[0]}{f' to {high}' if high > counts[0] else ''} x {kind}, all month"
        if hour is None:
            yield Item("Endpoint, instances", f"{what}, price unknown", None, None)
        else:
            yield _item("Endpoint, instances", what, HOURS * hour, (counts[0], high))
    gigabytes = use.requests * (use.picture_bytes + ANSWER_BYTES) / 1e9
    yield _item("Endpoint, data in and out", f"{gigabytes:.1f} GB", gigabytes * prices["endpoint"]["data_gb"])


def _function(stack: StackSettings, use: Use, prices: Mapping[str, Any]) -> Iterator[Item]:
    price, memory, ready = (
        prices["function"],
        stack.memory_gb("ClassifyFunction"),
        stack.number("ProvisionedConcurrency"),
    )
    kept = ready * memory * SECONDS * price["provisioned_gb_second"]
    yield _item("Lambda, provisioned concurrency", f"{ready:g} x {memory:g} GB, all month", kept)
    calls = use.requests / 1e6 * price["million_requests"]
    seconds = [use.requests * one * memory for one in FUNCTION_SECONDS]
    low = calls + seconds[0] * min(price["gb_second"], price["gb_second_on_provisioned" if ready else "gb_second"])
    yield Item("Lambda, requests", f"{use.requests:,.0f} requests", low, calls + seconds[1] * price["gb_second"])
    yield _item("API", f"{use.requests:,.0f} requests", use.requests / 1e6 * prices["api"]["million_requests"])


def _seen(endpoint: Mapping[str, Any], stack: StackSettings, use: Use, prices: Mapping[str, Any]) -> Iterator[Item]:
    alarms = stack.resources("AWS::CloudWatch::Alarm")
    scaling = SCALING_ALARMS * (endpoint["serving"] == "realtime")
    paid = scaling + sum(map(_metrics, alarms))  # one that computes is paid for by its metrics
    yield _item("Alarms", f"{len(alarms) + scaling} alarms on {paid} metrics", paid * prices["alarm_month"])
    dashboards = len(stack.resources("AWS::CloudWatch::Dashboard"))
    yield _item("Dashboard", "an account's first three cost nothing", dashboards * prices["dashboard_month"], (0, 1))
    yield _item("Key of the alarms' topic", "1 key", len(stack.resources("AWS::KMS::Key")) * prices["key_month"])
    gigabyte = prices["logs_gb"] + prices["storage_gb_month"]["logs"]
    yield _item("Logs of requests", "2 to 4 kB a request", use.requests / 1e9 * gigabyte, LOG_BYTES)
    if use.requests:
        metrics = API_METRICS + OWN_METRICS
        yield _item("Metrics", f"{metrics} detailed and own metrics", metrics * prices["metric_month"])
    traced = min(use.requests, TRACES_A_SECOND * SECONDS + TRACES_SHARE * use.requests)
    yield _item("Traces", "at X-Ray's default sampling", traced / 1e6 * prices["million_traces"], (TRACES_SHARE, 1))


def _metrics(alarm: Mapping[str, Any]) -> int:
    return sum("MetricStat" in query for query in alarm.get("Metrics", ())) or 1


def _sweeps(prices: Mapping[str, Any]) -> Iterator[Item]:
    each = prices["state_transition"] + SWEEP_LOG_BYTES / 1e9 * prices["logs_gb"]
    what = f"{SWEEP_TRANSITIONS[0]} to {SWEEP_TRANSITIONS[1]} transitions an hour, and their log"
    yield _item("Hourly sweep", what, HOURS * each, SWEEP_TRANSITIONS)


def _drift(stack: StackSettings, use: Use, prices: Mapping[str, Any]) -> Iterator[Item]:
    share, price = stack.number("DriftSampleShare"), prices["function"]
    if not share:
        return
    memory, (least, most) = stack.memory_gb("WatchDriftFunction"), WATCH_SECONDS
    calls = HOURS * (price["million_requests"] / 1e6 + WATCH_LOG_BYTES / 1e9 * prices["logs_gb"])
    low, high = (calls + HOURS * one * memory * price["gb_second"] for one in (least, most if use.requests else least))
    yield Item("Hourly watch for drift", "one call of the function, and its log", low, high)
    lines = use.requests * share * SAMPLE_BYTES / 1e9 * (prices["logs_gb"] + prices["storage_gb_month"]["logs"])
    metrics = DRIFT_METRICS * prices["metric_month"] if use.requests else 0
    yield _item("Drift, lines and metrics", f"{share:.0%} of the pictures, {DRIFT_METRICS} metrics", lines + metrics)


def _options(stack: StackSettings, prices: Mapping[str, Any]) -> Iterator[Item]:
    """What the template's options add (docs/hardening.md); a key's uses and an endpoint's data are not in it."""
    if stack.values["KmsKeyArn"]:
        yield _item("Key", "one customer managed key", prices["key_month"])
    zones = stack.zones_of_interface_endpoints()
    what = f"interface endpoints, {zones} zones of them all month"
    yield _item("Private network", what, HOURS * zones * prices["interface_endpoint_hour"])


def _kept(use: Use, prices: Mapping[str, Any]) -> Iterator[Item]:
    storage = prices["storage_gb_month"]
    gigabytes = use.pictures * use.picture_bytes / 1e9 + use.runs * RUN_GB
    yield _item("S3", f"{gigabytes:.1f} GB: pictures and {use.runs} run", gigabytes * storage["s3"])
    yield _item("Serving image", f"{IMAGE_GB} GB in ECR", IMAGE_GB * storage["ecr"])


def _item(name: str, what: str, each: float, ends: tuple[float, float] = (1, 1)) -> Item:
    return Item(name, what, each * ends[0], each * ends[1])


def assumptions(use: Use) -> list[str]:
    """What the figures rest on, in sentences."""
    return [
        f"{use.requests:,.0f} requests a month of one picture of {use.picture_bytes / 1000:g} kB; "
        f"{use.pictures:,} pictures and {use.runs} run kept in S3.",
        f"An answer takes the endpoint {ENDPOINT_SECONDS[0]} to {ENDPOINT_SECONDS[1]} s and the function "
        f"{FUNCTION_SECONDS[0]} to {FUNCTION_SECONDS[1]} s: the least was measured with the embedded AWS.",
        "Instances: at least the minimum all month, at most the maximum; python -m tools.scaling simulates what a "
        "load needs.",
        "Without transfer to the internet, free tiers, tax, savings plans.",
    ]
