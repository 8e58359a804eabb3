"""tools.cost: a month's items follow the stack's parameters and the traffic; prices come from the API when asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.asl_walker import walk
from tests.unit.plans import machine
from tests.unit.sweep_world import World
from tools.cost import __main__ as cost
from tools.cost.month import ENDPOINT_SECONDS, FUNCTION_SECONDS, SWEEP_TRANSITIONS, Item, Use, month
from tools.cost.refresh import refreshed
from tools.cost.stack_settings import SettingsError, StackSettings

ROOT = Path(__file__).parents[2]
PRICES = json.loads(cost.TABLE.read_text())
REALTIME = {"serving": "realtime", "instance_type": "ml.m5.large", "minimum": 2, "maximum": 5}
SERVERLESS = {"serving": "serverless", "memory_mb": 3072}


def items(endpoint: dict[str, Any], requests: float = 1e6, **parameters: str) -> dict[str, Item]:
    stack = StackSettings.of("default", parameters)
    return {item.name: item for item in month(endpoint, stack, Use(requests, 100_000, 8351), PRICES)}


def test_instances_cost_from_the_fewest_to_the_most_and_without_traffic_the_fewest() -> None:
    busy, idle = items(REALTIME)["Endpoint, instances"], items(REALTIME, 0)["Endpoint, instances"]
    assert (busy.low, busy.high) == pytest.approx((2 * 730 * 0.115, 5 * 730 * 0.115))
    assert idle.low == idle.high == busy.low
    assert items(REALTIME | {"instance_type": "ml.new.large"})["Endpoint, instances"].high is None


def test_what_is_paid_for_by_the_request_costs_twice_as_much_for_twice_as_many() -> None:
    once, twice = items(SERVERLESS, 1e6), items(SERVERLESS, 2e6)
    for name in ("Endpoint, serverless", "Endpoint, data in and out", "Lambda, requests", "API", "Logs of requests"):
        assert (twice[name].high or 0) == pytest.approx(2 * (once[name].high or 0)), name
    assert once["API"].high == pytest.approx(3.5)


def test_a_price_that_was_not_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["plan", str(ROOT / "events" / "pipeline_default.json")]) == 0
    assert "The price of ml.c7i.large and ml.c7i.xlarge: EC2's price x 1.2" in capsys.readouterr().out


def test_the_least_seconds_of_an_answer_are_those_that_were_measured() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "scaling_simulator.json").read_text())["details"]
    endpoint, function = found["service_ms"] / 1000, found["function_ms"] / 1000
    assert (ENDPOINT_SECONDS[0], FUNCTION_SECONDS[0]) == pytest.approx((endpoint, endpoint + function), rel=0.25)


def test_copies_kept_ready_and_alarms_follow_the_parameters() -> None:
    kept = items(SERVERLESS, 0, ProvisionedConcurrency="2")["Lambda, provisioned concurrency"]
    assert kept.high == pytest.approx(2 * 0.5 * 730 * 3600 * 0.0000041667)
    more = items(SERVERLESS, 0, SafeDeployments="true")["Alarms"].high or 0
    assert more == pytest.approx((items(SERVERLESS, 0)["Alarms"].high or 0) + 0.1)


def test_seeing_and_telling_is_paid_for_as_it_is_asked_for() -> None:
    basic, full = (items(SERVERLESS, 0, Monitoring=choice) for choice in ("BASIC", "FULL"))
    assert "Dashboard" not in basic and (full["Dashboard"].low, full["Dashboard"].high) == (0, 3)
    # Ten alarms more, one of them on two metrics.
    assert (full["Alarms"].high or 0) - (basic["Alarms"].high or 0) == pytest.approx(1.1)
    assert items(SERVERLESS, 0, AlarmEmail="ops@example.com")["Key of the alarms' topic"].high == 1


def test_a_private_network_and_a_key_cost_by_the_month_and_only_where_they_are() -> None:
    secured = items(SERVERLESS, 0, Network="PRIVATE", KmsKeyArn="arn:aws:kms:us-east-1:1:key/1")
    assert secured["Private network"].high == pytest.approx(3 * 2 * 730 * 0.01)
    assert secured["Key"].high == 1
    assert not {"Private network", "Key"} & items(SERVERLESS, 0).keys()


def test_idle_and_serverless_costs_less_than_a_dollar_and_nothing_by_the_request() -> None:
    idle = items(SERVERLESS, 0, ProvisionedConcurrency="0", Monitoring="BASIC")
    assert set(idle) == {"Alarms", "Hourly sweep", "Hourly watch for drift", "S3", "Serving image"}
    assert 0 < sum(item.high or 0 for item in idle.values()) < 1


def test_drift_costs_by_the_share_that_is_sampled_and_nothing_where_none_is() -> None:
    some, all_of_them = (items(SERVERLESS, 1e8, DriftSampleShare=share) for share in ("0.1", "1"))
    name = "Drift, lines and metrics"
    metrics = 5 * PRICES["metric_month"]
    assert (all_of_them[name].low or 0) - metrics == pytest.approx(10 * ((some[name].low or 0) - metrics))
    assert not [one for one in items(SERVERLESS, DriftSampleShare="0") if "rift" in one]
    assert (items(SERVERLESS, 0)["Hourly watch for drift"].high or 0) < 0.01


def test_the_sweeps_transitions_are_those_of_the_machine() -> None:
    passed = [len(walk(machine("sweep"), {}, world).states) for world in (World(), World().serving())]
    assert passed == list(SWEEP_TRANSITIONS)


def test_the_page_holds_the_tools_tables() -> None:
    page = (ROOT / "docs" / "cost.md").read_text()
    assert page.count("| **Together** |") == 3
    kept = items(SERVERLESS, 0)["Lambda, provisioned concurrency"].high or 0
    assert f"adds ${kept:.2f} a month" in page
    assert page == cost.filled(page), "regenerate it: python -m tools.cost page docs/cost.md"


@pytest.mark.parametrize(("event", "status"), [("pipeline_within_budget", 0), ("bad_pipeline_budget_too_small", 2)])
def test_plan_says_what_the_pipeline_would_refuse(capsys: pytest.CaptureFixture[str], event: str, status: int) -> None:
    assert cost.main(["plan", str(ROOT / "events" / f"{event}.json"), "--json"]) == status
    told = json.loads(capsys.readouterr().out)
    assert bool(told["refused"]) == bool(status)
    assert sum(item["high"] for item in told["month"]["items"]) == pytest.approx(told["month"]["high"], abs=1e-3)
    assert told["assumptions"] and told["run"]["as_of"] == PRICES["as_of"]


def test_the_stacks_parameters_are_a_runs_defaults_and_a_folder_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, count in (("train", 3), ("valid", 2)):
        folder = tmp_path / "data" / split / "001.Beagle"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.jpg").touch()
    (tmp_path / "input.json").write_text("{}")
    given = [
        "--data",
        str(tmp_path / "data"),
        "--environment",
        "prod",
        "--parameter",
        "TrainingInstanceType=ml.g5.xlarge",
    ]

    assert cost.main(["plan", str(tmp_path / "input.json"), *given]) == 0

    told = capsys.readouterr().out
    assert "1 x ml.g5.xlarge" in told and "2 to 10 x ml.c7i.large" in told
    assert ", 5 pictures at most" in told and "5 pictures and 1 run kept" in told


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["events/bad_pipeline_epochs_zero.json"], "would refuse this input:\ntrain.epochs: 0 is below 1"),
        (["no-such-file.json"], "is no JSON file"),
        (["events/pipeline_default.json", "--pictures", "many"], "it is TRAIN,VALID,TEST"),
        (["events/pipeline_default.json", "--environment", "moon"], "samconfig.toml has no moon"),
        (["events/pipeline_default.json", "--parameter", "NoSuch=1"], "the template has no parameter NoSuch"),
    ],
)
def test_what_cannot_be_priced_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(ROOT)
    assert cost.main(["plan", *arguments]) == 1
    assert reason in capsys.readouterr().err


def test_parameters_of_environments_that_are_not_there_are_refused() -> None:
    with pytest.raises(SettingsError, match="NoSuch"):
        StackSettings.of("default", {"NoSuch": "1"})


class PriceList:
    """The Price List API, of which only `get_products` is known: instance type and part -> prices and units."""

    def __init__(self, products: dict[tuple[str, str], list[tuple[str, str]]]) -> None:
        self._products = products

    def get_paginator(self, name: str) -> PriceList:
        assert name == "get_products"
        return self

    def paginate(self, **given: Any) -> Iterator[dict[str, Any]]:
        asked = {one["Field"]: one["Value"] for one in given["Filters"]}
        assert asked["regionCode"] == "us-east-1" and {one["Type"] for one in given["Filters"]} == {"TERM_MATCH"}
        kind, part = asked.get("instanceName") or asked["instanceType"], asked.get("component", "")
        assert (given["ServiceCode"] == "AmazonSageMaker") == bool(part) == kind.startswith("ml.")
        for price, unit in self._products.get((kind, part), []):
            dimension = {"unit": unit, "pricePerUnit": {"USD": price}}
            terms = {"OnDemand": {"a": {"priceDimensions": {"b": dimension}}}, "Reserved": {"c": {}}}
            yield {"PriceList": [json.dumps({"product": {}, "terms": terms})]}


def test_refreshed_prices_replace_read_and_derived_ones_and_what_is_not_told_stays() -> None:
    client = PriceList(
        {
            ("ml.c7i.large", "Training"): [("0.1100000000", "Hrs")],
            ("ml.c7i.large", "Hosting"): [("0.1200000000", "Hrs"), ("0.0000000000", "Hrs")],
            ("t2.xlarge", ""): [("0.2000000000", "Hrs"), ("9.0", "Quantity")],
            ("ml.g6.xlarge", "Training"): [("1.0060000000", "Hrs")],
        }
    )

    table = refreshed(PRICES, client, date(2027, 1, 31), ["ml.g6.xlarge"])
    again = refreshed(table, PriceList({}), date(2027, 2, 1))

    hours = table["instance_hour"]
    assert (hours["ml.c7i.large"], hours["t2.xlarge"], hours["ml.g6.xlarge"]) == (0.12, 0.2, 1.006)
    assert "ml.c7i.large" not in table["instance_hour_derived"] and "c7i.xlarge" in table["instance_hour_derived"]
    assert hours["ml.m5.large"] == PRICES["instance_hour"]["ml.m5.large"]
    assert table["as_of"] == f"January 2027 (instances, by the Price List API; the rest {PRICES['as_of']})"
    assert again["as_of"].endswith(f"the rest {PRICES['as_of']})") and again["instance_hour"] == hours
