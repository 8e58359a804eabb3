"""What tuning searches: ranges of hyperparameters, checked, and as SageMaker wants them.

`{"learning_rate": {"minimum": 1e-4, "maximum": 1e-2, "scale": "log"}, "batch_size": {"values": [16, 32]}}`
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kennel.fields import Field

STRATEGIES = ("bayesian", "hyperband", "random", "grid", "embedded")
TUNABLE = (
    "epochs",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "hidden",
    "mixup",
    "class_balance",
)
_SCALES = {"linear": "Linear", "log": "Logarithmic"}
_MOST_VALUES = 30  # SageMaker's limit for a categorical range

_SEARCHED: dict[str, dict[str, Any]] = {
    "learning_rate": {"minimum": 1e-4, "maximum": 1e-2, "scale": "log"},
    "weight_decay": {"minimum": 1e-4, "maximum": 1e-1, "scale": "log"},
    "label_smoothing": {"minimum": 0.0, "maximum": 0.2},
    "batch_size": {"values": [32, 64, 128]},
}
_GRID: dict[str, dict[str, Any]] = {
    "learning_rate": {"values": [0.0005, 0.002, 0.008]},
    "weight_decay": {"values": [0.001, 0.01]},
    "batch_size": {"values": [16, 32]},
}


def defaults(strategy: str) -> dict[str, dict[str, Any]]:
    """What is searched when the input does not say; `grid` can only search values."""
    return {name: dict(one) for name, one in (_GRID if strategy == "grid" else _SEARCHED).items()}


def problems(asked: Mapping[str, Any], fields: Mapping[str, Field], strategy: str) -> list[str]:
    """All that is wrong with `asked`; `fields` says what each hyperparameter may be."""
    found = []
    for name, one in asked.items():
        path = f"tune.ranges.{str(name)[:40]}"
        if name not in fields:
            found.append(f"{path}: cannot be tuned; there are {', '.join(fields)}")
        elif not isinstance(one, Mapping) or set(one) not in _FORMS:
            found.append(f"{path}: is neither {{minimum, maximum, scale}} nor {{values}}")
        elif "values" in one:
            found += _values_problems(path, one["values"], fields[name])
        elif strategy == "grid":
            found.append(f"{path}: grid tries values, not a range: give {{values}}")
        else:
            found += _range_problems(path, one, fields[name])
    return found or ([] if asked else ["tune.ranges: is empty"])


_FORMS = ({"values"}, {"minimum", "maximum"}, {"minimum", "maximum", "scale"})


def _values_problems(path: str, values: Any, field: Field) -> list[str]:
    if not isinstance(values, list) or not 1 <= len(values) <= _MOST_VALUES:
        return [f"{path}.values: is not a list of 1 to {_MOST_VALUES} values"]
    if len({str(value) for value in values}) < len(values):
        return [f"{path}.values: holds a value twice"]
    return [f"{path}.values: {problem}" for value in values if (problem := field.check(value)[1])]


def _range_problems(path: str, one: Mapping[str, Any], field: Field) -> list[str]:
    found = [f"{path}.{end}: {problem}" for end in ("minimum", "maximum") if (problem := field.check(one[end])[1])]
    if found:
        return found
    if not one["minimum"] < one["maximum"]:
        return [f"{path}: minimum {one['minimum']:g} is not below maximum {one['maximum']:g}"]
    scale = one.get("scale", "linear")
    if scale not in _SCALES:
        return [f"{path}.scale: is not one of {', '.join(_SCALES)}"]
    if scale == "log" and one["minimum"] <= 0:
        return [f"{path}.minimum: a logarithmic scale has no {one['minimum']:g}"]
    return []


def combinations(asked: Mapping[str, Any]) -> int:
    """How many trials a grid of `asked` (values only) has."""
    return math.prod(len(one["values"]) for one in asked.values())


def to_sagemaker(asked: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, list[dict[str, Any]]]:
    """CreateHyperParameterTuningJob's ParameterRanges."""
    kinds: dict[str, list[dict[str, Any]]] = {
        "CategoricalParameterRanges": [],
        "ContinuousParameterRanges": [],
        "IntegerParameterRanges": [],
    }
    for name, one in asked.items():
        if "values" in one:
            kinds["CategoricalParameterRanges"].append(
                {"Name": name, "Values": [str(value) for value in one["values"]]}
            )
            continue
        kind = "IntegerParameterRanges" if fields[name].kind is int else "ContinuousParameterRanges"
        scale = _SCALES[one.get("scale", "linear")]
        ends = {"MinValue": str(one["minimum"]), "MaxValue": str(one["maximum"])}
        kinds[kind].append({"Name": name, **ends, "ScalingType": scale})
    return {kind: members for kind, members in kinds.items() if members}
