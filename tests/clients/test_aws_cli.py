"""The AWS CLI, command by command, as a person types it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import ROLE, wait_for

from .conftest import Clients, fresh

NO_MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:none"
MACHINE = {"StartAt": "Say", "States": {"Say": {"Type": "Pass", "Result": {"said": "woof"}, "End": True}}}


@pytest.fixture(scope="module")
def endpoint(clients: Clients) -> str:
    return clients.stage.endpoint()


def test_a_training_job_from_a_file_waited_for_and_described_with_a_query(clients: Clients, tmp_path: Path) -> None:
    name = fresh("cli")
    request = tmp_path / "job.json"
    request.write_text(json.dumps(clients.stage.job(name)))

    made = clients.aws_json("sagemaker", "create-training-job", "--cli-input-json", f"file://{request}")
    # The CLI looks once a minute, so it is asked when the job has ended.
    waiter = clients.stage.aws.client("sagemaker").get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    clients.aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name)
    query = "[TrainingJobStatus, FinalMetricDataList[0].MetricName]"
    said = clients.aws(
        "sagemaker", "describe-training-job", "--training-job-name", name, "--query", query, "--output", "text"
    )

    assert made["TrainingJobArn"].endswith(f":training-job/{name}")
    assert said.split() == ["Completed", "validation:accuracy"]
    lines = clients.aws_json(
        *("logs", "filter-log-events", "--log-group-name", "/aws/sagemaker/TrainingJobs", "--page-size", "2"),
        *("--log-stream-name-prefix", f"{name}/", "--query", "events[].message"),
    )
    assert len([line for line in lines if "metric validation:accuracy" in line]) == 3


def test_wait_fails_with_255_on_a_failed_job(clients: Clients) -> None:
    name = fresh("cli")
    client = clients.stage.aws.client("sagemaker")
    client.create_training_job(**clients.stage.job(name, mode="fail"))
    with pytest.raises(Exception, match="terminal failure"):
        client.get_waiter("training_job_completed_or_stopped").wait(
            TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    done = clients.run("aws", "sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name)

    assert done.returncode == 255
    assert "terminal failure state" in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sagemaker", "describe-training-job", "--training-job-name", "nobody"], ["ValidationException", "not found"]),
        (["sagemaker", "list-pipelines"], ["NotImplementedException", "COVERAGE.md"]),
        (["s3", "ls", "s3://no-such-bucket-here"], ["NoSuchBucket"]),
        (["stepfunctions", "describe-state-machine", "--state-machine-arn", NO_MACHINE], ["StateMachineDoesNotExist"]),
    ],
    ids=["job", "not-here", "bucket", "machine"],
)
def test_a_wrong_name_ends_with_the_services_own_error(clients: Clients, command: list[str], words: list[str]) -> None:
    done = clients.run("aws", *command)

    assert done.returncode != 0
    assert [word for word in words if word not in done.stderr] == []


def test_pagination_flags_walk_a_list(clients: Clients) -> None:
    for _ in range(3):
        clients.stage.model(name := fresh("paged"))

    first = clients.aws_json(
        "sagemaker", "list-models", "--name-contains", "paged", "--page-size", "1", "--max-items", "2"
    )
    rest = clients.aws_json(
        "sagemaker", "list-models", "--name-contains", "paged", "--starting-token", first["NextToken"]
    )

    names = [one["ModelName"] for one in first["Models"] + rest["Models"]]
    assert len(first["Models"]) == 2
    assert len(names) == len(set(names)) == 3
    assert name in names


def test_s3_sync_copies_what_changed_and_deletes_what_is_gone(clients: Clients, tmp_path: Path) -> None:
    bucket = fresh("sync")
    clients.aws("s3", "mb", f"s3://{bucket}")
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.txt").write_text("1")
    (tmp_path / "deep" / "große Hunde & co.txt").write_text("2")

    first = clients.aws("s3", "sync", str(tmp_path), f"s3://{bucket}/in/")
    again = clients.aws("s3", "sync", str(tmp_path), f"s3://{bucket}/in/")
    (tmp_path / "one.txt").unlink()
    gone = clients.aws("s3", "sync", str(tmp_path), f"s3://{bucket}/in/", "--delete")
    clients.aws("s3", "sync", f"s3://{bucket}/in/", str(tmp_path / "back"))

    assert (first.count("upload:"), again, gone.count("delete:")) == (2, "", 1)
    assert (tmp_path / "back" / "deep" / "große Hunde & co.txt").read_text() == "2"


def test_a_large_file_goes_up_in_parts_and_comes_back_whole(clients: Clients, tmp_path: Path) -> None:
    bucket = fresh("parts")
    clients.aws("s3", "mb", f"s3://{bucket}")
    source, back = tmp_path / "large", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 4096 * 20)

    clients.aws("s3", "cp", str(source), f"s3://{bucket}/large")
    clients.aws("s3", "cp", f"s3://{bucket}/large", str(back))

    assert back.read_bytes() == source.read_bytes()
    size = clients.aws(
        "s3api", "head-object", "--bucket", bucket, "--key", "large", "--query", "ContentLength", "--output", "text"
    )
    assert int(size) == source.stat().st_size


def test_invoke_endpoint_writes_the_answer_to_a_file(clients: Clients, endpoint: str, tmp_path: Path) -> None:
    body, answer = tmp_path / "body", tmp_path / "answer.json"
    body.write_bytes(b"\x00picture")

    said = clients.aws_json(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", endpoint, "--body", f"fileb://{body}"),
        *("--content-type", "image/jpeg", "--custom-attributes", "top=3", str(answer)),
    )

    assert said["InvokedProductionVariant"] == "AllTraffic"
    heard = json.loads(answer.read_text())
    assert (heard["size"], heard["type"], heard["attributes"]) == (8, "image/jpeg", "top=3")


def test_a_containers_error_is_a_model_error(clients: Clients, endpoint: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("status:415:")

    done = clients.run(
        *("aws", "sagemaker-runtime", "invoke-endpoint", "--endpoint-name", endpoint, "--body", f"fileb://{body}"),
        str(tmp_path / "answer"),
    )

    assert done.returncode != 0
    assert "(ModelError)" in done.stderr
    assert "415" in done.stderr


def test_metrics_of_an_endpoint_are_read_back(clients: Clients, endpoint: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("x")
    target = ("--endpoint-name", endpoint, "--body", f"fileb://{body}")
    clients.aws("sagemaker-runtime", "invoke-endpoint", *target, str(tmp_path / "answer"))
    now = datetime.now(UTC)

    def invocations() -> float:
        found = clients.aws_json(
            *("cloudwatch", "get-metric-statistics", "--namespace", "AWS/SageMaker", "--metric-name", "Invocations"),
            *("--dimensions", f"Name=EndpointName,Value={endpoint}", "Name=VariantName,Value=AllTraffic"),
            *("--start-time", (now - timedelta(minutes=5)).isoformat()),
            *("--end-time", (now + timedelta(minutes=5)).isoformat()),
            *("--period", "60", "--statistics", "Sum"),
        )
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    assert invocations() >= 1


def test_a_variant_is_made_scalable_and_given_back(clients: Clients, endpoint: str, tmp_path: Path) -> None:
    target = (
        *("--service-namespace", "sagemaker", "--resource-id", f"endpoint/{endpoint}/variant/AllTraffic"),
        *("--scalable-dimension", "sagemaker:variant:DesiredInstanceCount"),
    )
    policy = tmp_path / "policy.json"
    predefined = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    policy.write_text(json.dumps({"TargetValue": 70.0, "PredefinedMetricSpecification": predefined}))
    scaling = "application-autoscaling"

    clients.aws(scaling, "register-scalable-target", *target, "--min-capacity", "1", "--max-capacity", "2")
    put = clients.aws_json(
        *(scaling, "put-scaling-policy", *target, "--policy-name", "follow", "--policy-type", "TargetTrackingScaling"),
        *("--target-tracking-scaling-policy-configuration", f"file://{policy}"),
    )
    query = ("--service-namespace", "sagemaker", "--query", "ScalableTargets[].MaxCapacity")
    seen = clients.aws_json(scaling, "describe-scalable-targets", *query)
    alarms = clients.aws_json(
        "cloudwatch", "describe-alarms", "--alarm-names", *(alarm["AlarmName"] for alarm in put["Alarms"])
    )
    clients.aws(scaling, "deregister-scalable-target", *target)

    assert seen == [2]
    assert len(alarms["MetricAlarms"]) == 2


def test_an_execution_is_started_and_described(clients: Clients) -> None:
    made = clients.aws_json(
        *("stepfunctions", "create-state-machine", "--name", fresh("say"), "--role-arn", ROLE),
        *("--definition", json.dumps(MACHINE)),
    )

    started = clients.aws_json(
        "stepfunctions", "start-execution", "--state-machine-arn", made["stateMachineArn"], "--input", "{}"
    )

    def described() -> Any:
        return clients.aws_json("stepfunctions", "describe-execution", "--execution-arn", started["executionArn"])

    wait_for(lambda: described()["status"] != "RUNNING", "the execution's end")
    ended = described()
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"]) == {"said": "woof"}


def test_instances_are_listed(clients: Clients) -> None:
    assert clients.aws_json("ec2", "describe-instances", "--query", "Reservations[].Instances[].InstanceId") == []
