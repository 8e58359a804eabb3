"""What a run may cost by its estimate: what makes it dearer, what bounds it, and what refuses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kennel import costs
from kennel.errors import InvalidRun
from kennel.runs import BACKBONES, parse_run

from tests.unit.asl_walker import walk
from tests.unit.deploy_world import World as Deployment
from tests.unit.pipeline_world import World as Pipeline
from tests.unit.plans import machine

PICTURES = {"train": 6680, "valid": 835, "test": 836}
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def estimated(run_input: dict[str, Any] | None = None, job_instance: str = "ml.c7i.xlarge") -> costs.Estimate:
    return costs.estimate(parse_run(run_input or {}, {}), PICTURES, job_instance)


def details(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())["details"]


def test_every_item_has_a_range_and_their_sums_are_the_runs() -> None:
    found = estimated({"tune": {"strategy": "embedded"}})

    assert [item.name for item in found.items] == [
        *("BuildImage", "ExtractFeatures", "Tune", "Train", "Evaluate"),
        *("Volumes", "Step Functions", "S3 requests", "Logs"),
    ]
    assert all(0 < (item.low or 0) <= (item.high or 0) for item in found.items)
    assert found.low < found.high < found.ceiling
    written = found.document()
    assert sum(item["high"] for item in written["items"]) == pytest.approx(written["high"], abs=1e-4)


def test_no_job_is_estimated_above_the_time_after_which_it_is_stopped() -> None:
    asked = {"train": {"method": "finetune", "epochs": 1000, "max_runtime_seconds": 600}}
    (train,) = (item for item in estimated(asked).items if item.name == "Train")
    assert train.high == pytest.approx(0.214 * 600 / 3600)


@pytest.mark.parametrize(
    "dearer",
    [
        {"features": {"backbone": "efficientnet_lite2"}},
        {"features": {"views": 20}},
        {"tune": {"strategy": "bayesian"}},
        {"train": {"mode": "multi", "instances": 4}},
        {"train": {"method": "finetune"}},
        {"approve": "manual"},
    ],
)
def test_what_takes_longer_costs_more(dearer: dict[str, Any]) -> None:
    assert estimated(dearer).high > estimated().high * 1.01


def test_spot_may_be_cheaper_but_need_not_be() -> None:
    spot, demand = estimated({"train": {"spot": True}}), estimated()
    assert spot.low < demand.low and spot.high == demand.high


def test_training_on_ec2_is_priced_as_ec2_and_its_other_jobs_as_sagemaker() -> None:
    found = estimated({"train": {"mode": "ec2", "instance_type": "c7i.xlarge"}})
    assert found.document()["per_hour"] == {"BUILD_GENERAL1_SMALL": 0.3, "c7i.xlarge": 0.1785, "ml.c7i.xlarge": 0.214}


def test_a_budget_that_suffices_or_none_refuses_nothing() -> None:
    found = estimated()
    for budget in (None, found.high, 1000.0):
        costs.check(budget, found)


def test_a_run_above_its_budget_is_refused_with_every_item_and_what_to_do() -> None:
    found = estimated()
    with pytest.raises(InvalidRun) as caught:
        costs.check(found.high - 0.001, found)
    (problem,) = caught.value.problems
    assert all(item.name in problem for item in found.items)
    assert f"may cost ${found.high:.2f}" in problem and "Raise budget_usd, or" in problem


def test_nobody_promises_a_budget_without_a_price() -> None:
    found = estimated({"train": {"instance_type": "ml.p5.48xlarge"}}, "ml.p5.48xlarge")
    with pytest.raises(InvalidRun, match=r"there is no price for ml\.p5\.48xlarge"):
        costs.check(1e6, found)


@pytest.mark.parametrize(
    ("instance", "cpus"), [("ml.c7i.large", 2), ("ml.c7i.xlarge", 4), ("c7i.8xlarge", 32), ("ml.t2.medium", 2)]
)
def test_the_size_in_a_types_name_tells_its_cpus(instance: str, cpus: int) -> None:
    assert costs.cpus(instance) == cpus


def test_the_seconds_are_those_that_were_measured() -> None:
    race, search, tuned = details("training_race"), details("best_of_search"), details("finetune_ddp")
    lite = race["our_features_seconds"]
    views = {
        "efficientnet_lite0": (lite["efficientnet_lite0, 5"] - lite["efficientnet_lite0, 1"]) / (800 * 4),
        "resnet50": race["our_measured_seconds_per_view"]["f32"]["view"]["1"],
    }
    trials, epochs, rows = 50, 30, 800 * 5
    row = search["all"]["search_seconds"] / (trials * epochs * rows)
    pictures = 20 * (12 + 2)  # in each of its epochs
    finetuned = min(tuned["finetune_seconds"]["2"]) / pictures
    assert views == pytest.approx(costs.VIEW_SECONDS, rel=0.3)
    assert row == pytest.approx(costs.ROW_SECONDS, rel=0.3)
    assert all(costs.view_seconds(name) >= costs.VIEW_SECONDS["efficientnet_lite0"] for name in BACKBONES)
    assert finetuned == pytest.approx(costs.FINETUNE_SECONDS, rel=0.3)


def test_the_transitions_of_a_run_lie_in_the_range_that_is_estimated() -> None:
    deployed = Deployment()
    asked = {"plan": deployed.plan, "model_data": "s3://artifacts/model.tar.gz"}
    passed = [walk(machine("pipeline"), {}, Pipeline()), walk(machine("deploy"), asked, deployed)]
    low, high = costs.TRANSITIONS
    assert low <= sum(len(done.states) for done in passed) <= high
