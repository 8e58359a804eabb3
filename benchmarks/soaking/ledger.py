"""What the embedded AWS has acknowledged, written down after each answer, and whether it is still there."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.soaking.world import World, patient

EVERY_SECONDS = 2.0
OLDER_ONES = 40  # of the older objects, parameters and executions are looked at after each restart; all at the end
PARAMETERS = 50
STATUSES = {"RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}
GROUP, STREAM, NAMESPACE, PREFIX = "soak", "ledger", "Soak", "soak"


@dataclass
class Ledger:
    """Writes a little of everything every two seconds, and keeps what was answered for."""

    world: World
    objects: dict[str, str | None] = field(default_factory=dict)  # key -> SHA-256, None where it was deleted
    versions: dict[tuple[str, str], str] = field(default_factory=dict)  # key, version -> SHA-256
    parameters: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    points: list[float] = field(default_factory=list)
    executions: dict[str, str] = field(default_factory=dict)  # ARN -> RUNNING, or how it was told to have ended
    results: set[tuple[str, str]] = field(default_factory=set)  # what runs are told to have made: a kind and its name
    refused: int = 0
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = ("s3", "ssm", "logs", "cloudwatch", "stepfunctions", "sagemaker")
        self._clients = {name: boto3.client(name) for name in names}
        self._random = random.Random(f"{self.world.seed}-ledger")
        self._lock = threading.Lock()  # nothing is written while it is checked
        self._rounds = 0
        self._checked: set[Any] = set()
        logs = self._clients["logs"]
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)

    def run(self) -> None:
        """Writes until the soak is over."""
        while not self.world.over.wait(EVERY_SECONDS):
            with self._lock:
                self._rounds += 1
                for write in (self._object, self._parameter, self._line, self._point):
                    try:
                        write(self._rounds)
                    except (BotoCoreError, ClientError):  # not acknowledged
                        self.refused += 1

    def _object(self, number: int) -> None:
        """A new object, or now and then another version of one, or its end."""
        s3, bucket = self._clients["s3"], self.world.stack.data_bucket
        key = f"{PREFIX}/{number}"
        if number % 5 == 0:
            key = f"{PREFIX}/{number - 1}"
        if number % 9 == 0 and self.objects.get(f"{PREFIX}/{number - 2}"):
            key = f"{PREFIX}/{number - 2}"
            self.objects.pop(key)  # if this fails, both may be
            s3.delete_object(Bucket=bucket, Key=key)
            self.objects[key] = None
            return
        body = self._random.randbytes(20_000)
        digest = hashlib.sha256(body).hexdigest()
        self.objects.pop(key, None)
        version = s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
        self.objects[key] = self.versions[key, version] = digest

    def _parameter(self, number: int) -> None:
        name = f"/{PREFIX}/{number % PARAMETERS}"
        self.parameters.pop(name, None)
        self._clients["ssm"].put_parameter(Name=name, Value=str(number), Type="String", Overwrite=True)
        self.parameters[name] = str(number)

    def _line(self, number: int) -> None:
        line = f"line {number}"
        event = {"timestamp": int(time.time() * 1000), "message": line}
        self._clients["logs"].put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=[event])
        self.lines.append(line)

    def _point(self, number: int) -> None:
        datum = {"MetricName": "rounds", "Value": float(number)}
        self._clients["cloudwatch"].put_metric_data(Namespace=NAMESPACE, MetricData=[datum])
        self.points.append(float(number))

    # What others have been told

    def started(self, execution: str) -> None:
        """StartExecution was answered."""
        self.executions[execution] = "RUNNING"

    def ended(self, execution: str, status: str, output: dict[str, Any]) -> None:
        """DescribeExecution told the end of an execution, and what it has made."""
        self.executions[execution] = status
        if output.get("model_package"):
            self.results.add(("model package", output["model_package"]))
        self.results |= {("object", output[name]) for name in ("model_data", "report") if output.get(name)}

    @property
    def acknowledged(self) -> int:
        """How many things were acknowledged so far."""
        kept = (self.objects, self.versions, self.parameters, self.lines, self.points, self.executions, self.results)
        return sum(len(one) for one in kept)

    # Whether it is there

    def check(self, *, everything: bool = False) -> list[str]:
        """What is not there any more, or is another; new things and some of the older ones, or `everything`."""
        with self._lock:
            lost: list[str] = []
            for kind, look in (("object", self._lost_objects), ("version", self._lost_versions)):
                lost += [f"{kind} {one}" for one in look(everything)]
            lost += self._lost_parameters()
            lost += self._lost_lines()
            lost += self._lost_points()
            lost += self._lost_executions(everything)
            lost += self._lost_results(everything)
        self.lost += lost
        for one in lost:
            self.world.say(f"LOST: {one}")
        return lost

    def _some(self, keys: list[Any], everything: bool) -> list[Any]:
        """Those that were never looked at, and some of the others."""
        fresh = [key for key in keys if key not in self._checked]
        older = [key for key in keys if key in self._checked]
        self._checked.update(fresh)
        return keys if everything else fresh + self._random.sample(older, min(OLDER_ONES, len(older)))

    def _lost_objects(self, everything: bool) -> list[str]:
        return [key for key in self._some(list(self.objects), everything) if self._digest(Key=key) != self.objects[key]]

    def _lost_versions(self, everything: bool) -> list[str]:
        return [
            f"{key} {version}"
            for key, version in self._some(list(self.versions), everything)
            if self._digest(Key=key, VersionId=version) != self.versions[key, version]
        ]

    def _digest(self, **place: str) -> str | None:
        try:
            found = patient(lambda: self._clients["s3"].get_object(Bucket=self.world.stack.data_bucket, **place))
        except ClientError:
            return None
        return hashlib.sha256(found["Body"].read()).hexdigest()

    def _lost_parameters(self) -> list[str]:
        pages = self._clients["ssm"].get_paginator("get_parameters_by_path")
        found = patient(
            lambda: {
                one["Name"]: one["Value"] for page in pages.paginate(Path=f"/{PREFIX}") for one in page["Parameters"]
            }
        )
        return [f"parameter {name}" for name, value in self.parameters.items() if found.get(name) != value]

    def _lost_lines(self) -> list[str]:
        pages = self._clients["logs"].get_paginator("filter_log_events")
        found = patient(
            lambda: {one["message"] for page in pages.paginate(logGroupName=GROUP) for one in page["events"]}
        )
        return [f"log line '{line}'" for line in self.lines if line not in found]

    def _lost_points(self) -> list[str]:
        if not self.points:
            return []
        now = time.time()
        asked = {"Namespace": NAMESPACE, "MetricName": "rounds", "Period": 86_400, "Statistics": ["Sum", "SampleCount"]}
        found = patient(
            lambda: self._clients["cloudwatch"].get_metric_statistics(StartTime=now - 86_400, EndTime=now + 60, **asked)
        )["Datapoints"]
        count, total = sum(one["SampleCount"] for one in found), sum(one["Sum"] for one in found)
        # One that was written and not answered for may be there, too.
        short = count < len(self.points) or total < sum(self.points)
        return [f"points of a metric: {count:.0f} of {len(self.points)} are there"] if short else []

    def _lost_executions(self, everything: bool) -> list[str]:
        told = {arn: self.executions[arn] for arn in self._some(list(self.executions), everything)}
        now = {arn: self._status(arn) for arn in told}
        return [
            f"execution {arn} was {told[arn]} and is {now[arn]}"
            for arn in told
            if now[arn] != told[arn] and not (told[arn] == "RUNNING" and now[arn] in STATUSES)
        ]

    def _status(self, execution: str) -> str:
        client = self._clients["stepfunctions"]
        try:
            return str(patient(lambda: client.describe_execution(executionArn=execution))["status"])
        except ClientError as error:
            return str(error)

    def _lost_results(self, everything: bool) -> list[str]:
        return [
            f"{kind} {name}" for kind, name in self._some(sorted(self.results), everything) if not self._is(kind, name)
        ]

    def _is(self, kind: str, name: str) -> bool:
        bucket, _, key = name.removeprefix("s3://").partition("/")
        try:
            if kind == "object":
                patient(lambda: self._clients["s3"].head_object(Bucket=bucket, Key=key))
            else:
                patient(lambda: self._clients["sagemaker"].describe_model_package(ModelPackageName=name))
        except ClientError:
            return False
        return True
