"""What a search may try: `ranges`, a JSON object, read into one distribution for each hyperparameter.

{"learning_rate": {"minimum": 1e-4, "maximum": 1e-2, "scale": "log"}, "batch_size": {"values": [16, 32, 64]}}
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from training.errors import TrainingError
from training.parameters import Recipe, problem

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
SCALES = ("linear", "log")
_FORMS = ({"values"}, {"minimum", "maximum"}, {"minimum", "maximum", "scale"})
_WHOLE = frozenset({"epochs", "batch_size", "hidden"})


def read_ranges(text: str) -> dict[str, BaseDistribution]:
    """The distributions by hyperparameter. Raises TrainingError saying what is wrong with which range."""
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(f"is not JSON ({error})") from error
    if not isinstance(asked, dict) or not asked:
        raise _refused(f"is not an object with a range for one or more of {', '.join(TUNABLE)}")
    for name in asked:
        if name not in TUNABLE:
            raise _refused(f"{name!r} cannot be tuned; there are {', '.join(TUNABLE)}")
    return {name: _distribution(name, one) for name, one in asked.items()}


def _distribution(name: str, asked: object) -> BaseDistribution:
    if not isinstance(asked, dict) or set(asked) not in _FORMS:
        raise _refused(f"{name} is neither {{minimum, maximum, scale}} nor {{values}}")
    if "values" in asked:
        return _categories(name, asked["values"])
    low, high = (_number(name, end, asked[end]) for end in ("minimum", "maximum"))
    scale = asked.get("scale", "linear")
    if scale not in SCALES:
        raise _refused(f"{name}.scale {scale!r} is none of {', '.join(SCALES)}")
    if not low < high:
        raise _refused(f"{name}.minimum {low} is not below its maximum {high}")
    if scale == "log" and low <= 0:
        raise _refused(f"{name}.minimum {low}: a logarithmic scale begins above 0")
    if name in _WHOLE:
        return IntDistribution(int(low), int(high), log=scale == "log")
    return FloatDistribution(low, high, log=scale == "log")


def _categories(name: str, values: object) -> BaseDistribution:
    if not isinstance(values, list) or not values:
        raise _refused(f"{name}.values is not a list of one or more values")
    found = [_number(name, "values", value) for value in values]
    if len(set(found)) < len(found):
        raise _refused(f"{name}.values holds a value twice")
    return CategoricalDistribution(found)


def _number(name: str, member: str, value: object) -> float:
    """`value` as a number that this hyperparameter may have; a whole one where it must be."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refused(f"{name}.{member}: {value!r} is not a number")
    if name in _WHOLE and value != int(value):
        raise _refused(f"{name}.{member}: {value} is not a whole number")
    wrong = problem(name, value)
    if wrong:
        raise _refused(f"{name}.{member}: {wrong}")
    return int(value) if name in _WHOLE else float(value)


def held_by(distributions: Mapping[str, BaseDistribution], recipe: Recipe) -> dict[str, Any]:
    """The hyperparameters of `recipe` that are searched and lie within their ranges."""
    found = {}
    for name, distribution in distributions.items():
        value = getattr(recipe, name)
        if isinstance(distribution, CategoricalDistribution):
            held = value in distribution.choices
        else:
            assert isinstance(distribution, FloatDistribution | IntDistribution)
            held = distribution.low <= value <= distribution.high
        if held:
            found[name] = value
    return found


def _refused(reason: str) -> TrainingError:
    return TrainingError(f"hyperparameters: ranges: {reason}")
