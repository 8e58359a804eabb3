"""Model packages: the registered versions of a group, and unversioned ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from local_aws import events, objects
from local_aws.errors import validation
from local_aws.sagemaker.common import Tags, arn, chosen, now, page
from local_aws.sagemaker.registry import ModelPackageGroups, plain_name
from local_aws.store import Record, Store

_UNSUPPORTED = ("ValidationSpecification", "SourceAlgorithmSpecification", "ManagedStorageType")
_SUMMARY = (
    "ModelPackageName",
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "ModelPackageStatus",
    "ModelApprovalStatus",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)
# What UpdateModelPackage replaces as it is given.
_REPLACED = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "ModelPackageRegistrationType",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)
_EVENT = (
    *_SUMMARY,
    "InferenceSpecification",
    "ModelPackageStatusDetails",
    "CertifyForMarketplace",
    "MetadataProperties",
    "ModelMetrics",
    "CustomerMetadataProperties",
    "ApprovalDescription",
    "LastModifiedTime",
)


def _check_data(specification: dict[str, Any]) -> None:
    for container in specification.get("Containers", []):
        url = container.get("ModelDataUrl")
        if url and not objects.exists(url):
            raise validation(
                f"Could not access model data at {url}: there is no such object, or the caller may not read it."
            )


class ModelPackages:
    """CreateModelPackage, DescribeModelPackage, ListModelPackages, UpdateModelPackage, DeleteModelPackage."""

    def __init__(self, store: Store, tags: Tags, groups: ModelPackageGroups) -> None:
        self.store = store
        self.tags = tags
        self.groups = groups

    def get(self, name_or_arn: str) -> Record:
        """The package's record, by ARN, by name, or as `group/version`. Raises ValidationException as AWS does."""
        package_arn = arn("model-package", plain_name(name_or_arn))
        record = self.store.table("model_packages").get(package_arn)
        if record is None:
            raise validation(f"ModelPackage {package_arn} does not exist.")
        return record

    def container(self, name_or_arn: str) -> Record:
        """Image, ModelDataUrl and Environment of a package that may be deployed. Raises ValidationException."""
        record = self.get(name_or_arn)
        if record.get("ModelApprovalStatus", "Approved") != "Approved":
            raise validation(
                f"Cannot deploy ModelPackage {record['ModelPackageArn']}: its ModelApprovalStatus is "
                f"{record['ModelApprovalStatus']}, not Approved."
            )
        containers = record.get("InferenceSpecification", {}).get("Containers", [])
        if len(containers) != 1 or not containers[0].get("Image"):
            raise validation(
                f"ModelPackage {record['ModelPackageArn']} must have one container with an Image in its "
                "InferenceSpecification to be run by the local AWS: see local_aws/COVERAGE.md"
            )
        return chosen(containers[0], ("Image", "ModelDataUrl", "Environment"))

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateModelPackage: a group's next version, or an unversioned one; it is Completed at once."""
        name, group_name = request.get("ModelPackageName"), request.get("ModelPackageGroupName")
        if name and group_name:
            raise validation(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
                "Cannot determine which one to use."
            )
        if not name and not group_name:
            raise validation("Missing ARN.")
        for member in _UNSUPPORTED:
            if request.get(member):
                raise validation(
                    f"CreateModelPackage.{member} is not there in the local AWS: see local_aws/COVERAGE.md"
                )
        known = self._by_token(request)
        if known is not None:
            return {"ModelPackageArn": known["ModelPackageArn"]}
        _check_data(request.get("InferenceSpecification", {}))
        record = self._versioned(request) if group_name else self._unversioned(request)
        events.publish(*self._event(record))
        return {"ModelPackageArn": record["ModelPackageArn"]}

    def _by_token(self, request: dict[str, Any]) -> Record | None:
        """The package that an earlier request with the same ClientToken made."""
        token = request.get("ClientToken")
        records = self.store.table("model_packages").values()
        return next((one for one in records if token and one.get("ClientToken") == token), None)

    def _versioned(self, request: dict[str, Any]) -> Record:
        group = self.groups.get(request["ModelPackageGroupName"])
        if request.get("Tags"):
            raise validation("Tags cannot be given to a versioned model package: it has those of its group.")
        with self.store.change():
            group["LastVersion"] += 1
            self.store.table("model_package_groups").changed.append(group["ModelPackageGroupName"].lower())
            name = f"{group['ModelPackageGroupName']}/{group['LastVersion']}"
            approval = request.get("ModelApprovalStatus", "PendingManualApproval")
            return self._put(
                request,
                name,
                ModelPackageGroupName=group["ModelPackageGroupName"],
                ModelPackageVersion=group["LastVersion"],
                ModelApprovalStatus=approval,
            )

    def _unversioned(self, request: dict[str, Any]) -> Record:
        name = request["ModelPackageName"]
        package_arn = arn("model-package", name)
        if package_arn in self.store.table("model_packages"):
            raise validation(f"Model Package already exists: {package_arn}")
        with self.store.change():
            self.tags.put(package_arn, request.get("Tags", []))
            return self._put(request, name)

    def _put(self, request: dict[str, Any], name: str, **members: Any) -> Record:
        """Call inside store.change()."""
        package_arn = arn("model-package", name)
        record: Record = {
            "CertifyForMarketplace": False,
            **{key: value for key, value in request.items() if key != "Tags"},
            **members,
            "ModelPackageArn": package_arn,
            "CreationTime": now(),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        }
        self.store.table("model_packages")[package_arn] = record
        return record

    @staticmethod
    def _event(record: Record) -> tuple[str, str, dict[str, Any], str]:
        detail = chosen(record, _EVENT)
        for member in ("CreationTime", "LastModifiedTime"):
            if member in detail:
                detail[member] = datetime.fromtimestamp(detail[member], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return "aws.sagemaker", "SageMaker Model Package State Change", detail, record["ModelPackageArn"]

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        """DescribeModelPackage."""
        record = self.get(request["ModelPackageName"])
        return {key: value for key, value in record.items() if key != "ClientToken"}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListModelPackages: without a group and a type, the unversioned ones."""
        group = request.get("ModelPackageGroupName")
        wanted = self.groups.get(group)["ModelPackageGroupName"] if group else None
        kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
        approval = request.get("ModelApprovalStatus")
        kept = [
            {**one, "Name": one.get("ModelPackageName") or one["ModelPackageGroupName"]}
            for one in self.store.table("model_packages").values()
            if wanted in (None, one.get("ModelPackageGroupName"))
            and approval in (None, one.get("ModelApprovalStatus"))
            and kind in ("Both", "Versioned" if "ModelPackageVersion" in one else "Unversioned")
        ]
        found, more = page(kept, request, "Name", "", "Ascending")
        return {"ModelPackageSummaryList": [chosen(one, _SUMMARY) for one in found], **more}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateModelPackage: approval, metadata and the other members that may change."""
        record = self.get(request["ModelPackageArn"])
        if "ModelApprovalStatus" in request and "ModelPackageVersion" not in record:
            raise validation("ModelApprovalStatus applies to versioned model packages only.")
        _check_data(request.get("InferenceSpecification", {}))
        with self.store.change():
            record.update({name: request[name] for name in _REPLACED if name in request})
            if "CustomerMetadataProperties" in request or "CustomerMetadataPropertiesToRemove" in request:
                metadata = record.get("CustomerMetadataProperties", {}) | request.get("CustomerMetadataProperties", {})
                gone = request.get("CustomerMetadataPropertiesToRemove", [])
                record["CustomerMetadataProperties"] = {key: one for key, one in metadata.items() if key not in gone}
            added = request.get("AdditionalInferenceSpecificationsToAdd", [])
            if added:
                record["AdditionalInferenceSpecifications"] = [
                    *record.get("AdditionalInferenceSpecifications", []),
                    *added,
                ]
            record["LastModifiedTime"] = now()
            self.store.table("model_packages").changed.append(record["ModelPackageArn"])
        events.publish(*self._event(record))
        return {"ModelPackageArn": record["ModelPackageArn"]}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteModelPackage. Models made from it stay; a version's number is not given again."""
        record = self.get(request["ModelPackageName"])
        with self.store.change():
            del self.store.table("model_packages")[record["ModelPackageArn"]]
            self.tags.forget(record["ModelPackageArn"])
        return {}
