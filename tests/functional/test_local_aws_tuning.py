"""Tuning jobs of the embedded AWS: real trials, searched, counted, stopped, and waited for by a state machine."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws import supervisor

from . import machines
from .conftest import LocalAws, Stage, build_stage, packed, wait_for

ENDED = ("Completed", "Failed", "Stopped")
TUNE = "arn:aws:states:::sagemaker:createHyperParameterTuningJob.sync"
SCRIPT = """
import argparse, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--mode", default="good")
parser.add_argument("--level", default="")
parser.add_argument("-x", type=float, default=0.3)
parser.add_argument("-y", type=float, default=0.7)
given = parser.parse_args()
if given.mode == "fail" or given.level == "broken":
    sys.exit("error: no good")
if given.mode == "wait":
    print("waiting", flush=True)
    time.sleep(60)
if given.mode == "silent":
    sys.exit(0)
score = float(given.level) if given.level else 1 - (given.x - 0.3) ** 2 - (given.y - 0.7) ** 2
for epoch in range(9 if given.mode == "steps" else 3):
    print(f"epoch {epoch} score={score!r};", flush=True)
    if given.mode == "steps":
        time.sleep(0.3)
    if given.mode == "linger" and score < 0.5:
        time.sleep(60)
time.sleep(0.2)
"""
PLANE = {
    "ContinuousParameterRanges": [
        {"Name": "x", "MinValue": "0", "MaxValue": "1", "ScalingType": "Linear"},
        {"Name": "y", "MinValue": "0", "MaxValue": "1", "ScalingType": "Linear"},
    ]
}


def levels(*values: str) -> dict[str, Any]:
    """Ranges of a grid that tries `values` one after the other."""
    return {"CategoricalParameterRanges": [{"Name": "level", "Values": list(values)}]}


def request(stage: Stage, jobs: int | None, parallel: int, **changes: Any) -> dict[str, Any]:
    """A right CreateHyperParameterTuningJob request; `mode` chooses what the trials do."""
    stage.aws.client("s3").put_object(
        Bucket=stage.bucket, Key="code/tune.tar.gz", Body=packed(None, **{"train.py": SCRIPT})
    )
    mode, config = changes.pop("mode", "good"), changes.pop("config", {})
    job = stage.job("unused")
    definition = {
        key: job[key]
        for key in ("RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
    }
    specification = {
        **job["AlgorithmSpecification"],
        "MetricDefinitions": [{"Name": "validation:score", "Regex": "score=(.*?);"}],
    }
    static = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": f"s3://{stage.bucket}/code/tune.tar.gz",
        "mode": mode,
    }
    limits = {"MaxParallelTrainingJobs": parallel, **({"MaxNumberOfTrainingJobs": jobs} if jobs else {})}
    return {
        "HyperParameterTuningJobName": f"t-{uuid.uuid4().hex[:8]}",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:score"},
            "ResourceLimits": limits,
            "ParameterRanges": PLANE,
            **config,
        },
        "TrainingJobDefinition": {
            **definition,
            "AlgorithmSpecification": specification,
            "StaticHyperParameters": static,
        },
        **changes,
    }


def create(stage: Stage, jobs: int | None, parallel: int, **changes: Any) -> str:
    """Starts a tuning job."""
    asked = request(stage, jobs, parallel, **changes)
    stage.aws.client("sagemaker").create_hyper_parameter_tuning_job(**asked)
    name: str = asked["HyperParameterTuningJobName"]
    return name


def described(stage: Stage, name: str) -> dict[str, Any]:
    """The tuning job as it is now."""
    found: dict[str, Any] = stage.aws.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name
    )
    return found


def ended(stage: Stage, name: str) -> dict[str, Any]:
    """The tuning job once it has ended."""

    def look() -> dict[str, Any] | None:
        found = described(stage, name)
        return found if found["HyperParameterTuningJobStatus"] in ENDED else None

    found: dict[str, Any] = wait_for(look, f"the end of {name}", 60)
    return found


def run(stage: Stage, jobs: int | None, parallel: int, **changes: Any) -> dict[str, Any]:
    """Runs a tuning job to its end."""
    return ended(stage, create(stage, jobs, parallel, **changes))


def trials(stage: Stage, name: str, **asked: Any) -> list[dict[str, Any]]:
    """The trials of a tuning job, by name unless asked otherwise."""
    client = stage.aws.client("sagemaker")
    found: list[dict[str, Any]] = client.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, MaxResults=100, **asked
    )["TrainingJobSummaries"]
    return found


def value(trial: dict[str, Any]) -> float:
    """A trial's objective."""
    found: float = trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    return found


