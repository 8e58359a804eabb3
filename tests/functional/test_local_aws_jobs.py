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
    output = artifact(stage, f"s3://stage/runs/{job['TrainingJobName']}/output/output.tar.gz")
    first, second = json.loads(output["algo-1.json"]), json.loads(output["algo-2.json"])
    assert first["hosts"] == second["hosts"] == ["algo-1", "algo-2"]
    assert first["master"] == second["master"]
    assert (first["names"], second["names"]) == (["0.jpg", "2.jpg"], ["1.jpg", "3.jpg"])


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
    with pytest.raises(ClientError, match=r"CreateTransformJob.*COVERAGE\.md"):
        stage.aws.client("sagemaker", parameter_validation=False).create_transform_job()


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
