"""The table: operation of a service -> the IAM actions it takes, on which resources, with which condition keys.

From AWS's Service Authorization Reference; lines marked (?) could not be confirmed and are the narrower reading.
An operation that is not here is refused to a role: add its line.
"""

from __future__ import annotations

from collections.abc import Mapping

from local_aws.iam.actions_ec2 import EC2
from local_aws.iam.actions_scaling import SCALING
from local_aws.iam.needs import Need, Params, strings
from local_aws.settings import ACCOUNT_ID, REGION

_SM = "sagemaker:{region}:{account}:"
_ALARM = "cloudwatch:{region}:{account}:alarm:"
_LOGS = "logs:{region}:{account}:log-group:"
_STATES = "states:{region}:{account}:"
_BUILD = "codebuild:{region}:{account}:project/"

Table = Mapping[str, tuple[Need, ...]]

SAGEMAKER_KINDS = {
    "TrainingJob": "training-job",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "TransformJob": "transform-job",
    "ProcessingJob": "processing-job",
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "ModelPackageGroup": "model-package-group",
    "ModelPackage": "model-package",
}


def _builds(params: Params) -> list[str]:
    # A build is authorised on its project: ids are PROJECT:UUID, or end so.
    names = [*strings(params, "ids"), *strings(params, "id")]
    return [
        f"arn:aws:{_BUILD.format(region=REGION, account=ACCOUNT_ID)}{name.rpartition('/')[2].partition(':')[0]}"
        for name in names
    ]


def _parameters(params: Params) -> list[str]:
    # A public parameter (/aws/...) belongs to no account.
    names = [*strings(params, "Name"), *strings(params, "Names")]
    accounts = ["" if name.startswith("/aws/") else ACCOUNT_ID for name in names]
    pairs = zip(accounts, names, strict=True)
    return [f"arn:aws:ssm:{REGION}:{account}:parameter/{name.lstrip('/')}" for account, name in pairs]


def _pass(member: str, service: str = "sagemaker.amazonaws.com") -> Need:
    return Need("iam:PassRole", (f"{{{member}}}",), None, context={"iam:PassedToService": f"={service}"})


def _sagemaker(name: str, *kinds: str, tagged: bool = False, more: tuple[Need, ...] = ()) -> tuple[Need, ...]:
    """Authorised on the resources named by the members `<Kind>Name`; AddTags too where the request carries tags."""
    where = tuple(f"{_SM}{SAGEMAKER_KINDS[kind]}/{{{kind}Name}}" for kind in kinds)
    needs = [Need(f"sagemaker:{name}", where, lower=True)]
    if tagged:
        needs.append(Need("sagemaker:AddTags", where[:1], when="Tags", lower=True))
    return (*needs, *more)


