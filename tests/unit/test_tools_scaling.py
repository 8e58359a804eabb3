"""The simulator of scaling: against closed forms, single requests and the embedded AWS's rules; and what it tells."""

from __future__ import annotations

import heapq
import math
import random
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from local_aws.alarm_logic import ALARM, EXTRA_PERIODS, judge
from local_aws.scaling_logic import Limits, Past, Reading, decide
from tools.scaling import __main__ as command
from tools.scaling import traffic
from tools.scaling.profiles import Profile, profile, profiles
from tools.scaling.queueing import Latency, Queue, Server, Vector
from tools.scaling.recommend import Goal, NothingFitsError, recommend
from tools.scaling.simulation import Outcome, World, blocked, measured, simulate
from tools.scaling.target_tracking import Policy, Scaler
from tools.scaling.traffic import TrafficError, trace
from tools.template import ROOT

WORLD = World(Server(service_seconds=0.014), function_seconds=0.006)
OPEN = {"ApiThrottleRate": "10000", "ApiThrottleBurst": "5000", "ReservedConcurrency": "0"}


def run(traffic: str, **parameters: str) -> Outcome:
    return simulate(profile("tried", OPEN | parameters), trace(traffic), WORLD)


def settled(server: Server, rate: float) -> tuple[Vector, float]:
    """The law at a random moment, long after the start, and the share that is refused."""
    queue = Queue(server, 10.0)
    step, law = queue.step(rate, 1, server.capacity), queue.empty()
    for _ in range(30):
        law = law @ step.matrix
    mean = law @ step.mean
    return mean, float(mean @ step.refused)


def erlang(servers: int, load: float) -> tuple[float, float]:
    """Erlang's B (lost, where nobody may wait) and C (has to wait, where all may)."""
    lost = 1.0
    for number in range(1, servers + 1):
        lost = load * lost / (number + load * lost)
    return lost, lost / (1 - load / servers * (1 - lost))


# The queue


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9])
def test_a_fixed_service_time_waits_as_pollaczek_and_khinchine_say(share: float) -> None:
    server = Server(service_seconds=0.01, threads=1, capacity=128)
    law, refused = settled(server, share * server.most)

    mean_seconds = float(law @ np.arange(129)) / (share * server.most)  # Little
    assert mean_seconds == pytest.approx(0.01 + 0.01 * share / (2 * (1 - share)), rel=1e-6)
    assert refused < 1e-9


@pytest.mark.parametrize(("threads", "share"), [(1, 0.8), (2, 0.8), (4, 0.9)])
def test_an_exponential_one_is_m_m_c(threads: int, share: float) -> None:
    server = Server(service_seconds=0.01, threads=threads, capacity=200, service="exponential")
    lost, wait = erlang(threads, threads * share)
    law, _ = settled(server, share * server.most)

    assert law[threads:].sum() == pytest.approx(wait, rel=1e-6)
    seconds = float(law @ np.arange(201)) / (share * server.most)
    assert seconds == pytest.approx(0.01 + wait * 0.01 / (threads - threads * share), rel=1e-6)
    assert settled(replace(server, capacity=threads), share * server.most)[1] == pytest.approx(lost, rel=1e-6)
    if threads == 1:
        p99 = Latency(server, 0.0, 0.0).percentile(0.99, law, 0.0)
        assert p99 == pytest.approx(math.log(100) / (server.most - share * server.most), rel=0.01)


def events(server: Server, rate: float, instances: int, count: int) -> tuple[list[float], float]:
    """Latencies and the share refused of `count` single requests, each on its way."""
    chance = random.Random(4)
    ends: list[list[float]] = [[] for _ in range(instances)]
    free = [[0.0] * server.threads for _ in range(instances)]
    now, refused, took = 0.0, 0, []
    for _ in range(count):
        now += chance.expovariate(rate)
        one = chance.randrange(instances)
        while ends[one] and ends[one][0] <= now:
            heapq.heappop(ends[one])
        if len(ends[one]) >= server.capacity:
            refused += 1
            continue
        end = max(now, heapq.heappop(free[one])) + server.service_seconds
        heapq.heappush(free[one], end)
        heapq.heappush(ends[one], end)
        took.append(end - now)
    return sorted(took), refused / count


