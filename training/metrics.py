"""The metric lines that SageMaker reads from the job's log, in one fixed form."""

import math

# A job's MetricDefinitions are made for these names, each as `metric NAME=([0-9.eE+-]+)`.
NAMES = (
    "train:loss",
    "validation:loss",
    "validation:accuracy",
    "validation:calibration_error",
    "test:accuracy",
)


def format_metric(name: str, value: float, epoch: int) -> str:
    """One metric line, e.g. `metric validation:accuracy=0.950000 epoch=3`.

    Losses are means per picture, shares lie in 0..1. Raises ValueError for an unknown name or a value that is not
    finite: SageMaker would drop such a line silently.
    """
    if name not in NAMES:
        raise ValueError(f"metric {name!r} is none of {', '.join(NAMES)}")
    if not math.isfinite(value):
        raise ValueError(f"metric {name} is not a finite number")
    return f"metric {name}={value:.6f} epoch={epoch}"
