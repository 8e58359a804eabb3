"""Jobs that fail, are stopped, last too long or are there already; and what a model is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .table import APPROVE, BAYESIAN, EMBEDDED, LOST, MANUAL, NEW, REJECT, STOP, Row, fault

JOBS: tuple[tuple[str, str, str, Mapping[str, Any]], ...] = (
    ("ExtractFeatures", "extract", "FeaturesFailed", {"fresh": True}),
    ("Tune", "trial", "TuningFailed", {"input": BAYESIAN}),
    ("TuneInOneJob", "tune", "TuningFailed", {"input": EMBEDDED}),
    ("Train", "train", "TrainingFailed", {}),
    ("Evaluate", "evaluate", "EvaluationFailed", {}),
)
NO_GOOD = "the pictures are no good"
TRIALS_FAILED = "No training job succeeded after 2 attempts."


def _job_rows(state: str, program: str, name: str, way: Mapping[str, Any]) -> tuple[Row, ...]:
    operation = "CreateHyperParameterTuningJob" if state == "Tune" else "CreateTrainingJob"
    said = TRIALS_FAILED if state == "Tune" else NO_GOOD
    lost = fault("sagemaker", operation, **LOST, skip=int(state == "Evaluate"))
    return (
        Row(state, "the program fails", name, f"{state}: {said}", behaviour={program: {"error": NO_GOOD}}, **way),
        Row(
            state,
            "a person stops the job",
            name,
            f"{state}: somebody stopped the job",
            behaviour={program: {"hang": ""}},
            person=STOP,
            **way,
        ),
        Row(
            state,
            "the job is started but the answer is lost: then it is already there",
            name,
            f"{state}: … already exists",
            faults=(lost,),
            behaviour={program: {"hang": ""}},
            **way,
        ),
    )


def _late_row(state: str, program: str, way: Mapping[str, Any]) -> Row:
    label = f"late-{program}"
    given: dict[str, Any] = {"run": label, "train": {"max_runtime_seconds": 60}, **way.get("input", {})}
    if state == "ExtractFeatures":
        given["features"] = {"views": 3}  # that no other run has computed
    cause = f"{state}: stopped at its time limit (MaxRuntimeExceeded)"
    if state == "Tune":  # a tuning job goes on when a trial is stopped; it fails when none has said how good it was
        return Row(
            state,
            "every trial runs into its time limit",
            "TuningFailed",
            "Tune: No objective metrics found after running 2 training jobs.",
            input=given,
            behaviour={program: {"hang": label}},
        )
    return Row(
        state, "the job runs into its time limit", "TimedOut", cause, input=given, behaviour={program: {"hang": label}}
    )


JOB_ROWS = tuple(row for job in JOBS for row in _job_rows(*job))
LATE_ROWS = tuple(_late_row(state, program, way) for state, program, _, way in JOBS)

# --- What is judged, and by whom --------------------------------------------------------------------------------------

JUDGED = (
    Row(
        "ValidateRun",
        "the input is wrong",
        "InvalidRun",
        "ValidateRun: train.epochs: …",
        input={"train": {"epochs": 0}},
    ),
    Row(
        "ValidateRun",
        "S3 does not list the pictures",
        "ValidationFailed",
        "ValidateRun: An error occurred (SlowDown) when calling the ListObjectsV2 operation…",
        faults=(fault("s3", "ListObjects", "SlowDown", "Please reduce your request rate.", status=503, times=5),),
    ),
    Row(
        "BuildImage",
        "the build fails",
        "ImageBuildFailed",
        "BuildImage: the code bundle has no serving/Dockerfile",
        unbuilt=True,
        lacks="serving/Dockerfile",
    ),
    Row(
        "QualityGate",
        "the accuracy is too low",
        "QualityGateFailed",
        "QualityGate: the model is not deployed: test accuracy is 0.3, 0.2 below gate.least_accuracy, 0.5. Its report: s3://",
        behaviour={"evaluate": {"accuracy": 0.3}},
    ),
    Row(
        "QualityGate",
        "the probabilities are too far off",
        "QualityGateFailed",
        "QualityGate: … calibration error is 0.4, 0.2 above gate.largest_calibration_error, 0.2.",
        behaviour={"evaluate": {"calibration_error": 0.4}},
    ),
    Row(
        "QualityGate",
        "the model in service is better",
        "QualityGateFailed",
        "QualityGate: … accuracy fell by 0.05, 0.03 more than gate.largest_drop, 0.02, against … in service",
        behaviour={"evaluate": {"incumbent_accuracy": 0.95}},
    ),
    Row(
        "Approve",
        "a person rejects the model",
        "NotApproved",
        "Approve: the model package … was rejected: too few pictures",
        input=MANUAL,
        person=REJECT,
    ),
    Row("Approve", "a person approves the model", after=NEW, input=MANUAL, person=APPROVE),
    Row(
        "Approve",
        "nobody decides in time",
        "TimedOut",
        "Approve: nobody approved the model package … within 1 hours",
        input=MANUAL,
    ),
)