@pytest.mark.parametrize(("share", "capacity"), [(0.8, 64), (0.95, 16), (1.3, 64)])
def test_the_law_tells_what_single_requests_would_meet(share: float, capacity: int) -> None:
    server = Server(service_seconds=0.01, threads=2, capacity=capacity)
    law, refused = settled(server, share * server.most)
    took, lost = events(server, share * server.most * 3, 3, 60_000)

    latency, found = Latency(server, 0.0, 0.0), np.append(law[:-1], 0.0)
    assert refused == pytest.approx(lost, abs=0.01)
    for quantile in (0.5, 0.99):
        met = took[int(quantile * len(took))]
        assert latency.percentile(quantile, found, 0.0) == pytest.approx(met, rel=0.08)


def test_copies_of_the_function_are_erlangs_and_bounded_by_the_instances() -> None:
    assert blocked(400.0, 0.02, math.inf, 10) == pytest.approx(erlang(10, 8.0)[0])
    assert blocked(400.0, 0.02, 100.0, 50) == pytest.approx(0.75, abs=0.001)


# Target tracking


@pytest.mark.parametrize("seed", range(25))
def test_scaling_decides_as_the_embedded_aws_does(seed: int) -> None:
    chance = random.Random(seed)
    metric = chance.choice(["invocations", "concurrency"])
    policy = Policy(metric, 100.0, chance.choice([0, 60, 900]), chance.choice([0, 60, 300]), 1, 8)  # type: ignore[arg-type]
    scaler = Scaler(policy, chance.choice([10.0, 240.0]), 2)
    capacity, past, ends, points = 2, Past(), -1.0, list[float]()
    states: dict[str, str | None] = {"high": None, "low": None}
    wanted, load = capacity, 150.0
    for number in range(1, 400):
        now = number * policy.period
        load = max(0.0, load + chance.gauss(0, 40) + (400 if chance.random() < 0.02 else 0) - 0.01 * load)
        scaler.arrive(now)
        if wanted > capacity and now >= ends:
            past, capacity = Past(now, capacity, -math.inf), wanted
        points.append(load / capacity)
        for side, count in (("high", 3), ("low", 15)):
            seen = points[-count - EXTRA_PERIODS :]
            marks: list[bool | None] = [None] * (count + EXTRA_PERIODS - len(seen))
            marks += [value > 100 if side == "high" else value < 90 for value in seen]
            states[side] = judge(marks, count, count, "missing") or states[side]
        scaler.observe(points[-1], now)
        if wanted == capacity:
            reading = Reading(
                policy="one",
                target=100.0,
                high=points[-1] if states["high"] == ALARM else None,
                low=max(points[-15:]) if states["low"] == ALARM else None,
                scales_in=True,
                out_cooldown=policy.out_cooldown,
                in_cooldown=policy.in_cooldown,
                settling=2 * policy.period,
            )
            change = decide([reading], capacity, Limits(1, 8), past, now)
            if change is not None and change.out:
                wanted, ends = change.capacity, now + scaler.start_seconds
            elif change is not None:
                capacity = wanted = change.capacity
                past = replace(past, in_ended=now)
        assert (scaler.capacity, scaler.wanted) == (capacity, wanted), number


@pytest.mark.parametrize("name", ["baseline-target-10", "baseline-target-20", "baseline-target-25"])
def test_a_target_of_10_to_25_a_minute_fires_at_half_a_request_a_second(name: str) -> None:
    (small,) = profiles([name])
    outcome = simulate(small, trace("steady:0.5"), WORLD)

    assert outcome.serving.max() >= 2
    assert outcome.p99 < 0.021  # though one instance was never late
    assert simulate(profiles(["recommended"])[0], trace("steady:0.5"), WORLD).changes == 0


