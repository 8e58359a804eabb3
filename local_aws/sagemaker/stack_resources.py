"""SageMaker's resources that a CloudFormation template may hold, in the form MiniStack's CloudFormation takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_aws import validation
from local_aws.errors import ApiError
from local_aws.models import service_model
from local_aws.sagemaker.registry import ModelPackageGroups

_FIELDS = ("ModelPackageGroupName", "ModelPackageGroupDescription", "Tags")


def model_package_group(groups: ModelPackageGroups) -> dict[str, Callable[..., Any]]:
    """AWS::SageMaker::ModelPackageGroup: Ref is its ARN. A group with packages in it is not deleted, as on AWS."""

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        request = {name: props[name] for name in _FIELDS if name in props}
        try:
            operation = service_model("sagemaker", ("CreateModelPackageGroup",)).operation_model
            validation.check(operation("CreateModelPackageGroup"), request)
            arn = groups.create(request)["ModelPackageGroupArn"]
        except ApiError as error:
            raise ValueError(f"AWS::SageMaker::ModelPackageGroup create failed: {error.message}") from error
        return arn, {"ModelPackageGroupArn": arn, "ModelPackageGroupStatus": "Completed"}

    def delete(physical_id: str, props: dict[str, Any]) -> None:
        try:
            groups.delete({"ModelPackageGroupName": physical_id})
        except ApiError as error:
            if "does not exist" not in error.message:
                raise ValueError(f"AWS::SageMaker::ModelPackageGroup delete failed: {error.message}") from error

    return {"create": create, "delete": delete}
