"""Updates of an endpoint that are watched: canary, linear and rolling, and back again; sixty times faster than AWS."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from local_aws import supervisor
from local_aws.processes import marked

from .conftest import LocalAws, Stage, build_stage, emulator, wait_for

ALL = "AllTraffic"


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An emulator of its own, in a hurry."""
    with emulator(tmp_path_factory.mktemp("guarded-aws"), LOCAL_AWS_TIME_FACTOR="60") as aws:
        yield build_stage(aws)


class Guarded:
    """An endpoint with requests on it all the time, every answer kept."""

    def __init__(self, stage: Stage, instances: int = 1, clients: int = 3) -> None:
        self.stage = stage
        self.client = stage.aws.client("sagemaker")
        self._others = 0
        self._others = self.processes()
        self.name = stage.endpoint(instances)
        self.answers: list[str] = []
        self.errors: list[Any] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        client = self.stage.aws.client("sagemaker-runtime")
        while not self._done.is_set():
            try:
                answer = client.invoke_endpoint(EndpointName=self.name, Body=b"x")
                self.answers.append(json.loads(answer["Body"].read())["version"])
            except Exception as error:
                self.errors.append(error)
            time.sleep(0.02)

    def candidate(self, instances: int = 1, **files: str) -> str:
        """Another model and its configuration; gives the configuration's name."""
        name = f"{self.name}-{uuid.uuid4().hex[:4]}"
        self.stage.model(name, **{"version.txt": "2", **files})
        self.stage.config(name, name, instances)
        return name

    def alarm(
        self, metric: str, statistic: str, threshold: float, *, missing: str = "notBreaching", **more: str
    ) -> str:
        """An alarm on a metric of this endpoint, judged every minute (a second here)."""
        name = f"{self.name}-{metric}"
        dimensions = {"EndpointName": self.name, "VariantName": ALL, **more}
        self.stage.aws.client("cloudwatch").put_metric_alarm(
            AlarmName=name, Namespace="AWS/SageMaker", MetricName=metric, Statistic=statistic, Period=60,
            EvaluationPeriods=1, Threshold=threshold, ComparisonOperator="GreaterThanThreshold",
            TreatMissingData=missing,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        )  # fmt: skip
        return name

    def update(self, config: str, deployment: dict[str, Any], **more: Any) -> None:
        """UpdateEndpoint."""
        self.client.update_endpoint(
            EndpointName=self.name, EndpointConfigName=config, DeploymentConfig=deployment, **more
        )

    def describe(self) -> dict[str, Any]:
        """DescribeEndpoint."""
        found: dict[str, Any] = self.client.describe_endpoint(EndpointName=self.name)
        return found

    def pending(self) -> dict[str, Any]:
        """The new variant while the update lasts, else nothing."""
        variants = self.describe().get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])
        return dict(variants[0])

    def baking(self, text: str) -> bool:
        """Whether the new fleet is baked now, with that capacity."""
        status = self.pending().get("VariantStatus", [{}])[0]
        return status.get("Status") == "Baking" and text in status["StatusMessage"]

    def settled(self, seconds: float = 30) -> dict[str, Any]:
        """The description once the update has ended, one way or the other; every status seen on the way is kept."""
        self.statuses: list[str] = []

        def ended() -> dict[str, Any] | None:
            found = self.describe()
            self.statuses.append(found["EndpointStatus"])
            return found if found["EndpointStatus"] in ("InService", "UpdateRollbackFailed", "Failed") else None

        found: dict[str, Any] = wait_for(ended, "the update's end", seconds)
        return found

    def share(self, seconds: float = 0.8) -> float:
        """The part of the answers that came from the new model in the next while."""
        before = len(self.answers)
        time.sleep(seconds)
        counted = Counter(self.answers[before:])
        return counted["2"] / counted.total()

    def processes(self) -> int:
        """Serving processes of the emulator, without those that were there before."""
        found = 0
        for process in marked(self.stage.aws.state):
            with contextlib.suppress(psutil.Error):  # it may end while it is looked at
                found += "serving" in process.cmdline()
        return found - self._others

    def stop(self) -> None:
        """No more requests."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def remove(self) -> None:
        """Ends requests and endpoint."""
        self.stop()
        self.client.delete_endpoint(EndpointName=self.name)
        waiter = self.client.get_waiter("endpoint_deleted")
        waiter.wait(EndpointName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        assert self.processes() == 0


def blue_green(kind: str, wait: int, final: int, alarms: tuple[str, ...] = (), **routing: Any) -> dict[str, Any]:
    """A DeploymentConfig; sixty of its seconds last one."""
    traffic = {"Type": kind, "WaitIntervalInSeconds": wait, **routing}
    config: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": final}
    }
    return config | watching(*alarms)


def rolling(wait: int, *alarms: str) -> dict[str, Any]:
    """A DeploymentConfig with batches of one instance."""
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait}} | watching(*alarms)


def watching(*alarms: str) -> dict[str, Any]:
    """The part of a DeploymentConfig that names alarms."""
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}} if alarms else {}


HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


def test_a_canary_gets_its_share_then_everything_and_no_request_is_lost(fast: Stage) -> None:
    guarded = Guarded(fast, instances=2)
    config = guarded.candidate(2)
    quiet = guarded.alarm("Invocation5XXErrors", "Sum", 0.0)

    guarded.update(config, blue_green("CANARY", 150, 60, (quiet,), CanarySize=HALF))
    wait_for(lambda: guarded.baking("canary capacity of 1 instance(s)"), "the canary")
    canary = guarded.describe()
    share = guarded.share()
    wait_for(lambda: guarded.baking("full capacity of 2 instance(s)"), "the final baking")
    final = guarded.share(0.5)
    both = guarded.processes()
    described = guarded.settled()

    assert canary["EndpointStatus"] == "Updating"
    assert canary["EndpointConfigName"] == guarded.name
    assert canary["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    pending = canary["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == config
    assert {key: pending["ProductionVariants"][0][key] for key in ("VariantName", "DesiredInstanceCount")} == {
        "VariantName": ALL,
        "DesiredInstanceCount": 2,
    }
    assert share == pytest.approx(0.5, abs=0.1)
    assert (final, both) == (1.0, 4)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", config)
    assert "PendingDeploymentSummary" not in described
    assert described["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == 60
    assert guarded.errors == []
    assert guarded.processes() == 2
    guarded.remove()


def test_linear_steps_follow_each_other(fast: Stage) -> None:
    guarded = Guarded(fast, instances=3)
    third = {"Type": "CAPACITY_PERCENT", "Value": 33}

    guarded.update(guarded.candidate(3), blue_green("LINEAR", 90, 0, LinearStepSize=third))
    shares = []
    for step in ("linear capacity of 1 ", "linear capacity of 2 "):
        wait_for(functools.partial(guarded.baking, step), step)
        shares.append(guarded.share(0.6))
    guarded.settled()

    assert shares == [pytest.approx(1 / 3, abs=0.1), pytest.approx(2 / 3, abs=0.1)]
    assert guarded.share(0.2) == 1.0
    assert guarded.errors == []
    guarded.remove()


def test_a_rolling_update_replaces_instance_by_instance(fast: Stage) -> None:
    guarded = Guarded(fast, instances=2)
    config = guarded.candidate(2)
    seen: set[int] = set()

    guarded.update(config, rolling(120))
    while guarded.describe()["EndpointStatus"] == "Updating":
        seen.add(guarded.processes())

    assert max(seen) == 3
    described = guarded.settled()
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", config)
    assert guarded.share(0.2) == 1.0
    assert guarded.errors == []
    guarded.remove()


def test_a_candidate_that_fails_is_rolled_back_by_its_alarm(fast: Stage) -> None:
    guarded = Guarded(fast, instances=2)
    config = guarded.candidate(2, status="500", slow="1.5")  # what it was asked last holds the roll-back up: it is seen
    alarm = guarded.alarm("Invocation5XXErrors", "Average", 0.1)

    guarded.update(config, blue_green("CANARY", 600, 600, (alarm,), CanarySize=HALF))
    described = guarded.settled()
    failed = len(guarded.errors)

    assert "RollingBack" in guarded.statuses
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", guarded.name)
    assert alarm in described["FailureReason"]
    assert {error.response["OriginalStatusCode"] for error in guarded.errors} == {500}
    assert guarded.share(0.3) == 0.0
    assert len(guarded.errors) == failed
    assert guarded.processes() == 2
    guarded.remove()


def test_a_candidate_that_is_slow_is_rolled_back_by_the_latency_of_its_own_configuration(fast: Stage) -> None:
    guarded = Guarded(fast)
    config = guarded.candidate(slow="0.3")
    alarm = guarded.alarm("ModelLatency", "Average", 200_000, EndpointConfigName=config)

    guarded.update(config, blue_green("ALL_AT_ONCE", 0, 600, (alarm,)))
    described = guarded.settled()

    assert described["EndpointConfigName"] == guarded.name
    assert guarded.errors == []
    guarded.remove()


def test_a_roll_back_that_fails_leaves_a_mixture_that_serves_until_the_next_update(fast: Stage, tmp_path: Path) -> None:
    # given an old model that cannot be started again
    mark = tmp_path / "mark"
    guarded = Guarded(fast)
    guarded.update(guarded.candidate(2, broken_if=str(mark), **{"version.txt": "1"}), {})
    old = guarded.settled()["EndpointConfigName"]
    alarm = guarded.alarm("ModelLatency", "Maximum", 60e6)

    # when the alarm goes off after the first old instance has gone, while the second batch bakes for five real seconds
    guarded.update(guarded.candidate(2), rolling(300, alarm))
    wait_for(lambda: guarded.baking("batch capacity of 2 "), "the second batch")
    mark.touch()
    fast.aws.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="test")
    described = guarded.settled()

    # then
    assert described["EndpointStatus"] == "UpdateRollbackFailed"
    assert described["EndpointConfigName"] == old
    assert "the model is broken" in described["FailureReason"]
    with pytest.raises(ClientError, match="mixture of configurations"):
        guarded.update(old, rolling(60))
    assert guarded.share(0.3) > 0
    last = guarded.candidate(1, **{"version.txt": "3"})
    guarded.client.update_endpoint(EndpointName=guarded.name, EndpointConfigName=last)
    assert guarded.settled()["EndpointConfigName"] == last
    assert guarded.processes() == 1
    assert guarded.errors == []
    guarded.remove()


def test_what_scaling_reached_and_the_last_deployment_are_retained_when_asked_for(fast: Stage) -> None:
    guarded = Guarded(fast, clients=1)
    wish = [{"VariantName": ALL, "DesiredInstanceCount": 2}]
    guarded.client.update_endpoint_weights_and_capacities(EndpointName=guarded.name, DesiredWeightsAndCapacities=wish)
    guarded.settled()

    guarded.update(guarded.candidate(1), blue_green("ALL_AT_ONCE", 0, 60), RetainAllVariantProperties=True)
    kept = guarded.settled()["ProductionVariants"][0]["DesiredInstanceCount"]
    guarded.client.update_endpoint(
        EndpointName=guarded.name, EndpointConfigName=guarded.candidate(1), RetainDeploymentConfig=True
    )
    wait_for(lambda: guarded.baking("Baking for 60 seconds (TerminationWaitInSeconds)"), "the same baking")
    given = guarded.settled()["ProductionVariants"][0]["DesiredInstanceCount"]

    assert (kept, given) == (2, 1)
    assert guarded.errors == []
    guarded.remove()


def test_what_cannot_be_followed_is_refused_before_anything_changes(fast: Stage) -> None:
    guarded = Guarded(fast, clients=1)
    config = guarded.candidate(2)
    tripped = guarded.alarm("OverheadLatency", "Average", -1.0, missing="breaching")  # whatever comes, or does not
    fast.aws.client("cloudwatch").set_alarm_state(AlarmName=tripped, StateValue="ALARM", StateReason="test")
    too_large = {"Type": "INSTANCE_COUNT", "Value": 2}
    cases = {
        "between 1% and 50%": blue_green("CANARY", 60, 0, CanarySize=too_large),
        "Only one of": blue_green("ALL_AT_ONCE", 0, 0) | rolling(60),
        r"Could not find the CloudWatch alarm\(s\) \[nobody\]": blue_green("ALL_AT_ONCE", 0, 60, ("nobody",)),
        "are in ALARM": blue_green("ALL_AT_ONCE", 0, 60, (tripped,)),
        "less than or equal to 3600": blue_green("ALL_AT_ONCE", 0, 3601),
    }
    for message, deployment in cases.items():
        with pytest.raises(ClientError, match=message) as caught:
            guarded.update(config, deployment)
        assert caught.value.response["Error"]["Code"] == "ValidationException"

    assert guarded.describe()["EndpointStatus"] == "InService"
    assert "LastDeploymentConfig" not in guarded.describe()
    guarded.remove()


def test_an_update_that_the_emulators_end_cuts_off_has_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_AWS_AUTOSAVE", "0.2")
    state = tmp_path / "aws"
    aws = LocalAws(state.resolve(), supervisor.up(state, 0))
    try:
        guarded = Guarded(build_stage(aws), clients=0)
        guarded.update(guarded.candidate(), blue_green("ALL_AT_ONCE", 0, 3600))
        wait_for(lambda: guarded.baking("full capacity"), "the baking")

        emulator = psutil.Process(aws.info["pid"])
        emulator.kill()
        emulator.wait()
        aws.info = supervisor.up(state, 0)

        guarded.client = aws.client("sagemaker")
        described = guarded.settled()
        assert described["EndpointConfigName"] == guarded.name
        assert "PendingDeploymentSummary" not in described
        assert guarded.processes() == 1
        guarded.remove()
    finally:
        supervisor.down(state)
    assert list(marked(state.resolve())) == []


def test_an_endpoint_that_goes_while_an_instance_is_restarted_leaves_no_process(fast: Stage) -> None:
    guarded = Guarded(fast, clients=0)
    answer = fast.aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=guarded.name, Body=b"x")
    psutil.Process(json.loads(answer["Body"].read())["pid"]).kill()
    time.sleep(0.05)

    guarded.remove()

    time.sleep(1)
    assert guarded.processes() == 0
