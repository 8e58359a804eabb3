"""sagemaker-core: training jobs made, found, waited for and stopped as objects. Writes what it saw as JSON.

Argument: {"answer": a path, "requests": {"good", "wait"}}, CreateTrainingJob requests with AWS's own member names.
"""

import json
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from sagemaker.core import shapes
from sagemaker.core.resources import TrainingJob


def create(request: dict[str, Any]) -> TrainingJob:
    algorithm = request["AlgorithmSpecification"]
    channel = request["InputDataConfig"][0]
    source = shapes.S3DataSource(s3_data_type="S3Prefix", s3_uri=channel["DataSource"]["S3DataSource"]["S3Uri"])
    return TrainingJob.create(
        training_job_name=request["TrainingJobName"],
        role_arn=request["RoleArn"],
        algorithm_specification=shapes.AlgorithmSpecification(
            training_image=algorithm["TrainingImage"], training_input_mode="File"
        ),
        hyper_parameters=request["HyperParameters"],
        input_data_config=[
            shapes.Channel(channel_name="training", data_source=shapes.DataSource(s3_data_source=source))
        ],
        output_data_config=shapes.OutputDataConfig(s3_output_path=request["OutputDataConfig"]["S3OutputPath"]),
        resource_config=shapes.ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
        stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=60),
        tags=[{"key": "team", "value": "dogs"}],
    )


given = json.loads(sys.argv[1])
good, waiting = create(given["requests"]["good"]), create(given["requests"]["wait"])
waiting.stop()
waiting.wait(poll=1)
good.wait(poll=1)
names = [good.training_job_name, waiting.training_job_name]
listed = [job.training_job_name for job in TrainingJob.get_all(name_contains="core-", sort_by="Name")]
try:
    TrainingJob.get("no-such-job")
    refused = None
except ClientError as error:
    refused = error.response["Error"]["Code"]
Path(given["answer"]).write_text(
    json.dumps(
        {
            "statuses": [TrainingJob.get(name).training_job_status for name in names],
            "listed": sorted(listed) == sorted(names),
            "seconds": good.billable_time_in_seconds,
            "refused": refused,
        }
    )
)