def both_run(stage: Stage, name: str) -> bool:
    """Whether two trials are in their scripts."""
    client = stage.aws.client("sagemaker")
    found = [client.describe_training_job(TrainingJobName=one["TrainingJobName"]) for one in trials(stage, name)]
    return [one["SecondaryStatus"] for one in found] == ["Training", "Training"]


def test_bayesian_search_beats_its_first_random_trials_with_two_at_a_time(stage: Stage) -> None:
    job = run(stage, 14, 2, config={"Strategy": "Bayesian", "RandomSeed": 3})

    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == job["ObjectiveStatusCounters"]["Succeeded"] == 14
    found = trials(stage, job["HyperParameterTuningJobName"])
    assert value(job["BestTrainingJob"]) == max(map(value, found)) > max(map(value, found[:3]))
    assert job["OverallBestTrainingJob"]["TuningJobName"] == job["HyperParameterTuningJobName"]
    at_once = [
        sum(other["CreationTime"] <= one["CreationTime"] < other["TrainingEndTime"] for other in found) for one in found
    ]
    assert max(at_once) == 2


def test_a_trial_is_a_training_job_that_names_its_tuning_job(stage: Stage) -> None:
    tags = [{"Key": "project", "Value": "kennel"}]
    job = run(stage, 1, 1, Tags=tags)

    client = stage.aws.client("sagemaker")
    (trial,) = trials(stage, job["HyperParameterTuningJobName"])
    found = client.describe_training_job(TrainingJobName=trial["TrainingJobName"])
    assert re.fullmatch(job["HyperParameterTuningJobName"] + "-001-[0-9a-f]{8}", trial["TrainingJobName"])
    assert found["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    assert found["HyperParameters"]["_tuning_objective_metric"] == "validation:score"
    tuned = trial["TunedHyperParameters"]
    assert {name: found["HyperParameters"][name] for name in ("x", "y")} == tuned
    score = 1 - (float(tuned["x"]) - 0.3) ** 2 - (float(tuned["y"]) - 0.7) ** 2
    assert value(trial) == pytest.approx(score)
    assert found["FinalMetricDataList"][0]["Value"] == value(trial)
    assert client.list_tags(ResourceArn=found["TrainingJobArn"])["Tags"] == tags


def test_the_same_seed_tries_the_same_values(stage: Stage) -> None:
    tried = [
        [one["TunedHyperParameters"] for one in trials(stage, job["HyperParameterTuningJobName"])]
        for job in (run(stage, 3, 3, config={"RandomSeed": 5}) for _ in range(2))
    ]

    assert tried[0] == tried[1]


def test_a_grid_tries_every_combination_and_failed_trials_are_counted(stage: Stage) -> None:
    job = run(stage, None, 3, config={"Strategy": "Grid", "ParameterRanges": levels("0.2", "broken", "0.6")})

    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 2, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 1, "Stopped": 0,
    }  # fmt: skip
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 1}
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"level": "0.6"}
    name = job["HyperParameterTuningJobName"]
    by_value = trials(stage, name, SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    assert [value(one) for one in by_value] == [0.6, 0.2]
    (failed,) = trials(stage, name, StatusEquals="Failed")
    assert (failed["ObjectiveStatus"], "no good" in failed["FailureReason"]) == ("Failed", True)


def test_minimize_takes_the_lowest(stage: Stage) -> None:
    objective = {"Type": "Minimize", "MetricName": "validation:score"}
    ranges = levels("0.4", "0.1", "0.3")

    job = run(
        stage,
        None,
        3,
        config={"Strategy": "Grid", "ParameterRanges": ranges, "HyperParameterTuningJobObjective": objective},
    )

    assert value(job["BestTrainingJob"]) == 0.1


def test_a_target_that_is_reached_ends_the_search(stage: Stage) -> None:
    criteria = {"TargetObjectiveMetricValue": 0.9}
    ranges = levels("0.1", "0.95", "0.2")

    job = run(
        stage, None, 1, config={"Strategy": "Grid", "ParameterRanges": ranges, "TuningJobCompletionCriteria": criteria}
    )

    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert [value(one) for one in trials(stage, job["HyperParameterTuningJobName"])] == [0.1, 0.95]


def test_objectives_that_stop_improving_end_the_search(stage: Stage) -> None:
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    ranges = levels("0.9", "0.1", "0.2", "0.3", "0.4", "0.5")

    job = run(
        stage, None, 1, config={"Strategy": "Grid", "ParameterRanges": ranges, "TuningJobCompletionCriteria": criteria}
    )

    assert job["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3
    assert len(trials(stage, job["HyperParameterTuningJobName"])) == 4


def test_early_stopping_stops_a_trial_that_falls_behind_the_median(stage: Stage) -> None:
    ranges = levels("0.9", "0.8", "0.7", "0.1")

    job = run(
        stage,
        None,
        1,
        mode="linger",
        config={"Strategy": "Grid", "ParameterRanges": ranges, "TrainingJobEarlyStoppingType": "Auto"},
    )

    assert job["HyperParameterTuningJobStatus"] == "Completed"
    statuses = [one["TrainingJobStatus"] for one in trials(stage, job["HyperParameterTuningJobName"])]
    assert statuses == ["Completed", "Completed", "Completed", "Stopped"]
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 4


def test_hyperband_stops_the_trials_that_others_beat_and_lets_the_best_run(stage: Stage) -> None:
    resources = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}
    config = {"Strategy": "Hyperband", "StrategyConfig": resources, "RandomSeed": 1}

    job = run(stage, 4, 1, mode="steps", config={**config, "ParameterRanges": levels("0.9", "0.5", "0.3", "0.1")})

    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert value(job["BestTrainingJob"]) == 0.9
    found = trials(stage, job["HyperParameterTuningJobName"])
    best_so_far = [value(one) == max(value(other) for other in found[: place + 1]) for place, one in enumerate(found)]
    assert best_so_far != [True] * 4  # or this seed shows nothing
    expected = ["Completed" if best else "Stopped" for best in best_so_far]
    assert [one["TrainingJobStatus"] for one in found] == expected
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 4


@pytest.mark.parametrize(
    ("mode", "jobs", "reason"),
    [
        ("fail", 8, "No training job succeeded after 5 attempts"),
        ("fail", 1, "No training job succeeded after 1 attempts"),
        ("silent", 2, "No objective metrics found after running 2 training jobs"),
    ],
)
def test_a_search_without_any_useful_trial_fails(stage: Stage, mode: str, jobs: int, reason: str) -> None:
    job = run(stage, jobs, 1, mode=mode)

    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert "BestTrainingJob" not in job


def test_stop_stops_the_trials(stage: Stage) -> None:
    client = stage.aws.client("sagemaker")
    name = create(stage, 5, 2, mode="wait")
    wait_for(lambda: both_run(stage, name), "two running trials")

    client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    job = ended(stage, name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert [one["TrainingJobStatus"] for one in trials(stage, name)] == ["Stopped", "Stopped"]
    assert job["TrainingJobStatusCounters"]["Stopped"] == job["ObjectiveStatusCounters"]["Failed"] == 2
    with pytest.raises(ClientError, match="is in status Stopped"):
        client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def test_a_restart_fails_what_was_running(tmp_path: Path) -> None:
    state = tmp_path / "aws"
    try:
        first = build_stage(LocalAws(state.resolve(), supervisor.up(state, 0)))
        name = create(first, 5, 2, mode="wait")
        wait_for(lambda: both_run(first, name), "two running trials")
        supervisor.down(state)

        second = Stage(LocalAws(state.resolve(), supervisor.up(state, 0)), first.bucket, first.image)

        job = described(second, name)
        assert job["HyperParameterTuningJobStatus"] == "Failed"
        assert "stopped while the tuning job was running" in job["FailureReason"]
        assert job["TrainingJobStatusCounters"]["RetryableError"] == 2
    finally:
        supervisor.down(state)


def test_tuning_jobs_are_listed_and_a_name_is_taken_once(stage: Stage) -> None:
    client = stage.aws.client("sagemaker")
    asked = request(stage, 1, 1)
    client.create_hyper_parameter_tuning_job(**asked)
    name = asked["HyperParameterTuningJobName"]
    ended(stage, name)

    (listed,) = client.list_hyper_parameter_tuning_jobs(NameContains=name)["HyperParameterTuningJobSummaries"]

    assert (listed["Strategy"], listed["ResourceLimits"]["MaxNumberOfTrainingJobs"]) == ("Random", 1)
    assert listed["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 0}
    with pytest.raises(client.exceptions.ResourceInUse, match="already exists"):
        client.create_hyper_parameter_tuning_job(**asked)
    with pytest.raises(client.exceptions.ResourceNotFound, match="can't find a tuning job"):
        client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="gone")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Strategy": "Hyperband"}, "MaxResource must be specified"),
        ({"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"}, "EarlyStoppingType must be Off"),
        (
            {"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 3}}},
            "only be specified with the Hyperband strategy",
        ),
        ({"Strategy": "Guess"}, "enum value set"),
        ({"Strategy": "Grid"}, "categorical parameters only"),
        ({"Strategy": "Grid", "ParameterRanges": levels("1", "2")}, "must be 2, the number of combinations"),
        ({"ParameterRanges": {}}, "At least one"),
        ({"ParameterRanges": {"AutoParameters": [{"Name": "x", "ValueHint": "1"}]}}, r"AutoParameters.*COVERAGE\.md"),
        (
            {"ParameterRanges": {"CategoricalParameterRanges": [{"Name": "mode", "Values": ["good"]}]}},
            "both static and tuned",
        ),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "MaxNumberOfTrainingJobs"),
        (
            {"ResourceLimits": {"MaxParallelTrainingJobs": 3, "MaxNumberOfTrainingJobs": 2}},
            "cannot be greater than MaxNumberOfTrainingJobs",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "other"}},
            "must be one of the MetricDefinitions",
        ),
        (
            {"TuningJobCompletionCriteria": {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}},
            r"COVERAGE\.md",
        ),
    ],
)
def test_a_wrong_or_unsupported_search_is_refused(stage: Stage, config: dict[str, Any], message: str) -> None:
    client = stage.aws.client("sagemaker", parameter_validation=False)

    with pytest.raises(ClientError, match=message) as caught:
        client.create_hyper_parameter_tuning_job(**request(stage, 4, 1, config=config))

    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"HyperParameterTuningJobName": "a" * 33}, "length less than or equal to 32"),
        (
            {"WarmStartConfig": {"ParentHyperParameterTuningJobs": [{}], "WarmStartType": "TransferLearning"}},
            "WarmStart",
        ),
        ({"TrainingJobDefinition": None}, "TrainingJobDefinition must be specified"),
    ],
)
def test_a_wrong_request_is_refused(stage: Stage, change: dict[str, Any], message: str) -> None:
    client = stage.aws.client("sagemaker", parameter_validation=False)
    asked = {key: item for key, item in request(stage, 1, 1, **change).items() if item is not None}

    with pytest.raises(ClientError, match=message) as caught:
        client.create_hyper_parameter_tuning_job(**asked)

    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_trials_that_could_not_be_created_are_refused_with_the_tuning_job(stage: Stage) -> None:
    asked = request(stage, 1, 1)
    del asked["TrainingJobDefinition"]["StaticHyperParameters"]["sagemaker_program"]

    with pytest.raises(ClientError, match="sagemaker_program is needed"):
        stage.aws.client("sagemaker").create_hyper_parameter_tuning_job(**asked)


