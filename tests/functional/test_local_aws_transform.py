"""Transform jobs of the embedded AWS: objects through a real serving process, answers in S3."""

from __future__ import annotations

import json
import uuid
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from . import machines
from .conftest import Stage, wait_for
from .test_local_aws_jobs import keys

ENDED = ("Completed", "Failed", "Stopped")


def request(stage: Stage, model: str, **changes: Any) -> dict[str, Any]:
    """A right CreateTransformJob request over everything under the job's own prefix."""
    name = f"tr-{uuid.uuid4().hex[:8]}"
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{stage.bucket}/in/{name}/"}
    return {
        "TransformJobName": name,
        "ModelName": model,
        "BatchStrategy": "SingleRecord",
        "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "image/jpeg", "SplitType": "None"},
        "TransformOutput": {"S3OutputPath": f"s3://{stage.bucket}/out/{name}", "Accept": "application/json"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


def start(stage: Stage, asked: dict[str, Any], *bodies: bytes) -> str:
    """Puts `bodies` as 0, folder/1, folder/2, ... under the job's prefix and starts it."""
    name: str = asked["TransformJobName"]
    for number, body in enumerate(bodies):
        key = f"in/{name}/{'folder/' if number else ''}{number}"
        stage.aws.client("s3").put_object(Bucket=stage.bucket, Key=key, Body=body)
    stage.aws.client("sagemaker").create_transform_job(**asked)
    return name


def described(stage: Stage, name: str) -> dict[str, Any]:
    """The transform job as it is now."""
    found: dict[str, Any] = stage.aws.client("sagemaker").describe_transform_job(TransformJobName=name)
    return found


def ended(stage: Stage, name: str) -> dict[str, Any]:
    """The transform job once it has ended."""
    wait_for(lambda: described(stage, name)["TransformJobStatus"] in ENDED, f"the end of {name}")
    return described(stage, name)


def answer(stage: Stage, name: str, key: str) -> dict[str, Any]:
    """The container's answer to one object."""
    body = stage.aws.client("s3").get_object(Bucket=stage.bucket, Key=f"out/{name}/{key}.out")["Body"].read()
    found: dict[str, Any] = json.loads(body)
    return found


def data_log(stage: Stage, name: str) -> str:
    """What the job says of objects that were not transformed."""
    found = stage.aws.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=f"{name}/"
    )
    return "\n".join(one["message"] for one in found["events"] if one["logStreamName"].endswith("/data-log"))


@pytest.fixture(scope="module")
def model(stage: Stage) -> str:
    """A model to transform with."""
    stage.model("batch", **{"version.txt": "1"})
    return "batch"


def test_every_object_is_answered_by_one_process_that_ends_with_the_job(stage: Stage, model: str) -> None:
    name = start(stage, request(stage, model, Environment={"GREETING": "hello"}), b"one", b"three", b"sleep:0.1")

    job = ended(stage, name)

    assert job["TransformJobStatus"] == "Completed"
    assert job["TransformEndTime"] >= job["TransformStartTime"] >= job["CreationTime"]
    assert keys(stage, f"out/{name}/") == ["0.out", "folder/1.out", "folder/2.out"]
    answers = [answer(stage, name, key) for key in ("0", "folder/1", "folder/2")]
    assert [one["size"] for one in answers] == [3, 5, 9]
    assert {(one["type"], one["accept"], one["greeting"]) for one in answers} == {
        ("image/jpeg", "application/json", "hello")
    }
    assert answers[0]["batch"] == {"SAGEMAKER_BATCH": "true", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD"}
    (process,) = {one["pid"] for one in answers}
    assert not psutil.pid_exists(process)


def test_of_a_manifest_only_what_it_lists_is_answered_by_its_name(stage: Stage, model: str) -> None:
    asked = request(stage, model)
    folder = f"in/{asked['TransformJobName']}/"
    listed = json.dumps([{"prefix": f"s3://{stage.bucket}/{folder}"}, "folder/2", "0"])
    stage.aws.client("s3").put_object(Bucket=stage.bucket, Key=f"lists/{folder}", Body=listed)
    source = {"S3DataType": "ManifestFile", "S3Uri": f"s3://{stage.bucket}/lists/{folder}"}
    asked["TransformInput"]["DataSource"]["S3DataSource"] = source

    name = start(stage, asked, b"0", b"not listed", b"22")

    assert ended(stage, name)["TransformJobStatus"] == "Completed"
    assert keys(stage, f"out/{name}/") == ["0.out", "folder/2.out"]
    assert answer(stage, name, "folder/2")["size"] == 2


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("no JSON", "cannot be understood"),
        ('["0"]', "cannot be understood"),
        ('[{"prefix": "s3://stage/in/"}]', "lists no objects"),
        ('[{"prefix": "s3://stage/in/"}, "gone"]', "NoSuchKey"),
    ],
)
def test_a_manifest_that_leads_to_nothing_fails_the_job(stage: Stage, model: str, listed: str, reason: str) -> None:
    asked = request(stage, model)
    key = f"lists/{asked['TransformJobName']}"
    stage.aws.client("s3").put_object(Bucket=stage.bucket, Key=key, Body=listed)
    source = {"S3DataType": "ManifestFile", "S3Uri": f"s3://{stage.bucket}/{key}"}
    asked["TransformInput"]["DataSource"]["S3DataSource"] = source

    job = ended(stage, start(stage, asked))

    assert job["TransformJobStatus"] == "Failed" and reason in job["FailureReason"]


