"""What an instance costs. Only prices with a source stand here; of every other instance the price is not known.

The table is prices.json, dated and with its sources; tools/scaling reads the same file.
"""

import json
from pathlib import Path

from training.evaluation_shape import Step, StepFigures

_TABLE = json.loads(Path(__file__).with_name("prices.json").read_text())
REGION: str = _TABLE["region"]
AS_OF: str = _TABLE["as_of"]
PER_HOUR: dict[str, float] = _TABLE["instance_hour"]


def priced(step: Step) -> StepFigures:
    """`step` with its instance's price and what it cost; both null where the price is not known."""
    price = PER_HOUR.get(step["instance_type"])
    cost = None if price is None else round(price * step["instances"] * step["seconds"] / 3600, 6)
    return {**step, "price_per_hour": price, "cost": cost}
