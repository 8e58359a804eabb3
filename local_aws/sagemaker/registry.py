"""Model package groups: the registry's folders, whose versions are model packages (packages.py)."""

from __future__ import annotations

from typing import Any

from local_aws.errors import ApiError, validation
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.store import Record, Store

_GROUP = (
    "ModelPackageGroupName",
    "ModelPackageGroupArn",
    "ModelPackageGroupDescription",
    "CreationTime",
    "ModelPackageGroupStatus",
)


def plain_name(name_or_arn: str) -> str:
    """The name in an ArnOrName or VersionedArnOrName: `group` of `arn:...:model-package-group/group`, `group/3`."""
    return name_or_arn.split("/", 1)[1] if name_or_arn.startswith("arn:") else name_or_arn


class ModelPackageGroups:
    """CreateModelPackageGroup, DescribeModelPackageGroup, ListModelPackageGroups, DeleteModelPackageGroup."""

    def __init__(self, store: Store, tags: Tags) -> None:
        self.store = store
        self.tags = tags

    def get(self, name_or_arn: str) -> Record:
        """The group's record. Raises ValidationException as AWS does."""
        name = plain_name(name_or_arn)
        record = self.store.table("model_package_groups").get(name.lower())
        if record is None:
            raise validation(f"ModelPackageGroup {arn('model-package-group', name)} does not exist.")
        return record

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateModelPackageGroup."""
        name = request["ModelPackageGroupName"]
        group_arn = arn("model-package-group", name)
        if request.get("ManagedConfiguration"):
            raise validation("ManagedConfiguration is not there in the local AWS: see local_aws/COVERAGE.md")
        # As names in ARNs are lower-cased, names that differ in case only are the same group.
        if name.lower() in self.store.table("model_package_groups"):
            raise validation(f"Model Package Group already exists: {group_arn}")
        with self.store.change():
            record = {key: value for key, value in request.items() if key != "Tags"}
            record |= {
                "ModelPackageGroupArn": group_arn,
                "CreationTime": now(),
                "ModelPackageGroupStatus": "Completed",
                "LastVersion": 0,
            }
            self.store.table("model_package_groups")[name.lower()] = record
            self.tags.put(group_arn, request.get("Tags", []))
        return {"ModelPackageGroupArn": group_arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeModelPackageGroup."""
        return {**chosen(self.get(request["ModelPackageGroupName"]), _GROUP), "CreatedBy": {}}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListModelPackageGroups."""
        table = self.store.table("model_package_groups")
        found, more = page(table.values(), request, "ModelPackageGroupName", "", "Ascending")
        return {"ModelPackageGroupSummaryList": [chosen(one, _GROUP) for one in found], **more}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteModelPackageGroup: only an empty one."""
        record = self.get(request["ModelPackageGroupName"])
        name, group_arn = record["ModelPackageGroupName"], record["ModelPackageGroupArn"]
        packages = self.store.table("model_packages").values()
        held = sum(one.get("ModelPackageGroupName") == name for one in packages)
        if held:
            raise ApiError(
                "ConflictException",
                f"Model Package Group {group_arn} cannot be deleted: it contains {held} model package(s). "
                "Delete them first.",
            )
        with self.store.change():
            del self.store.table("model_package_groups")[name.lower()]
            self.tags.forget(group_arn)
        return {}