_SAGEMAKER: Table = {
    **{f"Describe{kind}": _sagemaker(f"Describe{kind}", kind) for kind in SAGEMAKER_KINDS},
    **{f"Delete{kind}": _sagemaker(f"Delete{kind}", kind) for kind in SAGEMAKER_KINDS},
    **{
        f"Stop{kind}": _sagemaker(f"Stop{kind}", kind)
        for kind in ("TrainingJob", "HyperParameterTuningJob", "TransformJob", "ProcessingJob")
    },
    # Listing has no resource type.
    **{f"List{kind}s": (Need(f"sagemaker:List{kind}s"),) for kind in SAGEMAKER_KINDS},
    # But for this one, authorised on packages: (?) on those of the group it is asked for.
    "ListModelPackages": (
        Need("sagemaker:ListModelPackages", (f"{_SM}model-package/{{ModelPackageGroupName}}/*",), lower=True),
    ),
    "Search": (Need("sagemaker:Search"),),
    "CreateTrainingJob": _sagemaker("CreateTrainingJob", "TrainingJob", tagged=True, more=(_pass("RoleArn"),)),
    "CreateHyperParameterTuningJob": _sagemaker(
        "CreateHyperParameterTuningJob",
        "HyperParameterTuningJob",
        tagged=True,
        more=(_pass("TrainingJobDefinition.RoleArn"), _pass("TrainingJobDefinitions.RoleArn")),
    ),
    "ListTrainingJobsForHyperParameterTuningJob": _sagemaker(
        "ListTrainingJobsForHyperParameterTuningJob", "HyperParameterTuningJob"
    ),
    "CreateTransformJob": _sagemaker("CreateTransformJob", "TransformJob", tagged=True),
    "CreateProcessingJob": _sagemaker("CreateProcessingJob", "ProcessingJob", tagged=True, more=(_pass("RoleArn"),)),
    "CreateModel": _sagemaker("CreateModel", "Model", tagged=True, more=(_pass("ExecutionRoleArn"),)),
    "CreateEndpointConfig": _sagemaker(
        "CreateEndpointConfig", "EndpointConfig", tagged=True, more=(_pass("ExecutionRoleArn"),)
    ),
    "CreateEndpoint": _sagemaker("CreateEndpoint", "Endpoint", "EndpointConfig", tagged=True),
    "UpdateEndpoint": _sagemaker("UpdateEndpoint", "Endpoint", "EndpointConfig"),
    "UpdateEndpointWeightsAndCapacities": _sagemaker("UpdateEndpointWeightsAndCapacities", "Endpoint"),
    "InvokeEndpoint": _sagemaker("InvokeEndpoint", "Endpoint"),
    "CreateModelPackageGroup": _sagemaker("CreateModelPackageGroup", "ModelPackageGroup", tagged=True),
    # A version's ARN is model-package/GROUP/NUMBER; the number comes with its creation.
    "CreateModelPackage": (
        Need("sagemaker:CreateModelPackage", (f"{_SM}model-package/{{ModelPackageGroupName}}/*",), lower=True),
        Need("sagemaker:AddTags", (f"{_SM}model-package/{{ModelPackageGroupName}}/*",), "*", when="Tags", lower=True),
    ),
    "UpdateModelPackage": (Need("sagemaker:UpdateModelPackage", ("{ModelPackageArn}",)),),
    "AddTags": (Need("sagemaker:AddTags", ("{ResourceArn}",)),),
    "ListTags": (Need("sagemaker:ListTags", ("{ResourceArn}",)),),
    "DeleteTags": (Need("sagemaker:DeleteTags", ("{ResourceArn}",)),),
}

_STATES_TABLE: Table = {
    "StartExecution": (Need("states:StartExecution", ("{stateMachineArn}",)),),
    "StartSyncExecution": (Need("states:StartSyncExecution", ("{stateMachineArn}",)),),
    "ListExecutions": (Need("states:ListExecutions", ("{stateMachineArn}",)),),
    "DescribeStateMachine": (Need("states:DescribeStateMachine", ("{stateMachineArn}",)),),
    "StopExecution": (Need("states:StopExecution", ("{executionArn}",)),),
    "DescribeExecution": (Need("states:DescribeExecution", ("{executionArn}",)),),
    "GetExecutionHistory": (Need("states:GetExecutionHistory", ("{executionArn}",)),),
    "ListStateMachines": (Need("states:ListStateMachines"),),
    # A task token has no resource type.
    **{name: (Need(f"states:{name}"),) for name in ("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat")},
}

_LAMBDA: Table = {
    name: (Need(f"lambda:{name}", ("{FunctionArn}",)),)
    for name in ("InvokeFunction", "GetFunction", "GetFunctionConfiguration")
}

_ECR: Table = {
    name: (Need(f"ecr:{name}", ("ecr:{region}:{account}:repository/{repositoryName}",)),)
    for name in (
        "DescribeImages", "DescribeRepositories", "BatchGetImage", "BatchCheckLayerAvailability", "BatchDeleteImage",
        "GetDownloadUrlForLayer", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage",
        "ListImages",
    )
} | {"GetAuthorizationToken": (Need("ecr:GetAuthorizationToken"),)}  # fmt: skip

_CODEBUILD: Table = {
    "StartBuild": (Need("codebuild:StartBuild", (_BUILD + "{projectName}",)),),
    "BatchGetBuilds": (Need("codebuild:BatchGetBuilds", (_builds,)),),
    "StopBuild": (Need("codebuild:StopBuild", (_builds,)),),
}


