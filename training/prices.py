"""What an instance costs. Only prices with a source stand here; of every other instance the price is not known.

US dollars per hour, on demand, us-east-1, taken from AWS's public price pages (SageMaker: training; EC2: Linux) in
November 2026. Storage, transfer, tax and savings plans are not in them.
"""

from training.evaluation_shape import Step, StepFigures

REGION = "us-east-1"
AS_OF = "November 2026"
PER_HOUR = {
    "ml.g4dn.xlarge": 0.7364,
    "ml.g5.xlarge": 1.408,
    "ml.m5.large": 0.115,
    "c7i.large": 0.08925,
    "g4dn.xlarge": 0.526,
    "g5.xlarge": 1.006,
    "t2.xlarge": 0.1856,
}


def priced(step: Step) -> StepFigures:
    """`step` with its instance's price and what it cost; both null where the price is not known."""
    price = PER_HOUR.get(step["instance_type"])
    cost = None if price is None else round(price * step["instances"] * step["seconds"] / 3600, 6)
    return {**step, "price_per_hour": price, "cost": cost}
