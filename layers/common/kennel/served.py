"""What is serving: the endpoint's own word for it, and the report that the run behind it has left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from kennel.errors import EndpointFailed, EndpointUnavailable

_SERVING = {"InService", "Updating", "SystemUpdating", "RollingBack"}
_METRICS = ("pictures", "accuracy", "top5", "calibration_error", "log_loss")


@dataclass(frozen=True, slots=True)
class Served:
    """`run` made the model, `config` is the endpoint configuration, `status` the endpoint's."""

    run: str
    config: str
    status: str


def look(sagemaker: Any, endpoint_name: str) -> Served:
    """The model behind `endpoint_name`. Raises EndpointUnavailable when nothing serves, EndpointFailed otherwise."""
    try:
        found = sagemaker.describe_endpoint(EndpointName=endpoint_name)
    except ClientError as error:
        if "could not find" in str(error).lower():
            raise EndpointUnavailable("no model is in service under this stack's endpoint") from error
        raise EndpointFailed("the endpoint could not be looked at") from error
    except BotoCoreError as error:
        raise EndpointFailed("the endpoint could not be looked at") from error
    config, status = str(found["EndpointConfigName"]), str(found["EndpointStatus"])
    if status not in _SERVING:
        raise EndpointUnavailable(f"no model is in service: the endpoint is {status}")
    # A run's configuration is named STACK-RUN (kennel.naming), and the endpoint has the stack's name.
    return Served(config.removeprefix(f"{endpoint_name}-"), config, status)


def report_key(served: Served) -> str:
    """Where the run's evaluation has left its report: SageMaker puts what a job leaves under the job's name."""
    return f"{_evaluation(served)}report.json"


def drift_key(served: Served) -> str:
    """Where it has left what the answers in service are compared with."""
    return f"{_evaluation(served)}drift.json"


def _evaluation(served: Served) -> str:
    return f"runs/{served.run}/{served.config}-evaluate/output/model/"


def describe(served: Served, report: bytes | None) -> dict[str, object]:
    """What callers get to know; of classes and metrics nothing where there is no report, or one that says nothing."""
    try:
        found = json.loads(report or b"")
        known = {
            "backbone": found["model"]["backbone"],
            "precision": found["model"]["precision"],
            "classes": [display_name(name) for name in found["model"]["classes"]],
            "metrics": {"split": found["split"], **{name: found["figures"][name] for name in _METRICS}},
        }
    except (ValueError, LookupError, TypeError):
        known = {"classes": None, "metrics": None}
    return {"model": served.run, "status": served.status, **known}


def display_name(folder: str) -> str:
    """What answers call the class of this folder, as training writes it: `001.Afghan_hound` -> `Afghan hound`."""
    number, dot, rest = folder.partition(".")
    name = rest if dot and number.isdigit() and rest else folder
    return name.replace("_", " ")
