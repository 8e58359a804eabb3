"""Endpoints of the embedded AWS: create, invoke, update, break, delete."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from .conftest import Stage, wait_for


def invoke(stage: Stage, name: str, body: bytes = b"x", **more: Any) -> dict[str, Any]:
    """What the container said."""
    answer = stage.aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=body, **more)
    said: dict[str, Any] = json.loads(answer["Body"].read())
    return said


def delete(stage: Stage, name: str) -> None:
    """Deletes the endpoint and waits until it is gone."""
    client = stage.aws.client("sagemaker")
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def test_a_request_reaches_the_container_and_comes_back(stage: Stage) -> None:
    name = stage.endpoint()

    said = invoke(
        stage,
        name,
        b"bytes",
        ContentType="image/jpeg",
        Accept="application/json",
        CustomAttributes="top_k=5,logits=1",
        InferenceId="order-66",
    )

    pid = said.pop("pid")
    assert {name: value for name, value in said.items() if name not in ("connections", "batch")} == {
        "size": 5,
        "version": "1",
        "type": "image/jpeg",
        "accept": "application/json",
        "attributes": "top_k=5,logits=1",
        "id": "order-66",
        "greeting": "woof",
    }
    delete(stage, name)
    assert not psutil.pid_exists(pid)


def test_two_instances_take_turns(stage: Stage) -> None:
    name = stage.endpoint(instances=2)

    assert len({invoke(stage, name)["pid"] for _ in range(4)}) == 2
    delete(stage, name)


def test_what_the_container_refuses_is_a_model_error_with_its_own_words(stage: Stage) -> None:
    name = stage.endpoint()

    with pytest.raises(ClientError) as caught:
        invoke(stage, name, b"status:415")

    answer = caught.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 415
    assert json.loads(answer["OriginalMessage"]) == {"title": "as you wish"}
    assert f"/aws/sagemaker/Endpoints/{name}" in answer["LogStreamArn"]
    delete(stage, name)


def test_too_much_too_slow_and_unknown_are_told_apart(stage: Stage) -> None:
    name = stage.endpoint()

    with pytest.raises(ClientError, match="6291456"):
        invoke(stage, name, b"x" * 6_291_457)
    with pytest.raises(ClientError, match=r"server error \(0\).*timed out"):
        invoke(stage, name, b"sleep:30")
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint nobody of account 000000000000 not found"):
        invoke(stage, "nobody")
    delete(stage, name)


def test_a_killed_instance_is_replaced_and_no_request_is_answered_wrongly(stage: Stage) -> None:
    name = stage.endpoint(instances=2)
    victim = invoke(stage, name)["pid"]

    psutil.Process(victim).kill()
    pids = {invoke(stage, name)["pid"] for _ in range(20)}

    assert victim not in pids
    wait_for(lambda: len({invoke(stage, name)["pid"] for _ in range(4)}) == 2, "the second instance's successor")
    delete(stage, name)


def test_an_only_instance_that_dies_on_a_request_gives_a_clean_503_and_comes_back(stage: Stage) -> None:
    name = stage.endpoint()

    with pytest.raises(ClientError) as caught:
        invoke(stage, name, b"die")

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503

    def answers() -> bool:
        try:
            return bool(invoke(stage, name)["version"] == "1")
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
            return False

    wait_for(answers, "the instance's successor")
    delete(stage, name)


def test_an_update_loses_no_request(stage: Stage) -> None:
    name = stage.endpoint()
    stage.model(f"{name}-2", **{"version.txt": "2"})
    stage.config(f"{name}-2", f"{name}-2")
    seen: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            seen.append(invoke(stage, name)["version"])

    asking = threading.Thread(target=ask)
    asking.start()
    client = stage.aws.client("sagemaker")
    client.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-2")
    assert client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Updating"
    wait_for(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", "the update's end")
    time.sleep(0.2)
    done.set()
    asking.join()

    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ("1", "2")
    assert client.describe_endpoint(EndpointName=name)["EndpointConfigName"] == f"{name}-2"
    delete(stage, name)


def test_an_update_to_a_broken_model_keeps_the_old_one_serving(stage: Stage) -> None:
    name = stage.endpoint()
    stage.model(f"{name}-2", broken="yes")
    stage.config(f"{name}-2", f"{name}-2")
    client = stage.aws.client("sagemaker")

    client.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-2")

    wait_for(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", "the roll-back")
    described = client.describe_endpoint(EndpointName=name)
    assert described["EndpointConfigName"] == name
    assert "error: the model is broken" in described["FailureReason"]
    assert invoke(stage, name)["version"] == "1"
    delete(stage, name)


def test_a_model_that_cannot_start_fails_the_endpoint_with_its_reason(stage: Stage) -> None:
    name = f"e-{uuid.uuid4().hex[:8]}"
    stage.model(name, broken="yes")
    stage.config(name, name)
    client = stage.aws.client("sagemaker")

    client.create_endpoint(EndpointName=name, EndpointConfigName=name)

    wait_for(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Failed", "the failure")
    assert "did not pass the ping health check" in client.describe_endpoint(EndpointName=name)["FailureReason"]
    delete(stage, name)


def test_an_image_that_is_not_in_ecr_fails_the_endpoint(stage: Stage) -> None:
    name = f"e-{uuid.uuid4().hex[:8]}"
    client = stage.aws.client("sagemaker")
    container = {"Image": stage.image.replace(":v1", ":v0")}
    client.create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::000000000000:role/test"
    )
    stage.config(name, name)

    client.create_endpoint(EndpointName=name, EndpointConfigName=name)

    wait_for(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Failed", "the failure")
    assert "serving:v0' does not exist" in client.describe_endpoint(EndpointName=name)["FailureReason"]


def test_capacity_changes_really_start_and_stop_processes(stage: Stage) -> None:
    name = stage.endpoint()
    client = stage.aws.client("sagemaker")

    for count in (3, 1):
        wish = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
        client.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wish)
        wait_for(lambda: client.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService", "the resize")
        variant = client.describe_endpoint(EndpointName=name)["ProductionVariants"][0]
        assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (count, count)
        assert len({invoke(stage, name)["pid"] for _ in range(6)}) == count
    delete(stage, name)


def test_requests_are_counted_in_cloudwatch(stage: Stage) -> None:
    name = stage.endpoint()
    for _ in range(3):
        invoke(stage, name)
    with pytest.raises(ClientError):
        invoke(stage, name, b"status:400")
    dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def total(metric: str) -> float:
        now = time.time()
        found = stage.aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=metric, Dimensions=dimensions,
            StartTime=now - 600, EndTime=now + 60, Period=60, Statistics=["Sum", "SampleCount"],
        )  # fmt: skip
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    assert total("Invocations") == 4
    assert total("Invocation4XXErrors") == 1
    assert total("ModelLatency") > 0
    delete(stage, name)


def test_names_that_are_not_there_are_named(stage: Stage) -> None:
    client = stage.aws.client("sagemaker")
    calls: dict[str, Callable[[], Any]] = {
        'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/gone"': lambda: (
            client.describe_endpoint(EndpointName="gone")
        ),
        'Could not find endpoint configuration "': lambda: client.delete_endpoint_config(EndpointConfigName="gone"),
        'Could not find model "': lambda: client.describe_model(ModelName="gone"),
        "Requested resource not found": lambda: client.describe_training_job(TrainingJobName="gone"),
    }
    for message, call in calls.items():
        with pytest.raises(ClientError, match=message) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_tags_follow_the_resource(stage: Stage) -> None:
    client = stage.aws.client("sagemaker")
    name = f"m-{uuid.uuid4().hex[:8]}"
    stage.model(name)
    arn = client.describe_model(ModelName=name)["ModelArn"]

    client.add_tags(ResourceArn=arn, Tags=[{"Key": "kennel:run", "Value": "one"}, {"Key": "b", "Value": "2"}])
    client.delete_tags(ResourceArn=arn, TagKeys=["b"])

    assert client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "kennel:run", "Value": "one"}]
    client.delete_model(ModelName=name)
    assert client.list_tags(ResourceArn=arn)["Tags"] == []
