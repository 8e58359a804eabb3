"""The metric lines that SageMaker reads from the job's log, in one fixed form."""

import math

# A job's MetricDefinitions are made for its program's names, each as `metric NAME=([0-9.eE+-]+)`.
TRIAL = ("train:loss", "validation:loss", "validation:accuracy")
TRAIN = (*TRIAL, "validation:calibration_error")
TUNE = ("tune:objective", "tune:best")
EVALUATE = ("test:accuracy", "test:top5", "test:calibration_error")
NAMES = (*TRAIN, *TUNE, *EVALUATE)


def format_metric(name: str, value: float, number: int, counted: str = "epoch") -> str:
    """One metric line, e.g. `metric validation:accuracy=0.950000 epoch=3`; `number` counts epochs, or trials.

    Losses are means per picture, shares lie in 0..1. Raises ValueError for an unknown name or a value that is not
    finite: SageMaker would drop such a line silently.
    """
    if name not in NAMES:
        raise ValueError(f"metric {name!r} is none of {', '.join(NAMES)}")
    if not math.isfinite(value):
        raise ValueError(f"metric {name} is not a finite number")
    return f"metric {name}={value:.6f} {counted}={number}"