def test_what_the_job_leaves_open_the_containers_execution_parameters_say(stage: Stage) -> None:
    # given a container that takes four requests at once, and objects of a megabyte
    stage.model("batch-parameters", parameters='{"MaxConcurrentTransforms": 4, "MaxPayloadInMB": 1}')
    asked = request(stage, "batch-parameters")
    # when one object is larger
    name = start(stage, asked, *[b"sleep:0.5"] * 4, b"x" * 1024 * 1025)
    # then it alone is refused, and the others have been asked side by side
    ended(stage, name)
    assert "larger than MaxPayloadInMB=1" in data_log(stage, name)
    assert answer(stage, name, "folder/3")["connections"] >= 4
    assert keys(stage, f"out/{name}/") == ["0.out", *(f"folder/{number}.out" for number in range(1, 4))]


def test_a_key_keeps_its_name_whatever_is_in_it(stage: Stage, model: str) -> None:
    asked, odd = request(stage, model), "ein Hund+50%20 #1?schön.jpg"
    key = f"in/{asked['TransformJobName']}/{odd}"
    stage.aws.client("s3").put_object(Bucket=stage.bucket, Key=key, Body=b"dog")

    name = start(stage, asked)

    assert ended(stage, name)["TransformJobStatus"] == "Completed"
    assert keys(stage, f"out/{name}/") == [f"{odd}.out"]


def test_requests_run_side_by_side_on_as_many_instances_as_asked_for(stage: Stage, model: str) -> None:
    asked = request(stage, model, MaxConcurrentTransforms=2, MaxPayloadInMB=1)
    asked["TransformResources"]["InstanceCount"] = 2

    name = start(stage, asked, *[b"sleep:0.5"] * 8)

    assert ended(stage, name)["TransformJobStatus"] == "Completed"
    found = [answer(stage, name, f"folder/{number}")["pid"] for number in range(1, 8)]
    assert len(set(found)) == 2


