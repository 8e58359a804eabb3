"""Serverless endpoints of the embedded AWS: workers come with requests, and go when there are none."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from local_aws.processes import marked

from .conftest import Stage, build_stage, emulator, wait_for


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An emulator of its own, where five minutes without a request are over in three seconds."""
    with emulator(tmp_path_factory.mktemp("serverless-aws"), LOCAL_AWS_TIME_FACTOR="100") as aws:
        yield build_stage(aws)


class Serverless:
    """A serverless endpoint."""

    def __init__(self, stage: Stage, concurrency: int, **more: Any) -> None:
        self.stage = stage
        self.client = stage.aws.client("sagemaker")
        self.runtime = stage.aws.client("sagemaker-runtime", max_pool_connections=20)
        self.name = f"s-{uuid.uuid4().hex[:8]}"
        self.settings = {"MemorySizeInMB": 2048, "MaxConcurrency": concurrency, **more}
        stage.model(self.name, **{"version.txt": "1"})
        self.config(self.name, self.settings)
        self.client.create_endpoint(EndpointName=self.name, EndpointConfigName=self.name)
        self.settled()

    def config(self, name: str, settings: dict[str, Any], **more: Any) -> None:
        """A serverless configuration of the endpoint's model."""
        variant = {"VariantName": "AllTraffic", "ModelName": self.name, "ServerlessConfig": settings, **more}
        self.client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])

    def settled(self) -> dict[str, Any]:
        """The description once it is in service."""

        def there() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client.describe_endpoint(EndpointName=self.name)
            assert found["EndpointStatus"] != "Failed", found["FailureReason"]
            return found if found["EndpointStatus"] == "InService" else None

        found: dict[str, Any] = wait_for(there, "the endpoint")
        return found

    def ask(self, body: bytes = b"x") -> int | str:
        """The worker's process, or the error's code."""
        try:
            answer = self.runtime.invoke_endpoint(EndpointName=self.name, Body=body)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return int(json.loads(answer["Body"].read())["pid"])

    def together(self, count: int, body: bytes = b"sleep:1") -> list[int | str]:
        """The answers to as many requests at once."""
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(self.ask, [body] * count))

    def workers(self) -> int:
        """Serving processes of the emulator."""
        found = 0
        for process in marked(self.stage.aws.state):
            with contextlib.suppress(psutil.Error):  # it may end while it is looked at
                found += "serving" in process.cmdline()
        return found

    def remove(self) -> None:
        """Deletes the endpoint; nothing of it runs then."""
        self.client.delete_endpoint(EndpointName=self.name)
        waiter = self.client.get_waiter("endpoint_deleted")
        waiter.wait(EndpointName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        assert self.workers() == 0


def test_every_request_at_once_has_a_worker_and_those_too_many_are_throttled(fast: Stage) -> None:
    endpoint = Serverless(fast, 2)

    answers = endpoint.together(3)

    counted = Counter("worker" if isinstance(one, int) else one for one in answers)
    assert counted == {"worker": 2, "ThrottlingException": 1}
    assert len({one for one in answers if isinstance(one, int)}) == 2
    with pytest.raises(ClientError) as caught, ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(endpoint.ask, b"sleep:1") for _ in range(2)]
        time.sleep(0.3)
        endpoint.runtime.invoke_endpoint(EndpointName=endpoint.name, Body=b"x")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert all(isinstance(one.result(), int) for one in slow)
    endpoint.remove()


def test_idle_workers_go_and_the_next_request_starts_one(fast: Stage) -> None:
    endpoint = Serverless(fast, 5)
    first = endpoint.ask()

    wait_for(lambda: endpoint.workers() == 0, "no worker")
    second = endpoint.ask()

    assert isinstance(first, int)
    assert isinstance(second, int)
    assert first != second
    assert endpoint.settled()["ProductionVariants"][0]["CurrentServerlessConfig"] == endpoint.settings
    found = fast.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName="ModelSetupTime", Statistics=["SampleCount", "Average"], Period=60,
        StartTime=time.time() - 600, EndTime=time.time() + 60,
        Dimensions=[{"Name": "EndpointName", "Value": endpoint.name}, {"Name": "VariantName", "Value": "AllTraffic"}],
    )["Datapoints"]  # fmt: skip
    assert sum(point["SampleCount"] for point in found) == 1
    assert found[0]["Average"] > 10_000
    endpoint.remove()


def test_provisioned_workers_stay_and_a_dead_one_is_replaced(fast: Stage) -> None:
    endpoint = Serverless(fast, 5, ProvisionedConcurrency=2)
    assert endpoint.workers() == 2

    endpoint.together(3)
    wait_for(lambda: endpoint.workers() == 2, "two workers")
    victim = endpoint.ask()
    assert isinstance(victim, int)
    killed = psutil.Process(victim)
    killed.kill()
    killed.wait(5)
    assert endpoint.ask() not in (victim, "ServiceUnavailable")
    wait_for(lambda: endpoint.workers() == 2, "two workers again")
    wish = [{"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 3}}]
    endpoint.client.update_endpoint_weights_and_capacities(EndpointName=endpoint.name, DesiredWeightsAndCapacities=wish)
    variant = endpoint.settled()["ProductionVariants"][0]

    assert variant["CurrentServerlessConfig"]["ProvisionedConcurrency"] == 3
    wait_for(lambda: endpoint.workers() == 3, "three workers")
    endpoint.remove()


def test_what_serverless_endpoints_cannot_do_is_refused(fast: Stage) -> None:
    endpoint = Serverless(fast, 1)
    settings = endpoint.settings
    cases: dict[str, dict[str, Any]] = {
        "InstanceType must not be set": {"InstanceType": "ml.m5.large"},
        "MemorySizeInMB must be one of": {"ServerlessConfig": settings | {"MemorySizeInMB": 1500}},
        "must not be larger than MaxConcurrency": {"ServerlessConfig": settings | {"ProvisionedConcurrency": 2}},
        "less than or equal to 200": {"ServerlessConfig": settings | {"MaxConcurrency": 201}},
    }
    for message, members in cases.items():
        with pytest.raises(ClientError, match=message):
            endpoint.config("never", settings, **members)
    with pytest.raises(ClientError, match="DesiredInstanceCount cannot be set"):
        endpoint.client.update_endpoint_weights_and_capacities(
            EndpointName=endpoint.name,
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
        )
    with pytest.raises(ClientError, match="4194304"):
        endpoint.runtime.invoke_endpoint(EndpointName=endpoint.name, Body=b"x" * 4_194_305)
    endpoint.remove()


def test_serverless_becomes_instances_without_losing_a_request_and_not_the_other_way(fast: Stage) -> None:
    endpoint = Serverless(fast, 5)
    other = f"{endpoint.name}-i"
    fast.config(other, endpoint.name)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(endpoint.ask, b"sleep:1")
        time.sleep(0.2)
        endpoint.client.update_endpoint(EndpointName=endpoint.name, EndpointConfigName=other)
        described = endpoint.settled()

    assert isinstance(slow.result(), int)
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    assert isinstance(endpoint.ask(), int)
    with pytest.raises(ClientError, match="Cannot update an instance-based endpoint to a serverless endpoint"):
        endpoint.client.update_endpoint(EndpointName=endpoint.name, EndpointConfigName=endpoint.name)
    endpoint.remove()
