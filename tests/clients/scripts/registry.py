"""sagemaker-core: a model registered, approved, and used for a batch of pictures. Writes what it saw as JSON.

Argument: {"answer": a path, "role", "image", "name", "model": uri, "input": prefix, "output": prefix}.
"""

import json
import sys
from pathlib import Path

import boto3
from sagemaker.core import shapes
from sagemaker.core.resources import Model, ModelPackage, ModelPackageGroup, TransformJob

given = json.loads(sys.argv[1])
name = given["name"]

group = ModelPackageGroup.create(model_package_group_name=name, model_package_group_description="dogs")
# ModelPackage.create reads a name out of the answer, which AWS's service model has not: the version is made by boto3.
types = {"SupportedContentTypes": ["image/jpeg"], "SupportedResponseMIMETypes": ["application/json"]}
containers = [{"Image": given["image"], "ModelDataUrl": given["model"]}]
boto3.client("sagemaker").create_model_package(
    ModelPackageGroupName=name, InferenceSpecification={"Containers": containers, **types}
)
versions = list(ModelPackage.get_all(model_package_group_name=name))
package = ModelPackage.get(versions[0].model_package_arn)
package.update(model_approval_status="Approved")

container = shapes.ContainerDefinition(model_package_name=package.model_package_arn)
model = Model.create(model_name=name, primary_container=container, execution_role_arn=given["role"])
job = TransformJob.create(
    transform_job_name=name,
    model_name=name,
    transform_input=shapes.TransformInput(
        data_source=shapes.TransformDataSource(
            s3_data_source=shapes.TransformS3DataSource(s3_data_type="S3Prefix", s3_uri=given["input"])
        ),
        content_type="image/jpeg",
    ),
    transform_output=shapes.TransformOutput(s3_output_path=given["output"]),
    transform_resources=shapes.TransformResources(instance_type="ml.m5.large", instance_count=1),
)
job.wait(poll=1)
model.delete()
package.model_package_name = package.model_package_arn  # a version has no name, and delete goes by it
package.delete()
group.delete()
Path(given["answer"]).write_text(
    json.dumps(
        {
            "approval": package.model_approval_status,
            "version": package.model_package_version,
            "listed": len(versions),
            "transformed": job.transform_job_status,
            "left": len(list(ModelPackageGroup.get_all(name_contains=name))),
        }
    )
)
