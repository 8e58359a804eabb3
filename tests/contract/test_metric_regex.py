"""SageMaker finds a job's metrics in its log by regular expressions: they fit the lines that its program prints."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.plans import machine
from training import metrics
from training.metrics import format_metric

STATES = machine("pipeline")["States"]
PROGRAMS = {
    "Tune": metrics.TRIAL,
    "TuneInOneJob": metrics.TUNE,
    "Train": metrics.TRAIN,
    "Evaluate": metrics.EVALUATE,
}
DEFINITION = re.compile(r"\{'Name': '([^']+)', 'Regex': '([^']+)'\}")


@pytest.mark.parametrize("state", PROGRAMS)
def test_every_metric_has_a_definition_that_finds_it_and_no_other(state: str) -> None:
    names = PROGRAMS[state]
    definitions = dict(DEFINITION.findall(json.dumps(STATES[state]["Arguments"])))
    assert sorted(definitions) == sorted(names)
    assert all(len(regex) <= 500 for regex in definitions.values())  # SageMaker's limit
    for name in names:
        for value in (0.0, 1.0, 0.95, 4.890349, 1e-9, 123456.0):
            line = format_metric(name, value, 3)
            found = {other: match[1] for other, regex in definitions.items() if (match := re.search(regex, line))}
            assert list(found) == [name]
            assert float(found[name]) == pytest.approx(value, abs=1e-6)
