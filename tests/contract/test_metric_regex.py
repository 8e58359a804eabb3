"""SageMaker finds a job's metrics in its log by regular expressions: they fit the lines that training prints."""

from __future__ import annotations

import json
import re

import pytest

from tests.contract.template import ROOT
from training.metrics import NAMES, format_metric

PIPELINE = json.loads((ROOT / "statemachine" / "pipeline.asl.json").read_text(encoding="utf-8"))
DEFINITIONS = {
    entry["Name"]: entry["Regex"]
    for entry in PIPELINE["States"]["Train"]["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"]
}


def test_every_metric_has_a_definition_and_every_definition_a_metric() -> None:
    assert sorted(DEFINITIONS) == sorted(NAMES)
    assert all(len(regex) <= 500 for regex in DEFINITIONS.values())  # SageMaker's limit


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.95, 4.890349, 1e-9, 123456.0])
def test_a_printed_line_yields_its_value_to_its_own_definition_alone(name: str, value: float) -> None:
    line = format_metric(name, value, epoch=3)

    found = {other: match[1] for other, regex in DEFINITIONS.items() if (match := re.search(regex, line))}

    assert list(found) == [name]
    assert float(found[name]) == pytest.approx(value, abs=1e-6)
