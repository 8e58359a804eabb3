"""CloudWatch's embedded metric format: metrics out of log lines, as CloudWatch Logs takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from local_aws import metrics

VALUES_MAX = 100


class Measured(NamedTuple):
    """One value of a metric."""

    namespace: str
    name: str
    value: float
    unit: str
    dimensions: dict[str, str]


def extract(messages: Iterable[str]) -> None:
    """Puts what the log lines measure into the metrics."""
    for message in messages:
        if '"_aws"' in message:
            for one in read(message):
                metrics.put(*one)


def read(message: str) -> Iterator[Measured]:
    """The values in one line; none in a line that is not of the format, which CloudWatch leaves alone, too."""
    try:
        line = json.loads(message)
        directives = line["_aws"]["CloudWatchMetrics"]
        yield from [one for directive in directives for one in _directive(line, directive)]
    except (ValueError, LookupError, TypeError):
        return


def _directive(line: dict[str, Any], directive: dict[str, Any]) -> Iterator[Measured]:
    for names in directive["Dimensions"]:
        dimensions = {name: str(line[name]) for name in names}
        for metric in directive["Metrics"]:
            values = line[metric["Name"]]
            for value in values[:VALUES_MAX] if isinstance(values, list) else [values]:
                unit = metric.get("Unit", "None")
                yield Measured(directive["Namespace"], metric["Name"], float(value), unit, dimensions)
