"""A small account for the teardown to act in: things with names and tags, listed in pages."""

from __future__ import annotations

from typing import Any

from tests.unit.account import Account
from tests.unit.asl_walker import TaskError
from tests.unit.plans import SAGEMAKER

PAGE = 2
OTHER_STACK = "kennel-dev"


class World(Account):
    """Answers the teardown's calls."""

    def __init__(self, **fail: Exception) -> None:
        super().__init__(**fail)
        self.runs: list[str] = []
        self.batches: list[str] = []
        self.targets: list[str] = []
        self.endpoint = ""  # its status; empty is none
        self.next_statuses: list[str] = []  # what it becomes, one a look
        # name -> owner by the tag kennel:stack; empty is no tag
        self.things: dict[str, dict[str, str]] = {
            kind: {}
            for kind in ("endpoint-config", "model", "training-job", "transform-job", "hyper-parameter-tuning-job")
        }
        self.packages: list[str] = []
        self.instances: list[str] = []

    def with_runs(self, *names: str) -> World:
        """What runs of these names have left: configurations and models, an endpoint, its scaling."""
        for kind in ("endpoint-config", "model"):
            self.things[kind] |= {f"kennel-{name}": "kennel" for name in names}
        self.endpoint = "InService"
        self.targets = ["endpoint/kennel/variant/primary"]
        self.packages = [f"{SAGEMAKER}:model-package/kennel/{number}" for number, _ in enumerate(names, 1)]
        return self

    def do_listExecutions(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StatusFilter"] == "RUNNING"
        found = self.batches if arguments["StateMachineArn"].endswith("-batch") else self.runs
        return {"Executions": [{"Name": name} for name in found]}

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
            raise TaskError("SageMaker.SageMakerException", f'Could not find endpoint "{SAGEMAKER}:endpoint/kennel".')
        return {"EndpointStatus": self.endpoint}

    def do_deleteEndpoint(self, _: Any) -> Any:
        assert not [name for name in self.targets if "/kennel/" in name], "scaling would go on ordering instances"
        self.endpoint, self.next_statuses = "Deleting", ["Deleting", ""]
        return {}

    def do_listEndpointConfigs(self, arguments: dict[str, Any]) -> Any:
        return self._list("endpoint-config", "EndpointConfigs", "EndpointConfigName", arguments)

    def do_listModels(self, arguments: dict[str, Any]) -> Any:
        return self._list("model", "Models", "ModelName", arguments)

    def do_listHyperParameterTuningJobs(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StatusEquals"] == "InProgress"
        kind = "HyperParameterTuningJob"
        return self._list("hyper-parameter-tuning-job", f"{kind}Summaries", f"{kind}Name", arguments)

    def do_listModelPackages(self, arguments: dict[str, Any]) -> Any:
        assert arguments["ModelPackageGroupName"] == "kennel"
        return _page([{"ModelPackageArn": arn} for arn in self.packages], "ModelPackageSummaryList", arguments)

    def do_describeInstances(self, arguments: dict[str, Any]) -> Any:
        assert arguments["Filters"][0] == {"Name": "tag:kennel:stack", "Values": ["kennel"]}
        found = [{"Instances": [{"InstanceId": one}]} for one in self.instances]
        return _page(found, "Reservations", arguments)

    def do_deleteModelPackage(self, arguments: dict[str, Any]) -> Any:
        self.packages.remove(arguments["ModelPackageName"])
        return {}

    def do_terminateInstances(self, arguments: dict[str, Any]) -> Any:
        for name in arguments["InstanceIds"]:
            self.instances.remove(name)
        return {}

    def do_stopHyperParameterTuningJob(self, arguments: dict[str, Any]) -> Any:
        del self.things["hyper-parameter-tuning-job"][arguments["HyperParameterTuningJobName"]]
        return {}

    def do_listTrainingJobs(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StatusEquals"] == "InProgress"
        return self._list("training-job", "TrainingJobSummaries", "TrainingJobName", arguments)

    def do_listTransformJobs(self, arguments: dict[str, Any]) -> Any:
        assert arguments["StatusEquals"] == "InProgress"
        return self._list("transform-job", "TransformJobSummaries", "TransformJobName", arguments)

    def _list(self, kind: str, member: str, name: str, arguments: dict[str, Any]) -> Any:
        found = [{name: one} for one in self.things[kind] if arguments["NameContains"] in one]
        return _page(found, member, arguments)

    def do_listTags(self, arguments: dict[str, Any]) -> Any:
        kind, _, name = arguments["ResourceArn"].removeprefix(f"{SAGEMAKER}:").partition("/")
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

    def do_stopTransformJob(self, arguments: dict[str, Any]) -> Any:
        del self.things["transform-job"][arguments["TransformJobName"]]
        return {}


def _page(found: list[Any], member: str, arguments: dict[str, Any]) -> Any:
    start = int(arguments.get("NextToken", 0))
    more = {"NextToken": str(start + PAGE)} if start + PAGE < len(found) else {}
    return {member: found[start : start + PAGE], **more}
