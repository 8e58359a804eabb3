"""The deployed stack with quick programs in the place of training and serving, and what a test asks of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.exceptions import ClientError

from tests.functional.conftest import BUNDLE, packed, wait_for
from tools import local_stack, pipeline
from tools.stack import Stack

from . import remains

PROGRAMS = Path(__file__).parents[1] / "fixtures" / "quick"
REAL = ("training/ec2_bootstrap.sh", "training/ec2_tools.py")  # so that an instance trains as it really does
Behaviour = Mapping[str, Mapping[str, object]]


@dataclass
class Quick:
    """`stack`, deployed; `picture` is one that it may be asked about.

    `run` sets `last` to the execution's ARN. Runs take `rollout_wait_seconds` 0 unless they say otherwise.
    """

    stack: Stack
    picture: bytes
    last: str = ""
    _known: set[str] = field(default_factory=set)
    _off: list[tuple[str, str, str]] = field(default_factory=list)

    # --- what a test sets up ---------------------------------------------------------------------------------------

    def behave(
        self, behaviour: Behaviour | None = None, files: Mapping[str, str] | None = None, lacks: str = ""
    ) -> None:
        """From now on programs do this (see fixtures/quick/training/behaviour.py); None: nothing special.

        `files` are others of the code bundle, or more; `lacks` is one that it is to be without.
        """
        own = {"training/behaviour.json": json.dumps(behaviour or {}), "requirements.txt": ""}
        bundle = {**self._programs, **own, **(files or {})}
        bundle.pop(lacks, None)
        bucket, key = self.code
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=packed(None, **bundle))

    def program(self, name: str) -> str:
        """A file of the code bundle, as it is when nothing special is wanted."""
        return self._programs[name]

    @cached_property
    def _programs(self) -> dict[str, str]:
        texts = {name: (local_stack.ROOT / name).read_text() for name in REAL}
        for folder, part in ((PROGRAMS, "training"), (BUNDLE, "serving")):
            for path in (folder / part).iterdir():
                if path.is_file():
                    texts[f"{part}/{path.name}"] = path.read_text()
        return texts

    def fault(self, service: str, operation: str, **more: Any) -> None:
        """The next calls of an operation fail: `error`, `message`, `status`, `times` as in local_aws/faults.py."""
        self.switch("POST", "faults", {"service": service, "operation": operation, **more})

    def forbid(self, role: str, sid: str) -> None:
        """Switches a statement of a role off until `reset`; `role` is its logical id in the template."""
        for statement in self.switch("GET", "iam")["statements"]:
            name = statement["role"].rsplit("/", 1)[-1]
            if f"-{role}-" in f"-{name}-" and statement.get("sid") == sid:
                self._switch_statement(name, statement["policy"], sid, enabled=False)
                self._off.append((name, statement["policy"], sid))
                return
        raise AssertionError(f"no statement {sid} in a role like {role}")

    def _switch_statement(self, role: str, policy: str, sid: str, *, enabled: bool) -> None:
        self.switch("POST", "iam", {"role": role, "policy": policy, "sid": sid, "enabled": enabled})

    def forget_features(self) -> None:
        """The next run computes its features, whether an earlier one has or not."""
        found = self.client("s3").list_objects_v2(Bucket=self.stack.artifact_bucket, Prefix="features/")
        for item in found.get("Contents", []):
            self.client("s3").delete_object(Bucket=self.stack.artifact_bucket, Key=item["Key"])

    def forget_image(self) -> None:
        """The next run builds the serving image."""
        ecr, repository = self.client("ecr"), f"{self.stack.name}/serving"
        images = ecr.describe_images(repositoryName=repository)["imageDetails"]
        tags = [{"imageTag": tag} for image in images for tag in image["imageTags"]]
        if tags:
            ecr.batch_delete_image(repositoryName=repository, imageIds=tags)

    def reset(self) -> None:
        """No faults, every statement, programs that work, no execution running. What serves goes on serving."""
        self.switch("DELETE", "faults")
        while self._off:
            self._switch_statement(*self._off.pop(), enabled=True)
        self.behave()
        for execution in remains.executions(self.client):
            self.client("stepfunctions").stop_execution(executionArn=execution)
        self._known = remains.made(self.client, self.stack)

    def serve(self, wanted: bool = True) -> None:
        """Sees to it that a model is in service and scales, or none."""
        if wanted and (not self.serving() or any(remains.half_made(self.client, self.stack))):
            outcome = self.run({})
            assert outcome.status == "SUCCEEDED", outcome.cause
        if not wanted:
            self._remove()
        self._known = remains.made(self.client, self.stack)

    def break_endpoint(self) -> None:
        """Leaves an endpoint that has failed, as an aborted first run may."""
        sagemaker, bucket, name = self.client("sagemaker"), self.stack.artifact_bucket, f"{self.stack.name}-broken"
        latest = sagemaker.list_models(SortBy="CreationTime", SortOrder="Descending")["Models"][0]["ModelName"]
        role = sagemaker.describe_model(ModelName=latest)
        data = {"Image": role["PrimaryContainer"]["Image"], "ModelDataUrl": f"s3://{bucket}/runs/broken/model.tar.gz"}
        self.client("s3").put_object(Bucket=bucket, Key="runs/broken/model.tar.gz", Body=packed(None, broken="1"))
        variant = {"VariantName": "primary", "ModelName": name, "InstanceType": "ml.c7i.large"}
        tags = [{"Key": "kennel:stack", "Value": self.stack.name}]
        with suppress(ClientError):  # an earlier test has made them
            sagemaker.create_model(
                ModelName=name, PrimaryContainer=data, ExecutionRoleArn=role["ExecutionRoleArn"], Tags=tags
            )
            sagemaker.create_endpoint_config(
                EndpointConfigName=name, ProductionVariants=[{**variant, "InitialInstanceCount": 1}], Tags=tags
            )
        sagemaker.create_endpoint(EndpointName=self.stack.endpoint_name, EndpointConfigName=name)
        described = {"EndpointName": self.stack.endpoint_name}
        wait_for(lambda: sagemaker.describe_endpoint(**described)["EndpointStatus"] == "Failed", "its failure", 30)

    def _remove(self) -> None:
        sagemaker, name = self.client("sagemaker"), self.stack.endpoint_name
        scaled = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
        with suppress(ClientError):
            self.client("application-autoscaling").deregister_scalable_target(
                ResourceId=f"endpoint/{name}/variant/primary", **scaled
            )
        with suppress(ClientError):
            sagemaker.delete_endpoint(EndpointName=name)
        wait_for(lambda: remains.endpoint(self.client, name) is None, "the endpoint's end", 30)

    # --- what a test does ------------------------------------------------------------------------------------------

    def start(self, run_input: Mapping[str, Any], faults: Sequence[Mapping[str, Any]] = ()) -> str:
        """Starts a run under the faults; gives the execution's ARN, which is `last` from now on."""
        self._known = remains.made(self.client, self.stack)
        for fault in faults:
            self.fault(**fault)
        endpoint = {"rollout_wait_seconds": 0, **run_input.get("endpoint", {})}
        self.last = pipeline.start(self.stack.state_machines["pipeline"], {**run_input, "endpoint": endpoint})
        return self.last

    def run(self, run_input: Mapping[str, Any], faults: Sequence[Mapping[str, Any]] = ()) -> pipeline.Outcome:
        """Runs the pipeline to its end under the faults."""
        return self.ended(self.start(run_input, faults))

    def ended(self, execution: str, seconds: float = 90.0) -> pipeline.Outcome:
        """The outcome of an execution, once it has ended."""
        began, client = time.monotonic(), self.client("stepfunctions")

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = client.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        found = wait_for(look, "the run's end", seconds)
        output = json.loads(found.get("output") or "{}")
        told = found.get("error", ""), found.get("cause", "")
        return pipeline.Outcome(found["status"], output, *told, seconds=time.monotonic() - began)

    def wait_until(self, check: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        """The first true answer of `check`."""
        return wait_for(check, what, seconds)

    # --- what a test looks at --------------------------------------------------------------------------------------

    def ask(self) -> httpx.Response:
        """One request through the API."""
        headers = {"x-api-key": self.stack.api_key, "content-type": "image/jpeg"}
        return self._http.post(f"{self.stack.api_url}/predictions", content=self.picture, headers=headers)

    def serving(self) -> str | None:
        """The run whose model answers through the API now; None when nothing does."""
        answer = self.ask()
        return str(answer.json()["model"]) if answer.status_code == 200 else None

    @contextmanager
    def asking(self) -> Iterator[list[int]]:
        """A client that asks all the time; gives the statuses it gets."""
        statuses: list[int] = []
        done = threading.Event()

        def work() -> None:
            while not done.wait(0.02):
                statuses.append(self.ask().status_code)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield statuses
        finally:
            done.set()
            thread.join()

    def left_running(self, within: float = 5.0) -> list[str]:
        """What runs, is half-made, or that the last run made and nobody uses; once it is empty or `within` is over."""
        deadline = time.monotonic() + within
        while True:
            left = remains.left(self.client, self.stack, self._known)
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)

    def job(self, program: str) -> dict[str, str] | None:
        """The running job of a program, as the request names it that stops it: the tuning job for its trials."""
        sagemaker = self.client("sagemaker")
        if program == "trial":
            name = "HyperParameterTuningJobName"
            tuning = sagemaker.list_hyper_parameter_tuning_jobs(StatusEquals="InProgress")
            return next(({name: one[name]} for one in tuning["HyperParameterTuningJobSummaries"]), None)
        for one in sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]:
            job = {"TrainingJobName": one["TrainingJobName"]}
            if f"/{program}.py" in sagemaker.describe_training_job(**job)["HyperParameters"]["sagemaker_program"]:
                return job
        return None

    def waiting_package(self) -> str | None:
        """The ARN of a model package that waits for a person."""
        found = self.client("sagemaker").list_model_packages(
            ModelPackageGroupName=self.stack.name, ModelApprovalStatus="PendingManualApproval"
        )
        return next((str(one["ModelPackageArn"]) for one in found["ModelPackageSummaryList"]), None)

    def history(self, execution: str = "") -> list[tuple[str, dict[str, Any]]]:
        """The (state, event) of an execution (the last run's without one) and of those nested in it."""
        client, state, found = self.client("stepfunctions"), "", list[tuple[str, dict[str, Any]]]()
        pages = client.get_paginator("get_execution_history").paginate(executionArn=execution or self.last)
        for event in (event for page in pages for event in page["events"]):
            state = event.get("stateEnteredEventDetails", {}).get("name", state)
            found.append((state, event))
            submitted = event.get("taskSubmittedEventDetails", {})
            if submitted.get("resourceType") == "states":
                found += self.history(json.loads(submitted["output"])["ExecutionArn"])
        return found

    def entered(self) -> list[str]:
        """The states that the last run and its nested executions entered, in order."""
        return [state for state, event in self.history() if "stateEnteredEventDetails" in event]

    def tries(self, state: str) -> int:
        """How often the last run called what `state` calls."""
        return sum(event["type"] == "TaskScheduled" for name, event in self.history() if name == state)

    # --- how -------------------------------------------------------------------------------------------------------

    def client(self, service: str) -> Any:
        """A boto3 client, made once."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service)
        return self._clients[service]

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(timeout=60.0)

    @cached_property
    def code(self) -> tuple[str, str]:
        """Bucket and key of the published code."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack.name)["Stacks"]
        (uri,) = (one["OutputValue"] for one in stack["Outputs"] if one["OutputKey"] == "CodeUri")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bucket, key

    def switch(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request to the embedded AWS's own switches."""
        answer = self._http.request(method, f"{self.stack.endpoint_url}/_local_aws/{path}", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