_LOGS_TABLE: Table = {
    "CreateLogGroup": (Need("logs:CreateLogGroup", (_LOGS + "{logGroupName}:*",)),),
    **{
        name: (Need(f"logs:{name}", (_LOGS + "{logGroupName}:log-stream:{logStreamName}",)),)
        for name in ("PutLogEvents", "GetLogEvents")
    },
    **{
        name: (Need(f"logs:{name}", (_LOGS + "{logGroupName}:*",)),)
        for name in ("CreateLogStream", "DescribeLogStreams", "FilterLogEvents", "PutRetentionPolicy")
    },
    "DescribeLogGroups": (Need("logs:DescribeLogGroups", (_LOGS + "*",)),),
    # Log delivery has no resource type.
    **{
        name: (Need(f"logs:{name}"),)
        for name in (
            "CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries",
            "PutResourcePolicy", "DescribeResourcePolicies",
        )
    },
}  # fmt: skip

_CLOUDWATCH: Table = {
    "PutMetricData": (Need("cloudwatch:PutMetricData", context={"cloudwatch:namespace": "Namespace"}),),
    "GetMetricData": (Need("cloudwatch:GetMetricData"),),
    "GetMetricStatistics": (Need("cloudwatch:GetMetricStatistics"),),
    "ListMetrics": (Need("cloudwatch:ListMetrics"),),
    "PutMetricAlarm": (Need("cloudwatch:PutMetricAlarm", (_ALARM + "{AlarmName}",)),),
    "DeleteAlarms": (Need("cloudwatch:DeleteAlarms", (_ALARM + "{AlarmNames}",)),),
    # Without names it is asked about every alarm, which a policy on some alarms does not allow.
    "DescribeAlarms": (Need("cloudwatch:DescribeAlarms", (_ALARM + "{AlarmNames}",)),),
}

_EVENTS: Table = {
    "PutEvents": (Need("events:PutEvents", ("events:{region}:{account}:event-bus/default",)),),
    **{
        name: (Need(f"events:{name}", ("events:{region}:{account}:rule/{Rule}",)),)
        for name in ("PutTargets", "RemoveTargets", "ListTargetsByRule")
    },
    **{
        name: (Need(f"events:{name}", ("events:{region}:{account}:rule/{Name}",)),)
        for name in ("PutRule", "DescribeRule", "DeleteRule", "EnableRule", "DisableRule")
    },
}

_SSM: Table = {name: (Need(f"ssm:{name}", (_parameters,)),) for name in ("GetParameter", "GetParameters")}


_SCHEDULES: Table = {
    name: (Need(f"scheduler:{name}", ("scheduler:{region}:{account}:schedule/{GroupName}/{Name}",)), *more)
    for name, more in {
        "GetSchedule": (),
        "DeleteSchedule": (),
        "CreateSchedule": (_pass("Target.RoleArn", "scheduler.amazonaws.com"),),
        "UpdateSchedule": (_pass("Target.RoleArn", "scheduler.amazonaws.com"),),
    }.items()
}
_SNS: Table = {"Publish": (Need("sns:Publish", ("{TopicArn}",)),)}
_STS: Table = {
    "AssumeRole": (Need("sts:AssumeRole", ("{RoleArn}",)),),
    # Needs no permission, and cannot be denied.
    "GetCallerIdentity": (),
}
_XRAY: Table = {
    name: (Need(f"xray:{name}"),)
    for name in ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets")
}
_TAGGING: Table = {"GetResources": (Need("tag:GetResources"),)}
_IAM: Table = {
    "CreateServiceLinkedRole": (
        Need(
            "iam:CreateServiceLinkedRole",
            ("iam::{account}:role/aws-service-role/{AWSServiceName}/*",),
            context={"iam:AWSServiceName": "AWSServiceName"},
        ),
    ),
    "GetRole": (Need("iam:GetRole", ("iam::{account}:role/{RoleName}",)),),
}

# By MiniStack's names of the services.
TABLE: dict[str, Table] = {
    "sagemaker": _SAGEMAKER,
    "states": _STATES_TABLE,
    "application-autoscaling": SCALING,
    "lambda": _LAMBDA,
    "ecr": _ECR,
    "codebuild": _CODEBUILD,
    "logs": _LOGS_TABLE,
    "monitoring": _CLOUDWATCH,
    "events": _EVENTS,
    "ssm": _SSM,
    "scheduler": _SCHEDULES,
    "sns": _SNS,
    "sts": _STS,
    "xray": _XRAY,
    "tagging": _TAGGING,
    "iam": _IAM,
    "ec2": EC2,
}
