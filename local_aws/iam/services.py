"""What AWS's services do in the name of a role: pull images, write logs and metrics, deliver state machines' logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from local_aws.credentials import Principal
from local_aws.iam.callers import AccessDeniedError, acting, allowed, assume, enforced, require
from local_aws.iam.gate import needed
from local_aws.iam.policy import Request
from local_aws.settings import ACCOUNT_ID, REGION

PULL = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
PUSH = ("BatchGetImage", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage")


def _repository(image: str) -> str:
    """ARN of the repository of REGISTRY/NAME:TAG; a registry is ACCOUNT.dkr.ecr.REGION.amazonaws.com."""
    registry, _, rest = image.partition("/")
    name = rest.partition("@")[0].rpartition(":")[0] or rest.partition("@")[0]
    account, _, region = registry.partition(".dkr.ecr.")
    region = region.partition(".")[0] if region else REGION
    return f"arn:aws:ecr:{region}:{account if account.isdigit() else ACCOUNT_ID}:repository/{name}"


def _ecr(image: str, actions: Iterable[str]) -> Iterator[Request]:
    yield Request("ecr:GetAuthorizationToken", "*")
    for action in actions:
        yield Request(f"ecr:{action}", _repository(image))


def pull(image: str, principal: Principal) -> None:
    """The role may pull the image. Raises AccessDeniedError in SageMaker's words."""
    if not enforced():
        return
    for request in _ecr(image, PULL):
        if allowed(principal, request):
            action = request.action.partition(":")[2]
            raise AccessDeniedError(
                f"The role '{principal.role_arn}' does not have {action} permission for the image: '{image}'",
                request.action,
            )


def push(image: str) -> None:
    """The caller may push the image, as a build does. Raises AccessDeniedError."""
    require(_ecr(image, ("BatchCheckLayerAvailability", *PUSH)))


def may_log(principal: Principal | None, group: str, stream: str, group_exists: bool = True) -> bool:
    """Whether log lines of the role's work appear: without the right they silently do not, as on AWS."""
    if principal is None or not enforced():
        return True
    params = {"logGroupName": group, "logStreamName": stream}
    names = (
        ("CreateLogStream", "PutLogEvents") if group_exists else ("CreateLogGroup", "CreateLogStream", "PutLogEvents")
    )
    return not [one for name in names for one in needed("logs", name, params) if allowed(principal, one)]


def may_log_apis(role_arn: str | None, api_id: str, group: str, stream: str) -> bool:
    """Whether API Gateway, under its role for the account, may write an access log. Without a role it cannot."""
    if not enforced():
        return True
    source = f"arn:aws:apigateway:{REGION}:{ACCOUNT_ID}:/restapis/{api_id}"
    try:
        principal = assume(role_arn, "apigateway.amazonaws.com", source, "apigateway") if role_arn else None
    except AccessDeniedError:
        principal = None
    return principal is not None and may_log(principal, group, stream)


def may_put_metrics(principal: Principal, namespace: str) -> bool:
    """Whether metrics of the role's work appear."""
    requests = needed("monitoring", "PutMetricData", {"Namespace": namespace})
    return not enforced() or not [one for one in requests if allowed(principal, one)]


@dataclass(frozen=True)
class Work:
    """A job's or a container's role, and what of its output may be seen."""

    principal: Principal
    logs: bool = True
    metrics: bool = True


def sagemaker(role_arn: str, source_arn: str) -> Principal:
    """The role as SageMaker takes it on for a resource. Raises AccessDeniedError in SageMaker's words."""
    try:
        return assume(role_arn, "sagemaker.amazonaws.com", source_arn, "SageMaker")
    except AccessDeniedError as error:
        message = (
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            f"'sagemaker.amazonaws.com' to assume the role. ({error.message})"
        )
        raise AccessDeniedError(message, error.action) from None


def describe_alarms(role_arn: str, source_arn: str, names: list[str]) -> None:
    """The execution role may look at the alarms of a guarded update. Raises AccessDeniedError."""
    require(needed("monitoring", "DescribeAlarms", {"AlarmNames": names}), sagemaker(role_arn, source_arn))


def begun(role_arn: str, source_arn: str, image: str, log_group: str, namespace: str) -> Work:
    """Work under an execution role: the role taken on, the image pulled. Raises AccessDeniedError."""
    from ministack import app  # noqa: PLC0415 - only in the emulator's own process

    principal = sagemaker(role_arn, source_arn)
    if image:
        pull(image, principal)
    known = log_group in app._get_module("cloudwatch_logs")._log_groups
    stream = source_arn.rpartition("/")[2]
    return Work(
        principal, may_log(principal, log_group, f"{stream}/algo-1", known), may_put_metrics(principal, namespace)
    )


@contextlib.contextmanager
def working(work: Work | None) -> Iterator[None]:
    """Within it, S3 and the rest are called under the work's role."""
    with acting(work.principal if work else None):
        yield
