"""A small world for the pipeline to act in: an image registry, a bucket, jobs that end at once, nested executions."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.account import Account
from tests.unit.asl_walker import TaskError
from tests.unit.plans import make_plan

TRIALS = [
    {
        "TrainingJobName": f"kennel-1a2b3c4d-00{number}-aaaa",
        "TunedHyperParameters": {"learning_rate": rate},
        "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "validation:loss", "Value": loss},
        "TrainingJobStatus": status,
        "TrainingStartTime": "2026-11-20T10:00:00Z",
        "TrainingEndTime": "2026-11-20T10:00:07Z",
    }
    for number, (rate, loss, status) in enumerate(
        [("0.9", 0.1, "Stopped"), ("0.004", 0.2, "Completed"), ("0.001", 0.3, "Completed")]
    )
]
FIGURES = {
    "run": "first-1a2b3c4d",
    "split": "test",
    "pictures": 40,
    "accuracy": 0.95,
    "top5": 1.0,
    "calibration_error": 0.04,
    "incumbent": None,
}
MISSING = TaskError("SageMaker.SageMakerException", 'Could not find endpoint "arn:aws:sagemaker:::endpoint/kennel".')


class World(Account):
    """Answers the pipeline's calls; in `fail` a training job is known by its name in the plan, `job` or `evaluate`."""

    def __init__(self, run_input: dict[str, Any] | None = None, weights: str | None = None, /, **fail: Any) -> None:
        super().__init__(**fail)
        self.plan = make_plan(run_input, weights)
        self.image = True
        self.serving = False
        self.figures: dict[str, Any] = FIGURES
        self.objects: dict[str, Any] = {}

    def known_as(self, call: str, arguments: dict[str, Any]) -> str:
        step = {self.plan["names"][job]: job for job in ("features", "tune", "evaluate", "job")}
        return step.get(arguments.get("TrainingJobName", ""), call) if ":createTrainingJob" in call else call

    def job(self, name: str) -> dict[str, Any]:
        wanted = self.plan["names"][name]
        return next(a for made, a in self.requests if "Training" in made and a.get("TrainingJobName") == wanted)

    def channels(self, name: str) -> dict[str, str]:
        return {
            one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in self.job(name)["InputDataConfig"]
        }

    def do_invoke(self, _: Any) -> Any:
        return {"Payload": self.plan}

    def do_describeImages(self, _: Any) -> Any:
        if not self.image:
            raise TaskError("Ecr.ImageNotFoundException", "not there")
        return {"ImageDetails": [{}]}

    def do_startBuild(self, _: Any) -> Any:
        times = {"StartTime": 1763632800000, "EndTime": 1763632800000 + 61_000}
        return {"Build": {"Id": "build:1", "BuildStatus": "SUCCEEDED", **times}}

    def do_getObject(self, arguments: dict[str, Any]) -> Any:
        if arguments["Key"] not in self.objects:
            raise TaskError("S3.NoSuchKeyException", "The specified key does not exist.")
        return {"Body": json.dumps(self.objects[arguments["Key"]])}

    def do_putObject(self, arguments: dict[str, Any]) -> Any:
        self.objects[arguments["Key"]] = arguments["Body"]
        return {}

    def do_createTrainingJob(self, arguments: dict[str, Any]) -> Any:
        output = f"{arguments['OutputDataConfig']['S3OutputPath']}{arguments['TrainingJobName']}/output/"
        whole = arguments["OutputDataConfig"].get("CompressionType") == "NONE"
        artifact = f"{output}model/" if whole else f"{output}model.tar.gz"
        prefix = artifact.removeprefix("s3://artifacts/")
        self.objects[f"{prefix}figures.json"] = self.figures
        self.objects[f"{prefix}trials.json"] = {"best": {"values": {"learning_rate": "0.007"}}}
        return {
            "ModelArtifacts": {"S3ModelArtifacts": artifact},
            "TrainingTimeInSeconds": 42,
            "BillableTimeInSeconds": 12 if arguments.get("EnableManagedSpotTraining") else 42,
            "FinalMetricDataList": [{"MetricName": "validation:accuracy", "Value": 0.96, "Timestamp": 1}],
        }

    def do_createHyperParameterTuningJob(self, _: Any) -> Any:
        return {"ConsumedResources": {"RuntimeInSeconds": 99}}

    def do_listTrainingJobsForHyperParameterTuningJob(self, _: Any) -> Any:
        return {"TrainingJobSummaries": TRIALS}

    def do_describeEndpoint(self, _: Any) -> Any:
        if not self.serving:
            raise MISSING
        return {"EndpointConfigName": "kennel-old", "EndpointStatus": "InService"}

    def do_describeEndpointConfig(self, _: Any) -> Any:
        return {"ProductionVariants": [{"ModelName": "kennel-old"}]}

    def do_describeModel(self, _: Any) -> Any:
        return {"PrimaryContainer": {"ModelDataUrl": "s3://artifacts/runs/old/model.tar.gz"}}

    def do_createModelPackage(self, _: Any) -> Any:
        return {"ModelPackageArn": "arn:aws:sagemaker:us-east-1:000000000000:model-package/kennel/1"}

    def do_describeModelPackage(self, _: Any) -> Any:
        return {"ModelApprovalStatus": "PendingManualApproval"}

    def do_startExecution(self, arguments: dict[str, Any]) -> Any:
        if "train-on-ec2" in arguments["StateMachineArn"]:
            uri = "s3://artifacts/runs/ec2/model.tar.gz"
            return {"Output": {"model_data": uri, "seconds": 30, "metrics": {"validation:accuracy": 0.9}}}
        return {"Output": {"run": self.plan["run"], "endpoint": "kennel", "replaced": ""}}

    def do_stopTrainingJob(self, _: Any) -> Any:
        return {}

    def do_stopHyperParameterTuningJob(self, _: Any) -> Any:
        return {}

    def do_updateModelPackage(self, _: Any) -> Any:
        return {}
