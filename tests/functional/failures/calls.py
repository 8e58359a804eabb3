"""Every call of a state refused, and throttled twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .table import APPROVE, BAYESIAN, BROKEN, EMBEDDED, INVALID, LIMIT, MANUAL, MODEL, NEW, NOTHING, Row, fault


@dataclass(frozen=True)
class Call:
    """What a state asks of AWS, how that is refused, and how the run gets there.

    `name` is what the run's error is then; `tries`: so often a refusal is tried, because Step Functions gives it the
    same name as what may pass. `skip`: calls of that operation that come before. `says`: the step that the cause names.
    """

    state: str
    name: str
    service: str
    operation: str
    refusal: str = "ResourceLimitExceeded"
    tries: int = 1
    skip: int = 0
    input: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False
    before: str = MODEL
    unbuilt: bool = False
    says: str = ""
    person: str = ""  # who has to act for the run to go on
    polled: bool = False  # the state is one of a loop, so that its calls cannot be counted
    left: tuple[str, ...] = ()
    throttle: tuple[str, int] = ("ThrottlingException", 400)

    def rows(self) -> tuple[Row, Row]:
        """It is refused; it is throttled twice and then goes on."""
        common: dict[str, Any] = {
            "input": self.input,
            "fresh": self.fresh,
            "before": self.before,
            "unbuilt": self.unbuilt,
        }
        said = f"{self.refusal}: not today"
        refused = fault(
            self.service, self.operation, self.refusal, said, times=self.tries, skip=self.skip, status=self.status
        )
        error, status = self.throttle
        throttled = fault(self.service, self.operation, error, "Rate exceeded", times=2, skip=self.skip, status=status)
        return (
            Row(
                self.state,
                f"{self.operation} is refused",
                self.name,
                f"{self.says or self.state}: {said}",
                faults=(refused,),
                calls=0 if self.polled else self.tries,
                left=self.left,
                asked=self.before == MODEL and self in DEPLOYING,
                **common,
            ),
            Row(
                self.state,
                f"{self.operation} is throttled twice",
                after=NEW,
                faults=(throttled,),
                calls=0 if self.polled else 3,
                person=self.person,
                **common,
            ),
        )

    @property
    def status(self) -> int:
        """The refusal's HTTP status."""
        return 403 if self.refusal == "AccessDenied" else 400


SLOW_DOWN = ("SlowDown", 503)
S3: dict[str, Any] = {"service": "s3", "refusal": "AccessDenied", "throttle": SLOW_DOWN}
PIPELINE = (
    Call("FindImage", "ImageBuildFailed", "ecr", "DescribeImages", "RepositoryNotFoundException"),
    Call("BuildImage", "ImageBuildFailed", "codebuild", "StartBuild", "AccountLimitExceededException", unbuilt=True),
    Call("FindFeatures", "FeaturesFailed", operation="GetObject", skip=1, **S3),
    Call("ExtractFeatures", "FeaturesFailed", "sagemaker", "CreateTrainingJob", fresh=True),
    Call("RememberFeatures", "FeaturesFailed", operation="PutObject", fresh=True, **S3),
    Call("Tune", "TuningFailed", "sagemaker", "CreateHyperParameterTuningJob", input=BAYESIAN),
    Call(
        "ListTrials",
        "TuningFailed",
        "sagemaker",
        "ListTrainingJobsForHyperParameterTuningJob",
        INVALID,
        tries=6,
        input=BAYESIAN,
    ),
    Call("WriteTrials", "TuningFailed", operation="PutObject", input=BAYESIAN, **S3),
    Call("TuneInOneJob", "TuningFailed", "sagemaker", "CreateTrainingJob", input=EMBEDDED),
    Call("ReadTrials", "TuningFailed", operation="GetObject", skip=2, input=EMBEDDED, **S3),
    Call("Train", "TrainingFailed", "sagemaker", "CreateTrainingJob"),
    Call("FindIncumbent", "EvaluationFailed", "sagemaker", "DescribeEndpoint", INVALID, tries=4),
    Call("FindIncumbentConfig", "EvaluationFailed", "sagemaker", "DescribeEndpointConfig", INVALID, tries=4),
    Call("FindIncumbentModel", "EvaluationFailed", "sagemaker", "DescribeModel", INVALID, tries=4),
    Call("Evaluate", "EvaluationFailed", "sagemaker", "CreateTrainingJob", skip=1),
    Call("ReadFigures", "EvaluationFailed", operation="GetObject", skip=2, **S3),
    Call("RegisterModel", "RegistrationFailed", "sagemaker", "CreateModelPackage"),
    Call(
        "CheckApproval",
        "RegistrationFailed",
        "sagemaker",
        "DescribeModelPackage",
        INVALID,
        tries=6,
        input=MANUAL,
        person=APPROVE,
        polled=True,
    ),
    Call("Deploy", "EndpointFailed", "states", "StartExecution", "StateMachineDoesNotExist", skip=1),
)
SCALING: dict[str, Any] = {"service": "application-autoscaling", "name": "ScalingFailed"}
BOTH = (
    Call("CreateModel", "EndpointFailed", "sagemaker", "CreateModel"),
    Call("CreateEndpointConfig", "EndpointFailed", "sagemaker", "CreateEndpointConfig"),
    Call("DescribeEndpoint", "EndpointFailed", "sagemaker", "DescribeEndpoint", INVALID, skip=1),
    Call(
        "CheckEndpoint",
        "EndpointFailed",
        "sagemaker",
        "DescribeEndpoint",
        INVALID,
        skip=2,
        says="UpdateEndpoint",
        polled=True,
    ),
    Call("RegisterScalableTarget", operation="RegisterScalableTarget", refusal=LIMIT, **SCALING),
    Call("PutScalingPolicy", operation="PutScalingPolicy", refusal=LIMIT, **SCALING),
    Call("TagEndpoint", "EndpointFailed", "sagemaker", "AddTags", INVALID, tries=5),
)
UPDATE = (
    Call("RememberTarget", operation="DescribeScalableTargets", refusal=INVALID, **SCALING),
    Call("RememberPolicy", operation="DescribeScalingPolicies", refusal=INVALID, **SCALING),
    Call("PauseScaling", operation="DeregisterScalableTarget", refusal=INVALID, **SCALING),
    Call("FindQuietAlarms", "EndpointFailed", "monitoring", "DescribeAlarms", "InvalidNextToken"),
    Call("UpdateEndpoint", "EndpointFailed", "sagemaker", "UpdateEndpoint"),
)
DEPLOYING = (*BOTH, *UPDATE)
FIRST = Call("CreateEndpoint", "EndpointFailed", "sagemaker", "CreateEndpoint", before=NOTHING)
FAILED = Call(
    "DeleteFailedEndpoint",
    "EndpointFailed",
    "sagemaker",
    "DeleteEndpoint",
    INVALID,
    tries=5,
    before=BROKEN,
    left=("the endpoint is Failed",),
)


def _first(call: Call) -> Call:
    """The same call in a first deployment, where the pipeline has asked three times more for the endpoint before."""
    skip = call.skip + 3 if call.operation == "DescribeEndpoint" else call.skip
    return replace(call, before=NOTHING, says=call.says and "CreateEndpoint", skip=skip)


CALLS = (
    *PIPELINE,
    *BOTH,
    *UPDATE,
    FIRST,
    *(_first(call) for call in BOTH),
    FAILED,
)
