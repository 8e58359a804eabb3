"""The sections of report.html: what each of them tells, and what is under the drawings."""

from __future__ import annotations

import re

import pytest

from tests.unit.report_world import Page, drawn_incumbent, drawn_report, drawn_split, drawn_steps, drawn_tuning
from training.evaluation import interval
from training.prices import priced, summed
from training.report_page import page
from training.report_svg import LogAxis, axis, spread_axis
from training.report_trials import against_value, over_trials


def test_without_a_test_split_the_page_says_that_its_figures_flatter() -> None:
    with_test, without = (page(drawn_report(["a", "b"], tested=tested), {}) for tested in (True, False))

    assert "these figures are of the validation split" in without
    assert "flatter" in without
    assert "of the validation split" not in with_test
    assert "Measured on the test split" in with_test


def test_few_pictures_are_warned_of() -> None:
    few, many = (page(drawn_report(["a", "b"], each), {}) for each in (10, 100))

    assert "20 pictures can only tell so much" in few
    assert "can only tell so much" not in many


@pytest.mark.parametrize(
    ("gained", "lost", "verdict"),
    [(15, 2, "The candidate is better"), (2, 15, "The candidate is worse"), (4, 2, "these pictures cannot tell")],
)
def test_the_verdict_on_the_incumbent_is_no_surer_than_the_pictures_allow(gained: int, lost: int, verdict: str) -> None:
    report = drawn_report(["a", "b"])
    report["incumbent"] = drawn_incumbent(["a", "b"], gained, lost)

    text = page(report, {})

    assert verdict in text
    assert f"Newly wrong: {lost} pictures" in text


def test_trials_are_drawn_with_the_best_marked_and_those_that_failed_shown() -> None:
    tuning = drawn_tuning([0.5, None, 0.3, 0.4])

    for drawn in (over_trials(tuning), against_value(tuning, "learning_rate"), against_value(tuning, "schedule")):
        found = Page(drawn)
        kinds = [element.attributes.get("class") for element in found.all("circle", "path")]
        assert kinds.count("ring") == 1
        assert kinds.count("trial") == 3
        assert kinds.count("cross") == 1
        titles = [element.words for element in found.all("title")]
        assert "t-1: no objective, failed" in titles
        assert "t-2: 0.3, completed" in titles


@pytest.mark.parametrize(("goal", "steps"), [("Minimize", 2), ("Maximize", 1)])
def test_the_best_so_far_is_by_the_goal(goal: str, steps: int) -> None:
    drawn = Page(over_trials(drawn_tuning([0.5, None, 0.3, 0.4], goal=goal)))

    stairs = [element.attributes["d"] for element in drawn.all("path") if element.attributes["class"] == "line second"]
    assert max(path.count("V") for path in stairs) == steps - 1


def test_a_tuning_of_which_nothing_came_is_told() -> None:
    report = drawn_report(["a", "b"])
    report["tuning"] = drawn_tuning([None, None])

    text = page(report, {})

    assert "No trial has an objective" in text
    assert "2 failed" in text


def test_billed_seconds_make_the_cost_and_what_is_not_known_is_said_to_be() -> None:
    read = Page(page(drawn_steps(), {}))
    rows = [row.words for row in read.all("tr")]

    def row(name: str) -> str:
        return next(one for one in rows if one.startswith(name) and ("\u00d7" in one or name == "All"))

    assert "$1.41" in row("Train") and "\u2264" not in row("Train")
    assert "10 min 00 s" in row("Tune") and "$0.03833" in row("Tune") and "\u2264" not in row("Tune")
    assert row("Ec2").count("\u2264") == 2 and "not told" in row("Ec2")
    assert "price unknown" in row("Extract")
    assert "known: $1.97" in row("All") and "2 h 00 min" in row("All")
    told = next(one.words for one in read.all("p") if "of the 4 steps cost" in one.words)
    assert told.startswith("3 of the 4 steps cost $1.97 at most") and "by time alone: Ec2" in told


def test_a_derived_price_is_said_to_be() -> None:
    report = drawn_steps()
    report["steps"] = [
        priced(
            {
                "step": "Train",
                "instance_type": "ml.c7i.xlarge",
                "instances": 1,
                "seconds": 360.0,
                "billable_seconds": 360.0,
                "spot": False,
            }
        )
    ]
    report["cost"] = summed(report["steps"])

    text = page(report, {})

    assert "The run cost $0.0214." in text and "Derived, not read: the price of ml.c7i.xlarge (EC2" in text


def test_each_class_says_what_it_was_most_often_taken_for() -> None:
    split = drawn_split([f"c{n}" for n in range(6)], 20, certainty=1.0)

    for label, (name, one) in enumerate(split["per_class"].items()):
        row = {f"c{n}": count for n, count in enumerate(split["confusion"][label]) if n != label}
        assert one["right"] + sum(row.values()) == one["pictures"] == 20
        confused = one["most_confused_with"]
        assert confused is not None
        assert confused["folder"] != name
        assert row[confused["folder"]] == confused["pictures"] == max(row.values())


def test_the_bins_of_the_reliability_diagram_make_up_the_calibration_error() -> None:
    split = drawn_split([f"c{n}" for n in range(6)], 40, certainty=1.5)

    bins = split["reliability"]
    assert len(bins) == 15
    assert sum(one["pictures"] for one in bins) == split["pictures"]
    gaps = [
        one["pictures"] * abs(one["accuracy"] - one["confidence"])
        for one in bins
        if one["accuracy"] is not None and one["confidence"] is not None
    ]
    assert sum(gaps) / split["pictures"] == pytest.approx(split["calibration_error"])
    for one in bins:
        assert one["confidence"] is None or one["low"] <= one["confidence"] <= one["high"]
        assert (one["confidence"] is None) == (one["pictures"] == 0)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"), [(5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775)]
)
def test_the_interval_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    assert interval(right, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3), (0.93, 0.97), (1e-7, 2.3e-7), (0.2, 140.0)])
def test_an_axis_holds_its_values_with_a_few_round_ticks(values: tuple[float, float]) -> None:
    found = axis(values, most=1.0 if max(values) <= 1 else float("inf"))

    assert found.low <= min(values) < max(values) + 1e-12 <= found.high + 2e-12
    assert found.low < found.high
    assert 2 <= len(list(found.ticks())) <= 7
    assert re.fullmatch(r"[125]e[+-]\d+", f"{found.step:.0e}")


@pytest.mark.parametrize(
    ("values", "wide"), [((1e-4, 1e-2), True), ((1.0, 31.0), True), ((1.0, 30.0), False), ((0.0, 9.0), False)]
)
def test_a_scale_over_more_than_thirtyfold_is_logarithmic(values: tuple[float, float], wide: bool) -> None:
    found = spread_axis(values)

    assert isinstance(found, LogAxis) is wide
    places = [found.place(value, 0, 100) for value in values]
    assert -1e-9 <= places[0] < places[1] <= 100 + 1e-9
    assert 2 <= len(list(found.ticks())) <= 7
