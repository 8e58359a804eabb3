"""Runs of the pipeline on SageMaker: the first, an update, the searches, approval, and deployments that are undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from tests.functional.conftest import came
from tests.functional.failures.quick import PROGRAMS

from .paths import Path, a_run, logged, nothing_serves, serving, traced, unique
from .world import SCALING, World, told

SEARCH = {
    "tune": {
        "strategy": "random",
        "trials": 2,
        "parallel": 2,
        "ranges": {"learning_rate": {"minimum": 0.001, "maximum": 0.01}},
    }
}

JOB_LOGS = "/aws/sagemaker/TrainingJobs"
# Longer than the two seconds (of the embedded AWS) between two looks at the folder of checkpoints.
REPLACES_A_CHECKPOINT = """
import os, pathlib, time
checkpoints = pathlib.Path(os.environ["SM_CHECKPOINT_DIR"])
(checkpoints / "older").write_text("1")
time.sleep(2.5)
(checkpoints / "older").unlink()
(checkpoints / "newest").write_text("2")
"""


def delete_images(world: World) -> None:
    """The next run has to build its image."""
    repository = world.physical("ServingRepository")
    images = world.client("ecr").list_images(repositoryName=repository)["imageIds"]
    if images:
        world.client("ecr").batch_delete_image(repositoryName=repository, imageIds=images)


def _nothing_yet(world: World) -> None:
    """As in an account in which the stack has just been deployed."""
    nothing_serves(world)
    delete_images(world)
    world.quick.forget_features()
    world.delete_service_role(SCALING)
    with suppress(ClientError):  # it is gone
        world.client("logs").delete_log_group(logGroupName=JOB_LOGS)


def _checkpointed(world: World) -> str:
    """A run that replaces a checkpoint: what the job deletes in its folder goes from S3."""
    run, bucket = unique("checkpoint"), world.quick.stack.artifact_bucket
    program = (PROGRAMS / "training" / "train.py").read_text()
    world.quick.behave(files={"training/train.py": f"{REPLACES_A_CHECKPOINT}\n{program}"})
    broke = told(world.quick.run({"run": run}))
    left = world.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"checkpoints/{run}").get("Contents", [])
    names = [one["Key"].rpartition("/")[2] for one in left]
    return broke or ("" if names == ["newest"] else f"the checkpoints are {names}")


def _with_metrics(world: World) -> str:
    run = unique("measured")
    broke = told(world.quick.run({"run": run}))
    (job,) = world.client("sagemaker").list_training_jobs(NameContains=f"{run}-")["TrainingJobSummaries"][:1]
    name = job["TrainingJobName"]
    asked = {"Namespace": "/aws/sagemaker/TrainingJobs", "Dimensions": [{"Name": "TrainingJobName", "Value": name}]}
    found = came(lambda: world.client("cloudwatch").list_metrics(**asked)["Metrics"], 1.0)
    return broke or ("" if found else "no metrics")


def _endpoint_metrics(world: World) -> str:
    """The embedded AWS has no metrics of an endpoint's instances, but asks for the right to write them."""
    broke = a_run("watched")(world)
    denied = ("ServingRole", "cloudwatch:PutMetricData") in world.denied()
    return broke or ("no metrics of the endpoint's instances" if denied else "")


def _job_log(world: World) -> str:
    run = unique("heard")
    broke = told(world.quick.run({"run": run}))
    asked = {"logGroupName": JOB_LOGS, "logStreamNamePrefix": f"{world.name}-{run}"}
    heard = came(lambda: world.client("logs").describe_log_streams(**asked)["logStreams"], 1.0)
    return broke or ("" if heard else "no log")


def _approval(settings: dict[str, object], answer: str) -> Callable[[World], str]:
    """A run that waits for a person. With no answer it ends, and rejects the package itself."""

    def walk(world: World) -> str:
        client = world.client("sagemaker")
        waiting = {"ModelPackageGroupName": world.name, "ModelApprovalStatus": "PendingManualApproval"}

        def packages() -> Any:
            return client.list_model_packages(**waiting)["ModelPackageSummaryList"]

        execution = world.quick.start({"run": unique("asked"), "approve": "manual", **settings})
        came(lambda: packages() or not world.runs(execution), 30.0)
        for package in packages() if answer else ():
            client.update_model_package(ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus=answer)
        outcome = world.quick.ended(execution)
        if answer:
            return told(outcome)
        return "" if outcome.error == "TimedOut" and not packages() else f"not rejected; {told(outcome)}"

    return walk


def _undone(files: dict[str, str]) -> Callable[[World], str]:
    """A deployment whose model does not work: it fails, what was before is again, and nothing of it is left."""

    def walk(world: World) -> str:
        before = world.quick.serving()
        world.quick.behave({"train": {"files": files}})
        outcome = world.quick.run({"run": unique("undone")})
        left, after = world.quick.left_running(), world.quick.serving()
        if outcome.status == "FAILED" and not left and after == before:
            return ""
        return f"not undone: {told(outcome)}; left: {left}; serving: {after}, before: {before}"

    return walk


FIRST = Path("the first run", a_run("first"), _nothing_yet)
BUILD_LOG = Path("the image build's log", logged("ImageBuildLogs", a_run("built")), delete_images)
UPDATE = Path("a run that updates", a_run("update"), serving)
SEARCHED = Path("a run with a search by SageMaker", a_run("search", SEARCH), serving)
EMBEDDED = Path("a run with a search in one job", a_run("embedded", {"tune": {"strategy": "embedded", "trials": 2}}))
MULTI = Path("a run on two instances", a_run("multi", {"train": {"mode": "multi", "instances": 2}}))
APPROVED = Path("a run that a person approves", _approval({}, "Approved"), serving)
UNANSWERED = Path("a run that nobody approves", _approval({"approve_within_hours": 1}, ""), serving)
UNDONE_FIRST = Path("a first deployment that fails", _undone({"broken": "1"}), nothing_serves)
UNDONE_UPDATE = Path("an update that fails", _undone({"status": "500"}), serving)
CHECKPOINTED = Path("a run that replaces a checkpoint", _checkpointed, serving)
PLAN_LOG = Path("the validating function's log", logged("ValidateRunLogs", a_run("planned")))
JOB_LOG = Path("a job's log", _job_log)
JOB_METRICS = Path("a job's metrics", _with_metrics)
ENDPOINT_LOG = Path("the endpoint's log", logged("EndpointLogs", a_run("served")))
ENDPOINT_METRICS = Path("the metrics of the endpoint's instances", _endpoint_metrics)
TRACED = Path("a run's traces", traced(a_run("traced")))
