"""A permission is missing; and cleaning up fails, too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .table import INVALID, LIMIT, MODEL, NEW, NOTHING, SAME, Row, fault

# --- A permission is missing ------------------------------------------------------------------------------------------

MAY_NOT = "User: … is not authorized to perform: "


def _forbidden(state: str, name: str, role: str, sid: str, cause: str, **more: Any) -> Row:
    happens = f"{role} lacks its statement {sid}"
    return Row(state, happens, name, f"{state}: {cause}", forbid=(role, sid), **more)


FORBIDDEN = (
    _forbidden("ValidateRun", "InvalidRun", "ValidateRunRole", "ListPictures", "data: … cannot be read: AccessDenied"),
    _forbidden("Train", "TrainingFailed", "PipelineRole", "RunJobs", f"{MAY_NOT}sagemaker:CreateTrainingJob"),
    _forbidden("Train", "TrainingFailed", "PipelineRole", "HandRoleToSageMaker", f"{MAY_NOT}iam:PassRole"),
    _forbidden("Train", "TrainingFailed", "TrainingRole", "ReadPicturesCodeAndResults", "…s3:GetObject"),
    _forbidden("Train", "TrainingFailed", "TrainingRole", "WriteRuns", "…s3:PutObject"),
    _forbidden("Deploy", "EndpointFailed", "PipelineRole", "StartOwnStateMachines", f"{MAY_NOT}states:StartExecution"),
    _forbidden("CreateModel", "EndpointFailed", "DeployRole", "MakeModels", f"{MAY_NOT}sagemaker:CreateModel"),
    _forbidden("PauseScaling", "ScalingFailed", "DeployRole", "Scale", "…application-autoscaling:", asked=True),
    _forbidden("SmokeTest", "SmokeTestFailed", "DeployRole", "AskThroughTheApi", "…", asked=True),
)

# --- And cleaning up fails, too ---------------------------------------------------------------------------------------

TAGS_REFUSED = fault("sagemaker", "AddTags", INVALID, "not today", times=5)
UNSCALED = "0 scalable targets and 0 policies"


@dataclass(frozen=True)
class CleanUp:
    """What a state that cleans up calls, and what is left when that is refused."""

    state: str
    before: str
    service: str
    operation: str
    refusal: str
    left: tuple[str, ...]
    tries: int = 1
    skip: int = 0
    after: str = SAME

    def rows(self) -> tuple[Row, Row]:
        """Throttled twice, it cleans up; refused, it says so."""
        throttled = fault(self.service, self.operation, "ThrottlingException", "Rate exceeded", times=2, skip=self.skip)
        refused = fault(self.service, self.operation, self.refusal, "nor now", times=self.tries, skip=self.skip)
        first = Row(
            self.state,
            f"{self.operation} is throttled twice in cleaning up",
            "EndpointFailed",
            "TagEndpoint: not today",
            before=self.before,
            faults=(TAGS_REFUSED, throttled),
            calls=3,
        )
        return first, replace(
            first,
            happens=f"{self.operation} is refused in cleaning up",
            cause=f"TagEndpoint: not today … Cleaning up failed at {self.state}: nor now",
            faults=(TAGS_REFUSED, refused),
            calls=self.tries,
            left=self.left,
            after=self.after,
        )


CLEAN_UP = (
    CleanUp(
        "RemoveScaling",
        NOTHING,
        "application-autoscaling",
        "DeregisterScalableTarget",
        INVALID,
        ("1 scalable targets and 1 policies",),
    ),
    CleanUp("DeleteEndpoint", NOTHING, "sagemaker", "DeleteEndpoint", INVALID, (UNSCALED,), tries=5, after=NEW),
    CleanUp(
        "DeleteEndpointConfig",
        NOTHING,
        "sagemaker",
        "DeleteEndpointConfig",
        INVALID,
        ("endpoint configuration ",),
        tries=4,
    ),
    CleanUp("DeleteModel", NOTHING, "sagemaker", "DeleteModel", INVALID, ("model ",), tries=4),
    CleanUp(
        "RestoreEndpoint", MODEL, "sagemaker", "UpdateEndpoint", "ResourceLimitExceeded", (UNSCALED,), skip=1, after=NEW
    ),
    CleanUp("RestoreTarget", MODEL, "application-autoscaling", "RegisterScalableTarget", LIMIT, (UNSCALED,), skip=1),
    CleanUp(
        "RestorePolicy",
        MODEL,
        "application-autoscaling",
        "PutScalingPolicy",
        LIMIT,
        ("1 scalable targets and 0 policies",),
        skip=1,
    ),
)