def test_ten_second_metrics_act_after_half_a_minute_where_minutes_take_three() -> None:
    same = {"ScaleInCooldownSeconds": "0", "ScalingMaximum": "2"}
    minutes = run("burst:20:200", **same, ScalingTarget="4000")
    seconds = run("burst:20:200", **same, ScalingMetric="concurrency", ScalingConcurrentRequests="1.2")

    def waited(outcome: Outcome, start: float) -> float:
        """From `start` to the next change of what is paid for, seconds."""
        first = int(start / 10)
        return float(np.flatnonzero(np.diff(outcome.paid[first - 1 :]))[0]) * 10

    assert (waited(seconds, 1800), waited(minutes, 1800)) == (30, 180)
    assert waited(minutes, 3000) == pytest.approx(15 * 60, abs=60)
    assert waited(seconds, 3000) == pytest.approx(150, abs=20)
    assert seconds.refused < minutes.refused


# The whole path


def test_the_api_lets_through_its_rate_and_once_its_burst() -> None:
    outcome = run("steady:200:1", ApiThrottleRate="150", ApiThrottleBurst="1000", ScalingMinimum="4")

    assert outcome.refused_by_api == pytest.approx(outcome.sent - 150 * 3600 - 1000, rel=0.001)
    assert outcome.refused_by_function + outcome.refused_by_instances < 1e-9


def test_too_few_copies_refuse_what_the_instances_could_have_answered() -> None:
    few = run("steady:400:1", ScalingMinimum="4", ReservedConcurrency="10")
    many = run("steady:400:1", ScalingMinimum="4", ReservedConcurrency="100")

    assert few.refused_by_function / few.sent == pytest.approx(erlang(10, 400 * 0.02)[0], rel=0.02)
    assert many.refused < 0.0001


def test_an_overloaded_instance_answers_what_it_can_and_refuses_the_rest() -> None:
    outcome = run("steady:200:1", ScalingMaximum="1")

    assert outcome.refused == pytest.approx(1 - WORLD.server.most / 200, abs=0.005)
    assert outcome.p50 == pytest.approx(0.006 + 64 / WORLD.server.most, rel=0.03)


def test_copies_that_are_kept_ready_have_no_cold_start() -> None:
    cold, warm = (run("burst:1:100", ProvisionedConcurrency=number) for number in ("0", "20"))

    assert cold.cold >= 2
    assert warm.cold == 0


def test_what_is_used_is_priced_and_an_unknown_instance_is_not() -> None:
    outcome = run("steady:10:1", EndpointInstanceType="ml.m5.large", ProvisionedConcurrency="2")

    assert outcome.cost is not None
    assert outcome.cost.instances == pytest.approx(0.115)
    assert outcome.cost.provisioned == pytest.approx(2 * 0.5 * 3600 * 0.0000041667)
    assert outcome.cost.api == pytest.approx(outcome.sent * 3.5 / 1e6)
    assert outcome.cost.function == pytest.approx(outcome.sent * (0.2 / 1e6 + 0.02 * 0.5 * 0.0000097222), rel=0.02)
    assert run("steady:10:1", EndpointInstanceType="ml.p5.48xlarge").per_million is None


def test_the_default_times_are_measured_ones() -> None:
    assert 0.001 < measured().server.service_seconds < 0.2
    assert 0 < measured().function_seconds < 0.1


# Traffic