@pytest.mark.parametrize(
    ("bad", "reason", "said"),
    [
        (b"status:400", "ClientError: See job logs for more information", "ClientError: 400 Message"),
        (b"status:500", "AlgorithmError: See job logs for more information", "AlgorithmError: 500 Message"),
        (b"x" * 1024 * 1025, "ClientError: See job logs for more information", "larger than MaxPayloadInMB=1"),
        (b"die", "AlgorithmError: See job logs for more information", "closed the connection"),
    ],
)
def test_an_object_that_fails_fails_the_job_and_is_named_in_its_log(
    stage: Stage, model: str, bad: bytes, reason: str, said: str
) -> None:
    name = start(stage, request(stage, model, MaxPayloadInMB=1), b"good", bad)

    job = ended(stage, name)

    assert (job["TransformJobStatus"], job["FailureReason"]) == ("Failed", reason)
    assert keys(stage, f"out/{name}/") == ["0.out"]
    assert f"{stage.bucket}/in/{name}/folder/1: " in data_log(stage, name)
    assert said in data_log(stage, name)


def test_a_model_that_does_not_come_up_fails_the_job(stage: Stage) -> None:
    stage.model("batch-broken", **{"broken": "1"})

    job = ended(stage, start(stage, request(stage, "batch-broken"), b"one"))

    assert job["TransformJobStatus"] == "Failed"
    assert "ping health check" in job["FailureReason"]
    assert "the model is broken" in job["FailureReason"]


def test_no_objects_fail_the_job_and_say_where_it_looked(stage: Stage, model: str) -> None:
    job = ended(stage, start(stage, request(stage, model)))

    assert job["FailureReason"].startswith("ClientError: Data download failed:No S3 objects found")


def test_stop_ends_a_job_and_its_process(stage: Stage, model: str) -> None:
    client = stage.aws.client("sagemaker")
    name = start(stage, request(stage, model), b"one", b"sleep:30")
    wait_for(lambda: keys(stage, f"out/{name}/") == ["0.out"], "the first answer")

    client.stop_transform_job(TransformJobName=name)

    assert ended(stage, name)["TransformJobStatus"] == "Stopped"
    assert not psutil.pid_exists(answer(stage, name, "0")["pid"])
    with pytest.raises(ClientError, match="is in status Stopped"):
        client.stop_transform_job(TransformJobName=name)


def test_a_transform_state_waits_and_gives_the_description(stage: Stage, model: str) -> None:
    asked = request(stage, model)
    stage.aws.client("s3").put_object(Bucket=stage.bucket, Key=f"in/{asked['TransformJobName']}/0", Body=b"one")
    resource = "arn:aws:states:::sagemaker:createTransformJob.sync"

    done = machines.run(stage, {"Score": {"Type": "Task", "Resource": resource, "Arguments": asked, "End": True}})

    output = json.loads(done["output"])
    assert (output["TransformJobName"], output["TransformJobStatus"]) == (asked["TransformJobName"], "Completed")
    assert answer(stage, asked["TransformJobName"], "0")["size"] == 3


def test_transform_jobs_are_listed_and_a_name_is_taken_once(stage: Stage, model: str) -> None:
    client = stage.aws.client("sagemaker")
    asked = request(stage, model)
    name = start(stage, asked, b"one")
    ended(stage, name)

    (listed,) = client.list_transform_jobs(NameContains=name)["TransformJobSummaries"]

    assert (listed["TransformJobName"], listed["TransformJobStatus"]) == (name, "Completed")
    with pytest.raises(client.exceptions.ResourceInUse, match="already exists"):
        client.create_transform_job(**asked)
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.describe_transform_job(TransformJobName="gone")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ModelName": "gone"}, "Could not find model"),
        ({"MaxConcurrentTransforms": 20, "MaxPayloadInMB": 6}, "must not exceed 100 MB"),
        ({"DataProcessing": {"JoinSource": "Input"}}, r"DataProcessing.*COVERAGE\.md"),
        ({"TransformOutput": {"S3OutputPath": "s3://stage/out", "AssembleWith": "Line"}}, "takes None only"),
    ],
)
def test_a_wrong_or_unsupported_request_is_refused(
    stage: Stage, model: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        stage.aws.client("sagemaker").create_transform_job(**request(stage, model, **changes))
