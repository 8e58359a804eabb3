"""Batches: one that is answered, one that a person stops, and their logs."""

from __future__ import annotations

from contextlib import suppress

from botocore.exceptions import ClientError

from tests.functional.conftest import came

from .paths import Path, logged, serving, traced, unique
from .world import World

LOGS = "/aws/sagemaker/TransformJobs"


def _batch(world: World) -> str:
    """Asks about the two pictures of the test split."""
    return world.execute("Batch", {"pictures": f"s3://{world.quick.stack.data_bucket}/dogImages/test/"})


def jobs(world: World) -> bool:
    """Whether a transform job runs."""
    return bool(world.client("sagemaker").list_transform_jobs(StatusEquals="InProgress")["TransformJobSummaries"])


def hanging(world: World) -> str:
    """A folder with a picture that the quick container never answers."""
    bucket, folder = world.quick.stack.data_bucket, unique("hangs")
    world.client("s3").put_object(Bucket=bucket, Key=f"{folder}/0.jpg", Body=b"sleep:600")
    return f"s3://{bucket}/{folder}/"


def _aborted(world: World) -> str:
    """A batch that is stopped while its job runs: the job ends with it."""
    client = world.client("stepfunctions")
    given = f'{{"pictures": "{hanging(world)}"}}'
    execution = client.start_execution(stateMachineArn=world.machine("Batch"), input=given)["executionArn"]
    assert came(lambda: jobs(world), 20.0), "the job never began"
    client.stop_execution(executionArn=execution)
    return "" if came(lambda: not jobs(world), 10.0) else "the job goes on"


def _no_log_yet(world: World) -> None:
    """As in an account in which no transform job has run."""
    serving(world)
    with suppress(ClientError):  # it is gone
        world.client("logs").delete_log_group(logGroupName=LOGS)


def _job_log(world: World) -> str:
    broke = _batch(world)
    (newest, *_) = world.client("sagemaker").list_transform_jobs()["TransformJobSummaries"]
    asked = {"logGroupName": LOGS, "logStreamNamePrefix": f"{newest['TransformJobName']}/"}
    try:
        heard = came(lambda: world.client("logs").describe_log_streams(**asked)["logStreams"], 1.0)
    except ClientError:
        heard = False
    return broke or ("" if heard else "no log")


ANSWERED = Path("a batch", _batch, serving)
ABORTED = Path("a batch aborted in its job", _aborted, serving)
TRACED = Path("a batch's traces", traced(_batch), serving)
PLAN_LOG = Path("the planning function's log", logged("PlanBatchLogs", _batch), serving)
COLLECT_LOG = Path("the collecting function's log", logged("CollectBatchLogs", _batch), serving)
JOB_LOG = Path("a transform job's log", _job_log, _no_log_yet)