def test_a_csv_file_is_traffic_whatever_its_intervals(tmp_path: Path) -> None:
    file = tmp_path / "friday.csv"
    file.write_text("time,requests\n2026-11-20T10:00:00Z,600\n2026-11-20T10:01:00Z,60\n2026-11-20T10:01:30Z,0\n")

    read = trace(f"csv:{file}")

    assert (read.name, read.rates.tolist()) == ("friday", [10.0] * 6 + [2.0] * 3 + [0.0] * 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,requests\n0,1\n", "two rows"),
        ("time,requests\n10,1\n0,1\n", "order of time"),
        ("time,requests\n0,-1\n60,1\n", "from 0 on"),
        ("when,requests\n0,1\n", "columns time"),
    ],
)
def test_a_csv_file_that_is_none_is_refused_with_a_reason(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(TrafficError, match=said):
        trace(f"csv:{tmp_path / 'bad.csv'}")


@pytest.mark.parametrize("form", ["steady", "steady:x", "daily:1", "burst:1:-2", "steady:1:0", "csv:nowhere.csv"])
def test_what_is_no_traffic_is_refused(form: str) -> None:
    with pytest.raises(TrafficError):
        trace(form)


def test_cloudwatch_is_traffic_with_nothing_where_nothing_was_counted() -> None:
    class CloudWatch:
        def get_paginator(self, name: str) -> CloudWatch:
            return self

        def paginate(self, **asked: Any) -> list[dict[str, Any]]:
            start = asked["StartTime"]
            assert asked["MetricDataQueries"][0]["MetricStat"]["Metric"]["MetricName"] == "Invocations"
            return [{"MetricDataResults": [{"Timestamps": [start], "Values": [120.0]}]}]

    read = traffic._from_cloudwatch("kennel-dev", 0.05, CloudWatch())

    assert read.rates.tolist() == [2.0] * 6 + [0.0] * 12


# What it is for


def test_what_is_recommended_keeps_the_goal_and_is_not_the_dearest() -> None:
    traces = [trace("steady:300:0.5")]

    choice = recommend(traces, WORLD, Goal(p99=0.08), lambda said: None)

    assert Goal(p99=0.08).kept(choice.outcomes)
    tried: Profile = choice.outcomes[0].profile
    assert tried == profile("recommended", dict(pair.split("=", 1) for pair in shlex.split(choice.overrides())))
    assert 3 <= tried.policy.minimum <= tried.policy.maximum


def test_where_nothing_fits_the_nearest_is_told() -> None:
    with pytest.raises(NothingFitsError, match="nearest refuses"):
        recommend([trace("steady:20:0.2")], WORLD, Goal(p99=0.001), lambda said: None)


def test_the_command_prints_tables_and_draws_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--traffic", "steady:5:0.2", "--pictures", str(tmp_path)]

    assert command.main(["compare", *arguments, "--profile", "prod", "--profile", "one=local:ScalingMaximum=1"]) == 0

    printed, drawn = capsys.readouterr().out, (tmp_path / "steady-5-a-second.svg").read_text()
    for name in ("prod", "one"):
        assert name in printed and name in drawn
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_what_is_recommended_is_written_as_parameter_overrides(tmp_path: Path) -> None:
    file = tmp_path / "overrides"
    asked = ["--traffic", "steady:20:0.1", "--p99-ms", "80", "--write", str(file)]

    assert command.main(["recommend", *asked]) == 0

    assert profile("its", dict(pair.split("=", 1) for pair in shlex.split(file.read_text()))).policy.maximum >= 1


@pytest.mark.parametrize("wrong", [["--traffic", "x"], ["--profile", "x"], ["--profile", "prod:Nothing=1"]])
def test_what_the_command_does_not_know_it_says(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["compare", *wrong]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_the_page_on_scaling_shows_what_the_simulator_says(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "scaling.md").read_text()
    page = tmp_path / "scaling.md"
    page.write_text(text.replace("--traffic daily:2:160 ", ""))  # which takes a while

    assert command.main(["page", str(page)]) == 0

    made = page.read_text().splitlines()
    assert sum(line.startswith("| baseline-") for line in made) >= 10
    assert [line for line in made if "|" in line and line not in text.splitlines()] == [], "run what the page says"
    shown = ROOT / "docs" / "scaling"
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "scaling").iterdir()}
    assert {name: picture == (shown / name).read_bytes() for name, picture in drawn.items()} == dict.fromkeys(
        drawn, True
    )
    assert {path.name for path in shown.iterdir()} == set(re.findall(r"\(scaling/(.+?)\)", text))
