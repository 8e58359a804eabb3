"""Every statement of the template's roles: the path that needs it, and what shows that it is not there.

Rows of one path stand together, so that what they need is prepared once. A statement that no local path needs stands in
NOT_HERE, an action in UNUSED_HERE, both with the reason why the template has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.contract.template import optional_statements

from . import asking, batches, cleaning, deploying, on_ec2, running, watching
from .paths import Path


@dataclass(frozen=True)
class Row:
    """Without the statement, walking `path` says something that contains `shows`."""

    path: Path
    shows: str


def _rows(role: str, path: Path, **shows: str) -> dict[str, Row]:
    return {f"{role}.{sid}": Row(path, text) for sid, text in shows.items()}


_NO_MACHINE = "is not authorized to"

TABLE: Mapping[str, Row] = {
    # A request
    **_rows("ClassifyRole", asking.BYTES, AskOwnEndpoint="502"),
    **_rows("ClassifyRole", asking.OBJECT, ReadOwnPictures="404"),
    **_rows("ClassifyRole", asking.ANSWER_LOG, WriteOwnLogs="no log"),
    **_rows("SiteRole", asking.MODEL, SeeOwnEndpoint="502", ReadReports='"metrics":null'),
    **_rows("SiteRole", asking.MODEL_LOG, WriteOwnLogs="no log"),
    **_rows("ApiAccountRole", asking.ACCESS_LOG, WriteApiLogs="no log"),
    # Deploying the stack
    **_rows("PublishCodeRole", deploying.PUBLISH, PublishCode="not published: "),
    **_rows("PublishCodeRole", deploying.PUBLISH_LOG, WriteOwnLogs="no log"),
    **_rows("PipelineRole", deploying.MACHINES["Pipeline"], HearOfWhatEnded=_NO_MACHINE, DeliverLogs=_NO_MACHINE),
    **_rows("TrainOnEc2Role", deploying.MACHINES["TrainOnEc2"], DeliverLogs=_NO_MACHINE),
    **_rows("DeployRole", deploying.MACHINES["Deploy"], DeliverLogs=_NO_MACHINE),
    **_rows("BatchRole", deploying.MACHINES["Batch"], HearOfWhatEnded=_NO_MACHINE, DeliverLogs=_NO_MACHINE),
    **_rows("SweepRole", deploying.MACHINES["Sweep"], DeliverLogs=_NO_MACHINE),
    **_rows("TeardownRole", deploying.MACHINES["Teardown"], DeliverLogs=_NO_MACHINE),
    # A run that updates: the pipeline's part, the jobs', the deployment's, the endpoint's
    **_rows("ValidateRunRole", running.UPDATE, ListPictures="InvalidRun: ", LookAtOnePicture="InvalidRun: "),
    **_rows(
        "PipelineRole",
        running.UPDATE,
        ValidateRun="ValidationFailed: ",
        FindImage="ImageBuildFailed: FindImage: ",
        ReadMarkersAndResults="FeaturesFailed: FindFeatures: ",
        RunJobs="TrainingFailed: Train: ",
        TagJobs="TrainingFailed: Train: ",
        HandRoleToSageMaker="TrainingFailed: Train: ",
        FindIncumbent="FindIncumbent: ",
        Register="RegistrationFailed: RegisterModel: ",
        StartOwnStateMachines="EndpointFailed: Deploy: ",
        FollowAndStopThem="EndpointFailed: Deploy: ",
    ),
    **_rows(
        "TrainingRole",
        running.UPDATE,
        ListOwnBuckets="TrainingFailed: Train: ",
        ReadPicturesCodeAndResults="TrainingFailed: Train: ",
        WriteRuns="TrainingFailed: Train: ",
        PullTrainingImage="TrainingFailed: Train: ",
        LogInToRegistry="TrainingFailed: Train: ",
    ),
    **_rows(
        "DeployRole",
        running.UPDATE,
        SeeRollbackAlarms="EndpointFailed: FindQuietAlarms: ",
        MakeModels="EndpointFailed: CreateModel: ",
        MakeEndpointConfigs="EndpointFailed: CreateEndpointConfig: ",
        RunEndpoint="EndpointFailed: DescribeEndpoint: ",
        TagWhatItMakes="EndpointFailed: CreateModel: ",
        HandRoleToSageMaker="EndpointFailed: CreateModel: ",
        Scale="ScalingFailed: PauseScaling: ",
        ReadScaling="ScalingFailed: RememberTarget: ",
        ScalingAlarms="ScalingFailed: PauseScaling: ",
        AskThroughTheApi="SmokeTestFailed: SmokeTest: ",
    ),
    **_rows(
        "ServingRole",
        running.UPDATE,
        ReadModels="EndpointFailed: CreateModel: ",
        PullServingImage="EndpointFailed: ",
        LogInToRegistry="EndpointFailed: ",
        HeedRollbackAlarms="EndpointFailed: UpdateEndpoint: ",
    ),
    **_rows("PipelineRole", running.TRACED, Trace="no trace"),
    **_rows("DeployRole", running.TRACED, Trace="no trace"),
    **_rows("ValidateRunRole", running.PLAN_LOG, WriteOwnLogs="no log"),
    **_rows("TrainingRole", running.JOB_LOG, WriteJobLogs="no log"),
    **_rows("TrainingRole", running.JOB_METRICS, JobMetrics="no metrics"),
    **_rows("ServingRole", running.ENDPOINT_LOG, WriteEndpointLogs="no log"),
    **_rows("ServingRole", running.ENDPOINT_METRICS, EndpointMetrics="no metrics"),
    **_rows("TrainingRole", running.CHECKPOINTED, RemoveOldCheckpoints="TrainingFailed: Train: "),
    **_rows("PipelineRole", running.SEARCHED, Tune="TuningFailed: Tune: "),
    # The first run: no image, no features, nothing serves, no account roles
    **_rows(
        "PipelineRole",
        running.FIRST,
        BuildImage="ImageBuildFailed: BuildImage: ",
        SeeWhetherTheyAreThere="FeaturesFailed: FindFeatures: ",
        WriteMarkersAndTrials="FeaturesFailed: RememberFeatures: ",
    ),
    **_rows(
        "ImageBuildRole",
        running.FIRST,
        ReadCode="ImageBuildFailed: BuildImage: ",
        PushServingImage="ImageBuildFailed: BuildImage: ",
        LogInToRegistry="ImageBuildFailed: BuildImage: ",
    ),
    **_rows("DeployRole", running.FIRST, ScalingServiceRole="ScalingFailed: RegisterScalableTarget: "),
    **_rows("ImageBuildRole", running.BUILD_LOG, WriteOwnLogs="no log"),
    # Training on EC2
    **_rows("TrainOnEc2Role", on_ec2.TRAINED, SpotServiceRole="TrainingFailed: LaunchInstance: "),
    **_rows(
        "TrainOnEc2Role",
        on_ec2.ENDED,
        LaunchInstance="TrainingFailed: LaunchInstance: ",
        LaunchInstanceWith="TrainingFailed: LaunchInstance: ",
        TagAtLaunch="TrainingFailed: LaunchInstance: ",
        FindImage="TrainingFailed: LaunchInstance: ",
        HandRoleToInstance="TrainingFailed: LaunchInstance: ",
        SeeInstances="the instance could not be seen to be gone",
        TerminateInstances="still there: ['i-",
    ),
    **_rows("TrainOnEc2Role", on_ec2.TRACED, Trace="no trace"),
    **_rows(
        "Ec2TrainingRole",
        on_ec2.TRAINED,
        ListOwnBuckets="TrainingFailed: ",
        ReadPicturesCodeAndFeatures="TrainingFailed: ",
        WriteRuns="TrainingFailed: ",
    ),
    **_rows("Ec2TrainingRole", on_ec2.NO_CODE, AnswerTheStateMachine="the run goes on waiting"),
    # A batch
    **_rows(
        "PlanBatchRole",
        batches.ANSWERED,
        ListPictures="InvalidBatch: Plan: ",
        ListResults="PlanFailed: Plan: ",
        ReadSettings="PlanFailed: Plan: ",
        WriteSettingsAndManifests="PlanFailed: Plan: ",
        FindModel="PlanFailed: Plan: ",
    ),
    **_rows(
        "BatchRole",
        batches.ANSWERED,
        PlanAndCollect="PlanFailed: Plan: ",
        RunJobs="TransformFailed: Transform: ",
        TagJobs="TransformFailed: Transform: ",
    ),
    **_rows(
        "ServingRole",
        batches.ANSWERED,
        ReadBatches="TransformFailed: Transform: ",
        WriteBatchResults="TransformFailed: Transform: ",
    ),
    **_rows(
        "CollectBatchRole",
        batches.ANSWERED,
        ListPictures="CollectFailed: Collect: ",
        ListResults="CollectFailed: Collect: ",
        ReadResults="CollectFailed: Collect: ",
        WriteLinesAndSummary="CollectFailed: Collect: ",
    ),
    **_rows("BatchRole", batches.TRACED, Trace="no trace"),
    **_rows("PlanBatchRole", batches.PLAN_LOG, WriteOwnLogs="no log"),
    **_rows("CollectBatchRole", batches.COLLECT_LOG, WriteOwnLogs="no log"),
    **_rows("ServingRole", batches.JOB_LOG, WriteTransformLogs="no log"),
    # The watcher of drift
    **_rows(
        "WatchDriftRole",
        watching.WATCHED,
        SeeOwnEndpoint="the endpoint could not be looked at",
        ReadSamples="AccessDenied",
        ReadBaselines="no baseline",
    ),
    **_rows("WatchDriftRole", watching.WATCH_LOG, WriteOwnLogs="no log"),
    # The sweeper
    **_rows("SweepStarterRole", cleaning.ABORTED_JOB, StartSweep="no sweep came"),
    **_rows(
        "SweepRole",
        cleaning.SWEPT,
        SeeRuns="SweepFailed: FindRuns: ",
        ReadPlanOfAbortedRun="SweepFailed: ReadPlan: ",
        RejectWhatNobodyWaitsFor="SweepFailed: FindPackage: ",
        FindWhatIsLeft="SweepFailed: FindInstances: ",
        TerminateInstances="SweepFailed: TerminateInstances: ",
        LookAtEndpoint="SweepFailed: LookAtEndpoint: ",
        RemoveAbortedDeployment="SweepFailed: DeleteConfig: ",
        ScaleAgain="SweepFailed: RegisterTarget: ",
        LetScalingAct="SweepFailed: RegisterTarget: ",
        ScalingAlarms="SweepFailed: PutPolicy: ",
    ),
    **_rows("SweepRole", cleaning.SWEEP_TRACED, Trace="no trace"),
    **_rows("SweepRole", cleaning.EXPIRED, StartTeardown="SweepFailed: StartTeardown: "),
    # The teardown
    **_rows(
        "TeardownRole",
        cleaning.TORN_DOWN,
        SeeRuns="TeardownFailed: FindRuns: ",
        FindWhatRunsMade="TeardownFailed: ListTargets: ",
        RemovePackages="TeardownFailed: ListPackages: ",
        TerminateInstances="LeftOver: ",
        ReadWhose="LeftOver: ",
        StopScaling="LeftOver: ",
        ScalingAlarms="LeftOver: ",
        RemoveEndpoint="TeardownFailed: LookAtEndpoint: ",
        RemoveEndpointConfigs="LeftOver: ",
        RemoveModels="LeftOver: ",
        StopJobs="LeftOver: ",
    ),
    **_rows("TeardownRole", cleaning.TEARDOWN_TRACED, Trace="no trace"),
}

# Paths that need no statement of their own: they use actions that the others do not, or must not be denied anything.
MORE = (
    running.EMBEDDED,
    running.MULTI,
    running.APPROVED,
    running.UNANSWERED,
    running.UNDONE_FIRST,
    running.UNDONE_UPDATE,
    batches.ABORTED,
    cleaning.ABORTED_SEARCH,
    cleaning.ABORTED_BUILD,
    cleaning.ABORTED_ON_EC2,
)

_CODEDEPLOY = "the embedded AWS has no CodeDeploy; AWS's own policy for Lambda deployments (limited) has it"

_OPTION = "there with an option only (docs/hardening.md), which the deployed stack has not"

NOT_HERE: Mapping[str, str] = {
    "TrafficShiftRole.MoveAlias": _CODEDEPLOY,
    "TrafficShiftRole.HeedAlarm": _CODEDEPLOY,
    "ServingRole.WriteCaptured": "the embedded AWS takes DataCaptureConfig and captures nothing; SageMaker writes as "
    "the endpoint's role",
    **dict.fromkeys(optional_statements(), _OPTION),
}

_API_LOGS = "AWS's policy for this role lists it, and API Gateway tries the role when it is set for the account"
_SAGEMAKER_LOGS = "SageMaker's developer guide lists it for the execution role"
_PARTS = "an upload in parts that fails is taken back by whoever began it"

UNUSED_HERE: Mapping[str, Mapping[str, str]] = {
    "ApiAccountRole.WriteApiLogs": {
        "logs:CreateLogGroup": _API_LOGS,
        "logs:DescribeLogGroups": _API_LOGS,
        "logs:DescribeLogStreams": _API_LOGS,
        "logs:GetLogEvents": _API_LOGS,
        "logs:FilterLogEvents": _API_LOGS,
    },
    "TrainingRole.WriteRuns": {"s3:AbortMultipartUpload": _PARTS},
    "TrainingRole.WriteJobLogs": {"logs:DescribeLogStreams": _SAGEMAKER_LOGS},
    "Ec2TrainingRole.WriteRuns": {"s3:AbortMultipartUpload": _PARTS},
    "ServingRole.WriteBatchResults": {"s3:AbortMultipartUpload": _PARTS},
    "CollectBatchRole.WriteLinesAndSummary": {"s3:AbortMultipartUpload": _PARTS},
    "ServingRole.WriteTransformLogs": {"logs:DescribeLogStreams": _SAGEMAKER_LOGS},
    "ServingRole.WriteEndpointLogs": {"logs:DescribeLogStreams": _SAGEMAKER_LOGS},
    "ImageBuildRole.PushServingImage": {
        "ecr:DescribeImages": "the build asks for the image when its push fails, because another run has pushed it"
    },
}
