"""Training jobs of the embedded AWS, as boto3 sees them."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Stage, wait_for

ENDED = ("Completed", "Failed", "Stopped")


def ended(stage: Stage, name: str) -> dict[str, Any]:
    """The description of the job once it has ended."""
    client = stage.aws.client("sagemaker")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
        return found if found["TrainingJobStatus"] in ENDED else None

    found: dict[str, Any] = wait_for(look, f"the end of {name}")
    return found


def run(stage: Stage, **changes: Any) -> dict[str, Any]:
    """Runs a job to its end."""
    name = f"job-{uuid.uuid4().hex[:8]}"
    stage.aws.client("sagemaker").create_training_job(**stage.job(name, **changes))
    return ended(stage, name)


def lines(stage: Stage, job: str) -> list[str]:
    """What the job printed."""
    client = stage.aws.client("logs")
    found = client.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/")
    return [event["message"] for event in found["events"]]


def artifact(stage: Stage, uri: str) -> dict[str, bytes]:
    """The files of a .tar.gz in S3."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data = stage.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            member.name: stream.read()
            for member in archive.getmembers()
            if (stream := archive.extractfile(member)) is not None
        }


def test_a_good_job_runs_the_script_and_leaves_model_metrics_and_log(stage: Stage) -> None:
    job = run(stage)

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert [(one["MetricName"], round(one["Value"], 3)) for one in job["FinalMetricDataList"]] == [
        ("validation:accuracy", 0.8)
    ]
    name = job["TrainingJobName"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://stage/runs/{name}/output/model.tar.gz"
    assert artifact(stage, job["ModelArtifacts"]["S3ModelArtifacts"])["version.txt"] == b"1"
    assert 'files: ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]' in lines(stage, name)
    assert job["BillableTimeInSeconds"] >= 1


def test_two_instances_share_hosts_and_master_and_shard_the_data(stage: Stage) -> None:
    job = stage.job(f"job-{uuid.uuid4().hex[:8]}")
    job["ResourceConfig"]["InstanceCount"] = 2
    job["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    stage.aws.client("sagemaker").create_training_job(**job)

    assert ended(stage, job["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    done = ended(stage, job["TrainingJobName"])
    assert done["BillableTimeInSeconds"] == done["TrainingTimeInSeconds"]  # of one instance: AWS bills it twice
    output = artifact(stage, f"s3://stage/runs/{job['TrainingJobName']}/output/output.tar.gz")
    first, second = json.loads(output["algo-1.json"]), json.loads(output["algo-2.json"])
    assert first["hosts"] == second["hosts"] == ["algo-1", "algo-2"]
    assert first["master"] == second["master"]
    assert (first["names"], second["names"]) == (["0.jpg", "2.jpg"], ["1.jpg", "3.jpg"])


def keys(stage: Stage, prefix: str) -> list[str]:
    """What of the stage's bucket begins with `prefix`, without it."""
    found = stage.aws.client("s3").list_objects_v2(Bucket=stage.bucket, Prefix=prefix).get("Contents", [])
    return [one["Key"].removeprefix(prefix) for one in found]


def test_an_uncompressed_model_lies_under_a_prefix_file_by_file(stage: Stage) -> None:
    job = run(stage, OutputDataConfig={"S3OutputPath": f"s3://{stage.bucket}/plain/", "CompressionType": "NONE"})

    name = job["TrainingJobName"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{stage.bucket}/plain/{name}/output/model/"
    assert keys(stage, f"plain/{name}/output/") == ["data/algo-1.json", "model/version.txt"]


def test_checkpoints_come_down_go_up_while_the_script_runs_and_follow_what_it_deletes(stage: Stage) -> None:
    client, s3 = stage.aws.client("sagemaker"), stage.aws.client("s3")
    name = f"job-{uuid.uuid4().hex[:8]}"
    prefix = f"checkpoints/{name}/"
    for key in ("old", "kept"):
        s3.put_object(Bucket=stage.bucket, Key=prefix + key, Body=b"1")
    s3.put_object(Bucket=stage.bucket, Key=f"checkpoints/{name}-other/not-ours", Body=b"1")
    where = {"S3Uri": f"s3://{stage.bucket}/{prefix.rstrip('/')}"}

    client.create_training_job(**stage.job(name, mode="checkpoint", CheckpointConfig=where))

    wait_for(lambda: keys(stage, prefix) == ["deep/new", "kept"], "the checkpoint of a running job")
    assert client.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"
    client.stop_training_job(TrainingJobName=name)
    ended(stage, name)
    assert 'found: ["kept", "old"]' in lines(stage, name)
    # What the script wrote when it was told to end is there, too.
    assert keys(stage, prefix) == ["deep/new", "kept", "last"]


def test_hosts_share_the_prefix_of_their_checkpoints(stage: Stage) -> None:
    job = stage.job(f"job-{uuid.uuid4().hex[:8]}", mode="checkpoint-once")
    job["ResourceConfig"]["InstanceCount"] = 2
    job["CheckpointConfig"] = {"S3Uri": f"s3://{stage.bucket}/shared", "LocalPath": "/opt/ml/elsewhere"}
    stage.aws.client("sagemaker").create_training_job(**job)

    assert ended(stage, job["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    assert keys(stage, "shared/") == ["algo-1", "algo-2"]


def test_one_failing_host_ends_the_others_and_is_the_one_to_tell(stage: Stage) -> None:
    job = stage.job(f"job-{uuid.uuid4().hex[:8]}", mode="fail-second")
    job["ResourceConfig"]["InstanceCount"] = 2
    stage.aws.client("sagemaker").create_training_job(**job)

    done = ended(stage, job["TrainingJobName"])

    assert (done["TrainingJobStatus"], done["SecondaryStatus"]) == ("Failed", "Failed")
    assert 'ErrorMessage "error: algo-2 is broken"' in done["FailureReason"]


def distributed(stage: Stage, mode: str) -> str:
    """Starts a job of two hosts under torchrun."""
    job = stage.job(f"job-{uuid.uuid4().hex[:8]}")
    job["ResourceConfig"]["InstanceCount"] = 2
    job["HyperParameters"] = {
        **job["HyperParameters"],
        "mode": mode,
        "sagemaker_program": "training/distributed.py",
        "sagemaker_torch_distributed_enabled": "true",
    }
    stage.aws.client("sagemaker").create_training_job(**job)
    name: str = job["TrainingJobName"]
    return name


def described(stage: Stage, name: str, seconds: float = 60) -> dict[str, Any]:
    """The description of a slow job once it has ended."""
    client = stage.aws.client("sagemaker")
    wait_for(
        lambda: client.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] in ENDED, f"{name}", seconds
    )
    found: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
    return found


@pytest.mark.slow
def test_torchrun_joins_the_hosts_into_one_world(stage: Stage) -> None:
    name = distributed(stage, "good")

    assert described(stage, name)["TrainingJobStatus"] == "Completed"
    told = sorted(json.loads(line.removeprefix("world: ")) for line in lines(stage, name) if line.startswith("world: "))
    assert [one[:4] for one in told] == [["algo-1", 0, 2, 3.0], ["algo-2", 1, 2, 3.0]]
    assert told[0][4] == told[1][4] == "127.0.0.1"


@pytest.mark.slow
def test_a_host_that_fails_under_torchrun_ends_the_other_with_its_own_words(stage: Stage) -> None:
    done = described(stage, distributed(stage, "fail"))

    assert done["TrainingJobStatus"] == "Failed"
    assert 'ErrorMessage "error: rank 1 has no data"' in done["FailureReason"]


@pytest.mark.slow
def test_stop_ends_all_hosts_under_torchrun(stage: Stage) -> None:
    name = distributed(stage, "wait")
    wait_for(lambda: any(line.startswith("world") for line in lines(stage, name)), "the scripts' start", 60)

    stage.aws.client("sagemaker").stop_training_job(TrainingJobName=name)

    assert described(stage, name)["SecondaryStatus"] == "Stopped"


def test_a_warm_pool_is_taken_note_of_and_ends_with_the_job(stage: Stage) -> None:
    job = stage.job(f"job-{uuid.uuid4().hex[:8]}")
    job["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 600
    stage.aws.client("sagemaker").create_training_job(**job)

    assert ended(stage, job["TrainingJobName"])["WarmPoolStatus"]["Status"] == "Terminated"


def test_a_failing_script_gives_its_last_words_as_the_reason(stage: Stage) -> None:
    job = run(stage, mode="fail")

    assert job["TrainingJobStatus"] == "Failed"
    reason = 'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "error: the data is no good"'
    assert job["FailureReason"].startswith(reason)


def test_missing_data_fails_the_job_and_says_where_it_looked(stage: Stage) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://stage/nothing/"}}
    job = run(stage, InputDataConfig=[{"ChannelName": "training", "DataSource": source}])

    assert job["TrainingJobStatus"] == "Failed"
    assert "s3://stage/nothing/" in job["FailureReason"]


@pytest.mark.parametrize("mode", ["wait", "stubborn"])
def test_stop_ends_the_process_even_one_that_ignores_sigterm(stage: Stage, mode: str) -> None:
    client = stage.aws.client("sagemaker")
    name = f"job-{uuid.uuid4().hex[:8]}"
    client.create_training_job(**stage.job(name, mode=mode))
    wait_for(
        lambda: (
            client.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"
            and "waiting" in lines(stage, name)
        ),
        "the script's start",
    )

    client.stop_training_job(TrainingJobName=name)

    job = ended(stage, name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    with pytest.raises(ClientError, match="is in status Stopped"):
        client.stop_training_job(TrainingJobName=name)


def test_the_time_limit_really_ends_the_job(stage: Stage) -> None:
    job = run(stage, mode="wait", StoppingCondition={"MaxRuntimeInSeconds": 1})

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_name_is_taken_once(stage: Stage) -> None:
    name = run(stage)["TrainingJobName"]
    client = stage.aws.client("sagemaker")

    with pytest.raises(client.exceptions.ResourceInUse, match="already exists"):
        client.create_training_job(**stage.job(name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TrainingJobName": "under_score"}, "regular expression pattern"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "greater than or equal to 1"),
        ({"HyperParameters": {"epochs": "1"}}, "sagemaker_program"),
        ({"ResourceConfig": {"InstanceType": "ml.tiny", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "enum value set"),
    ],
)
def test_a_wrong_request_is_refused_as_on_aws(stage: Stage, change: dict[str, Any], message: str) -> None:
    client = stage.aws.client("sagemaker", parameter_validation=False)

    with pytest.raises(ClientError, match=message) as caught:
        client.create_training_job(**{**stage.job("refused"), **change})

    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_an_operation_that_is_not_there_is_refused_loudly(stage: Stage) -> None:
    with pytest.raises(ClientError, match=r"CreateProcessingJob.*COVERAGE\.md"):
        stage.aws.client("sagemaker", parameter_validation=False).create_processing_job()


def test_a_service_that_is_not_there_is_refused_loudly(stage: Stage) -> None:
    with pytest.raises(ClientError, match=r"glacier is not there.*COVERAGE\.md"):
        stage.aws.client("glacier").list_vaults()


def test_jobs_are_listed_by_name_and_page(stage: Stage) -> None:
    names = {run(stage)["TrainingJobName"] for _ in range(2)}
    client = stage.aws.client("sagemaker")

    pages = client.get_paginator("list_training_jobs").paginate(
        StatusEquals="Completed", PaginationConfig={"PageSize": 1}
    )

    assert names <= {job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]}
