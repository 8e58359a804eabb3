"""The pipeline's input: what is taken, what is refused, and that refusals name the field."""

from __future__ import annotations

import pytest
from kennel.errors import InvalidRun
from kennel.fields import Field, markdown
from kennel.requests import BASELINE_FIELDS, REQUEST_FIELDS
from kennel.runs import RUN_FIELDS, parse_run


def test_an_empty_input_is_the_defaults() -> None:
    resolved = parse_run({}, {})

    assert (resolved[""]["run"], resolved[""]["data"], resolved["tune"]["strategy"]) == (None, None, None)
    for field in RUN_FIELDS:
        section, _, name = field.path.rpartition(".")
        assert resolved[section][name] == field.default


def test_input_goes_before_stack_defaults_which_go_before_the_tables() -> None:
    resolved = parse_run({"train": {"epochs": 3}}, {"train": {"epochs": 4, "seed": 9}})

    assert (resolved["train"]["epochs"], resolved["train"]["seed"], resolved["train"]["batch_size"]) == (3, 9, 32)


def test_every_problem_is_reported_at_once_by_its_path() -> None:
    with pytest.raises(InvalidRun) as caught:
        parse_run({"runs": 1, "train": {"epochs": 0, "spot": "yes", "epoch": 2}, "endpoint": 3}, {})

    assert caught.value.problems == [
        "endpoint: is not an object",
        "train.epochs: 0 is below 1",
        "train.spot: is not true or false",
        "runs: there is no such field",
        "train.epoch: there is no such field",
    ]
    assert str(caught.value) == "\n".join(caught.value.problems)


@pytest.mark.parametrize("field", RUN_FIELDS, ids=lambda field: field.path)
def test_every_field_is_checked_for_type_and_range(field: Field) -> None:
    def refusal(value: object) -> str:
        section, _, name = field.path.rpartition(".")
        with pytest.raises(InvalidRun) as caught:
            parse_run({section: {name: value}} if section else {name: value}, {})
        return str(caught.value)

    wrongs: list[object] = [None, [], "" if field.kind is not str else 5, float("nan"), "x" * 2000]
    wrongs += [{}] if field.kind is not dict else []
    for wrong in wrongs:
        assert refusal(wrong).startswith(field.path)
    if field.minimum is not None:
        assert "is below" in refusal(field.minimum - 1)
    if field.maximum is not None and field.kind is not str:
        assert "is above" in refusal(field.maximum * 2 + 1)


def test_initial_instances_follow_the_range_unless_chosen() -> None:
    assert parse_run({"endpoint": {"minimum": 3}}, {})["endpoint"]["initial_instances"] == 3
    with pytest.raises(InvalidRun, match=r"endpoint\.initial_instances: 9 is outside"):
        parse_run({"endpoint": {"initial_instances": 9}}, {})
    with pytest.raises(InvalidRun, match=r"endpoint\.minimum: 5 is above endpoint\.maximum, 4"):
        parse_run({"endpoint": {"minimum": 5}}, {})


def test_the_tables_document_every_field() -> None:
    every = (*REQUEST_FIELDS, *BASELINE_FIELDS, *RUN_FIELDS)
    table = markdown(every)

    assert len({field.path for field in every}) == len(every)
    assert all(field.doc for field in every)
    assert "| `train.epochs` | a whole number from 1 to 10000 | `30` |" in table


def test_what_the_caller_did_not_choose_follows_what_it_chose() -> None:
    stack = {"train": {"mode": "multi", "instances": 4}, "endpoint": {"target_metric": "concurrency"}}

    assert parse_run({"train": {"mode": "single"}}, stack)["train"]["instances"] == 1
    assert parse_run({"train": {"mode": "ec2"}}, stack)["train"]["instance_type"] == "c7i.xlarge"
    assert parse_run({"train": {"mode": "ec2", "instance_type": "ml.g5.xlarge"}}, stack)["train"]["instance_type"] == (
        "g5.xlarge"
    )
    assert parse_run({}, stack)["endpoint"]["target_metric"] == "concurrency"
    assert parse_run({"endpoint": {"requests_per_second": 9}}, stack)["endpoint"]["target_metric"] == "invocations"


def test_pictures_of_a_serverless_endpoint_cannot_be_captured() -> None:
    assert parse_run({"endpoint": {"capture_percent": 5}}, {})["endpoint"]["capture_percent"] == 5
    with pytest.raises(InvalidRun, match=r"endpoint\.capture_percent: SageMaker keeps no pictures"):
        parse_run({"endpoint": {"capture_percent": 5, "serving": "serverless"}}, {})