def test_too_many_trials_are_over_the_limit(stage: Stage) -> None:
    client = stage.aws.client("sagemaker")

    with pytest.raises(client.exceptions.ResourceLimitExceeded, match="750"):
        client.create_hyper_parameter_tuning_job(**request(stage, 751, 1, config={"Strategy": "Bayesian"}))


def state(stage: Stage, mode: str, jobs: int, **more: Any) -> tuple[str, dict[str, Any]]:
    """The name of a tuning job, and a state that runs it."""
    asked = request(stage, jobs, 2, mode=mode)
    name: str = asked["HyperParameterTuningJobName"]
    return name, {"Type": "Task", "Resource": TUNE, "Arguments": asked, "End": True, **more}


def test_a_tuning_state_waits_and_gives_the_best_trial(stage: Stage) -> None:
    name, tune = state(stage, "good", 2)

    done = machines.run(stage, {"Tune": tune})

    output = json.loads(done["output"])
    assert output["HyperParameterTuningJobName"] == name
    assert output["BestTrainingJob"]["TrainingJobName"].startswith(name)
    assert set(output["BestTrainingJob"]["TunedHyperParameters"]) == {"x", "y"}
    assert output["HyperParameterTuningEndTime"] > output["CreationTime"] > 1e12


def test_a_failed_search_fails_the_state_with_its_description(stage: Stage) -> None:
    _, tune = state(stage, "fail", 2)

    done = machines.run(stage, {"Tune": tune})

    assert (done["status"], done["error"]) == ("FAILED", "States.TaskFailed")
    assert "No training job succeeded" in json.loads(done["cause"])["FailureReason"]


def test_a_stopped_execution_stops_the_tuning_job_and_its_trials(stage: Stage) -> None:
    name, tune = state(stage, "wait", 4)
    execution = machines.start(stage, {"Tune": tune})
    client = stage.aws.client("stepfunctions")
    wait_for(lambda: _there(stage, name) and both_run(stage, name), "two running trials")

    client.stop_execution(executionArn=execution)

    assert ended(stage, name)["HyperParameterTuningJobStatus"] == "Stopped"
    assert [one["TrainingJobStatus"] for one in trials(stage, name)] == ["Stopped", "Stopped"]
    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"


def _there(stage: Stage, name: str) -> bool:
    client = stage.aws.client("sagemaker")
    return bool(client.list_hyper_parameter_tuning_jobs(NameContains=name)["HyperParameterTuningJobSummaries"])
