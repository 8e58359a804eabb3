"""The pipeline state machine on the embedded AWS: what a run makes, and how a run fails."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.functional.stack.conftest import Deployed
from tools import pipeline

pytestmark = pytest.mark.slow

# Three epochs on random weights would not pass the gate, and nobody wants to watch a bake of minutes.
QUICK = {"gate": {"least_accuracy": 0, "largest_drop": 1}, "endpoint": {"rollout_wait_seconds": 10}}


def jobs_in_progress() -> list[str]:
    found = boto3.client("sagemaker").list_training_jobs(StatusEquals="InProgress")
    return [job["TrainingJobName"] for job in found["TrainingJobSummaries"]]


def models_and_configs() -> tuple[int, int]:
    client = boto3.client("sagemaker")
    return len(client.list_models()["Models"]), len(client.list_endpoint_configs()["EndpointConfigs"])


def test_a_run_with_no_input_ends_with_a_model_in_service(deployed: Deployed) -> None:
    assert deployed.first_run.status == "SUCCEEDED", deployed.first_run.cause
    endpoint = boto3.client("sagemaker").describe_endpoint(EndpointName=deployed.stack.endpoint_name)
    assert endpoint["EndpointStatus"] == "InService"


def test_a_run_registers_the_endpoint_for_scaling(deployed: Deployed) -> None:
    client = boto3.client("application-autoscaling")
    targets = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert [target["ResourceId"].split("/")[1] for target in targets] == [deployed.stack.endpoint_name]
    assert policies[0]["PolicyType"] == "TargetTrackingScaling"


@pytest.mark.parametrize(
    ("run_input", "named"),
    [
        ({"train": {"epochs": 0}}, "train.epochs"),
        ({"train": {"epoch": 5}}, "train.epoch"),
        ({"train": {"instances": 2}}, "train.instances"),
        ({"tune": {"strategy": "grid", "ranges": {"seed": {"values": [1, 2]}}}}, "tune.ranges"),
        ({"endpoint": {"minimum": "two"}}, "endpoint.minimum"),
        ({"data": "s3://somebody-elses-bucket/dogs/"}, "data"),
    ],
)
def test_a_wrong_input_is_refused_before_money_is_spent(
    deployed: Deployed, run_input: dict[str, object], named: str
) -> None:
    outcome = deployed.run(run_input)
    assert (outcome.status, outcome.error) == ("FAILED", "InvalidRun")
    assert named in outcome.cause


def test_data_without_a_valid_split_is_refused_naming_it(deployed: Deployed, tmp_path: Path) -> None:
    shutil.copytree(deployed.folder / "train", tmp_path / "train")
    (tmp_path / "valid" / "001.Nothing").mkdir(parents=True)
    deployed.put(tmp_path, "no-valid/")
    outcome = deployed.run({"data": f"s3://{deployed.stack.data_bucket}/no-valid/"})
    assert outcome.error == "InvalidRun"
    assert "valid" in outcome.cause


def test_corrupt_pictures_fail_the_run_by_name_and_the_old_model_still_serves(
    deployed: Deployed, tmp_path: Path
) -> None:
    # given a data set in which a quarter of the pictures is not readable
    shutil.copytree(deployed.folder, tmp_path / "dogs")
    for number, path in enumerate(sorted((tmp_path / "dogs" / "train").glob("*/*"))):
        if number % 4 == 0:
            path.write_bytes(b"\xff\xd8 not a picture")
    deployed.put(tmp_path / "dogs", "corrupt/")
    picture = deployed.test_pictures[0].read_bytes()
    before, made = deployed.post(content=picture).json(), models_and_configs()
    # when a run is started on it
    outcome = deployed.run({"data": f"s3://{deployed.stack.data_bucket}/corrupt/"})
    # then it fails with a sentence a person understands, and nothing else has changed
    assert (outcome.status, outcome.error) == ("FAILED", "FeaturesFailed")
    assert outcome.cause.startswith("ExtractFeatures: 16 of 96 files cannot be used")
    assert deployed.post(content=picture).json()["model"] == before["model"]
    assert jobs_in_progress() == []
    assert models_and_configs() == made


def test_a_run_leaves_a_report_and_a_registered_model(deployed: Deployed) -> None:
    output = deployed.first_run.output
    package = boto3.client("sagemaker").describe_model_package(ModelPackageName=output["model_package"])
    assert package["ModelApprovalStatus"] == "Approved"
    assert artifact(output["report"]).lower().startswith("<!doctype html>")
    figures = json.loads(artifact(output["report"].replace("report.html", "figures.json")))
    assert figures == output["figures"] and figures["split"] == "test"


def test_a_run_says_what_it_did_cost_from_billed_seconds(deployed: Deployed) -> None:
    output = deployed.first_run.output
    assert [step["step"] for step in output["steps"]] == ["BuildImage", "ExtractFeatures", "Train", "Evaluate"]
    assert all(step["billable_seconds"] for step in output["steps"])
    assert 0 < output["cost"]["usd"] < 0.1 and not output["cost"]["by_time_alone"] + output["cost"]["unpriced"]
    report = json.loads(artifact(output["report"].replace("report.html", "report.json")))
    assert [step["step"] for step in report["steps"]] == [step["step"] for step in output["steps"]]
    assert report["cost"]["by_time"] == ["Evaluate"] and report["cost"]["usd"] > 0


@dataclass(frozen=True)
class Tuned:
    """How a run with a search ended, and what a client was answered that asked all the while: statuses and models."""

    strategy: str
    outcome: pipeline.Outcome
    statuses: list[int]
    models: list[str]


@pytest.fixture(scope="module", params=["embedded", "random"])
def tuned(deployed: Deployed, request: pytest.FixtureRequest) -> Tuned:
    """A run with a search over learning rates, inside one job or by SageMaker, and a client that asks all the while."""
    ranges = {"learning_rate": {"minimum": 0.0005, "maximum": 0.02, "scale": "log"}}
    tune = {"strategy": request.param, "trials": 2, "ranges": ranges}
    picture = deployed.test_pictures[0].read_bytes()
    answers = []
    with ThreadPoolExecutor() as pool:
        run = pool.submit(deployed.run, {"run": request.param, "tune": tune, "train": {"epochs": 5}, **QUICK})
        while not run.done():
            answers.append(deployed.post(content=picture))
            time.sleep(0.1)
    answers.append(deployed.post(content=picture))
    models = [answer.json().get("model") for answer in answers]
    return Tuned(request.param, run.result(), [answer.status_code for answer in answers], models)


def test_a_tuned_run_trains_with_the_best_values_found_on_features_that_are_there(
    deployed: Deployed, tuned: Tuned
) -> None:
    outcome = tuned.outcome
    assert outcome.status == "SUCCEEDED", outcome.cause
    assert outcome.output["features"] == deployed.first_run.output["features"]
    assert [step["step"] for step in outcome.output["steps"]] == ["Tune", "Train", "Evaluate"]
    table = trials(deployed, outcome.output["run"])
    assert (table["strategy"], len(table["trials"])) == (tuned.strategy, 2)
    best = table["best"]["values"]["learning_rate"]
    assert outcome.output["tuned"]["learning_rate"] == best
    job = boto3.client("sagemaker").describe_training_job(TrainingJobName=outcome.output["model"])
    assert float(job["HyperParameters"]["learning_rate"].strip('"')) == float(best)


def test_a_run_replaces_the_model_without_losing_a_request(tuned: Tuned) -> None:
    assert set(tuned.statuses) == {200}
    assert len(set(tuned.models)) == 2
    assert tuned.models[-1] != tuned.models[0]
    assert tuned.models[-1].startswith(f"{tuned.strategy}-")


def artifact(uri: str) -> str:
    """A text that a run has left."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    text: str = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return text


def trials(deployed: Deployed, run: str) -> dict[str, Any]:
    """A run's table of trials."""
    bucket = deployed.stack.artifact_bucket
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"runs/{run}/tuning/")["Contents"]
    (key,) = (one["Key"] for one in found if one["Key"].endswith("/trials.json"))
    table: dict[str, Any] = json.loads(artifact(f"s3://{bucket}/{key}"))
    return table


def test_stopping_an_execution_stops_its_training_job(deployed: Deployed) -> None:
    client = boto3.client("stepfunctions")
    execution = pipeline.start(deployed.stack.state_machines["pipeline"], {"train": {"epochs": 5000}})
    deadline = time.monotonic() + 60
    while not jobs_in_progress():
        assert time.monotonic() < deadline, "the training job never started"
        time.sleep(0.2)
    client.stop_execution(executionArn=execution)
    while jobs_in_progress():
        assert time.monotonic() < deadline, "the training job goes on"
        time.sleep(0.2)
    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"
