"""A small account for the teardown to act in: things with names and tags, listed in pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.asl_walker import TaskError

TEXT = (Path(__file__).parents[2] / "statemachine" / "teardown.asl.json").read_text(encoding="utf-8")
ARN = "arn:aws:sagemaker:us-east-1:000000000000"
SUBSTITUTIONS = {
    "PipelineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:kennel-pipeline",
    "SageMakerArn": ARN,
    "StackName": "kennel",
    "ArtifactBucket": "artifacts",
}
PAGE = 2
OTHER_STACK = "kennel-dev"


def machine() -> dict[str, Any]:
    text = TEXT
    for name, value in SUBSTITUTIONS.items():
        text = text.replace(f"${{{name}}}", value)
    definition: dict[str, Any] = json.loads(text)
    return definition


class World:
    """Answers the teardown's calls. `fail` names calls (`sagemaker__deleteModel`) and what they raise, every time."""

    def __init__(self, **fail: Exception) -> None:
        self.fail = {name.replace("__", ":"): error for name, error in fail.items()}
        self.calls: list[str] = []
        self.runs: list[str] = []
        self.targets: list[str] = []
        self.endpoint = ""  # its status; empty is none
        self.next_statuses: list[str] = []  # what it becomes, one a look
        # name -> owner by the tag kennel:stack; empty is no tag
        self.things: dict[str, dict[str, str]] = {"endpoint-config": {}, "model": {}, "training-job": {}}

    def with_runs(self, *names: str) -> World:
        """What runs of these names have left: configurations and models, an endpoint, its scaling."""
        for kind in ("endpoint-config", "model"):
            self.things[kind] |= {f"kennel-{name}": "kennel" for name in names}
        self.endpoint = "InService"
        self.targets = ["endpoint/kennel/variant/primary"]
        return self

    def __call__(self, call: str, arguments: dict[str, Any]) -> Any:
        self.calls.append(call)
        if call in self.fail:
            raise self.fail[call]
        method: Callable[[dict[str, Any]], Any] = getattr(self, "do_" + call.partition(":")[2])
        return method(arguments)

    def do_listExecutions(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StatusFilter"] == "RUNNING"
        return {"Executions": [{"Name": name} for name in self.runs]}

    def do_describeScalableTargets(self, arguments: dict[str, Any]) -> Any:
        found = [
            {"ResourceId": name, "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"} for name in self.targets
        ]
        return _page(found, "ScalableTargets", arguments)

    def do_deregisterScalableTarget(self, arguments: dict[str, Any]) -> Any:
        self.targets.remove(arguments["ResourceId"])
        return {}

    def do_describeEndpoint(self, _: Any) -> Any:
        if self.next_statuses:
            self.endpoint = self.next_statuses.pop(0)
        if not self.endpoint:
            raise TaskError("SageMaker.SageMakerException", f'Could not find endpoint "{ARN}:endpoint/kennel".')
        return {"EndpointStatus": self.endpoint}

    def do_deleteEndpoint(self, _: Any) -> Any:
        assert not [name for name in self.targets if "/kennel/" in name], "scaling would go on ordering instances"
        self.endpoint, self.next_statuses = "Deleting", ["Deleting", ""]
        return {}

    def do_listEndpointConfigs(self, arguments: dict[str, Any]) -> Any:
        return self._list("endpoint-config", "EndpointConfigs", "EndpointConfigName", arguments)

    def do_listModels(self, arguments: dict[str, Any]) -> Any:
        return self._list("model", "Models", "ModelName", arguments)

    def do_listTrainingJobs(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StatusEquals"] == "InProgress"
        return self._list("training-job", "TrainingJobSummaries", "TrainingJobName", arguments)

    def _list(self, kind: str, member: str, name: str, arguments: dict[str, Any]) -> Any:
        found = [{name: one} for one in self.things[kind] if arguments["NameContains"] in one]
        return _page(found, member, arguments)

    def do_listTags(self, arguments: dict[str, Any]) -> Any:
        kind, _, name = arguments["ResourceArn"].removeprefix(f"{ARN}:").partition("/")
        tags = {"project": "dogs"} | ({"kennel:stack": owner} if (owner := self.things[kind][name]) else {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def do_deleteEndpointConfig(self, arguments: dict[str, Any]) -> Any:
        assert not self.endpoint, "a living endpoint may run on it"
        del self.things["endpoint-config"][arguments["EndpointConfigName"]]
        return {}

    def do_deleteModel(self, arguments: dict[str, Any]) -> Any:
        assert not self.endpoint, "a living endpoint may run on it"
        del self.things["model"][arguments["ModelName"]]
        return {}

    def do_stopTrainingJob(self, arguments: dict[str, Any]) -> Any:
        del self.things["training-job"][arguments["TrainingJobName"]]
        return {}


def _page(found: list[Any], member: str, arguments: dict[str, Any]) -> Any:
    start = int(arguments.get("NextToken", 0))
    more = {"NextToken": str(start + PAGE)} if start + PAGE < len(found) else {}
    return {member: found[start : start + PAGE], **more}
