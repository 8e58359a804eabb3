"""What instances cost. Only what the table has is known; of every other instance the price is not.

The table is prices.json, dated and with its sources; the layer and the tools read the same file.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from training.evaluation_shape import CostFigures, Step, StepFigures

_TABLE = json.loads(Path(__file__).with_name("prices.json").read_text(encoding="utf-8"))
REGION: str = _TABLE["region"]
AS_OF: str = _TABLE["as_of"]
DERIVED: dict[str, float] = _TABLE["instance_hour_derived"]
DERIVED_HOW: str = _TABLE["derived_how"]
_BUILDS = {name: minute * 60 for name, minute in _TABLE["build_minute"].items()}
PER_HOUR: dict[str, float] = _TABLE["instance_hour"] | DERIVED | _BUILDS


def priced(step: Step) -> StepFigures:
    """`step` with its instance's price and what it cost; both null where the price is not known."""
    price = PER_HOUR.get(step["instance_type"])
    billed = step["seconds"] if step["billable_seconds"] is None else step["billable_seconds"]
    cost = None if price is None else round(price * step["instances"] * billed / 3600, 6)
    return {**step, "price_per_hour": price, "cost": cost}


def summed(steps: Sequence[StepFigures]) -> CostFigures:
    """What the steps cost together, and how far that is to be believed."""
    known = [step["cost"] for step in steps if step["cost"] is not None]
    return {
        "usd": round(sum(known), 6) if known else None,
        "by_time": [step["step"] for step in steps if step["billable_seconds"] is None and step["cost"] is not None],
        "derived": sorted({step["instance_type"] for step in steps} & DERIVED.keys()),
        "unpriced": [step["step"] for step in steps if step["cost"] is None],
    }
