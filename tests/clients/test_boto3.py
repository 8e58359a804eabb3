"""boto3's own waiters and paginators over SageMaker: written for AWS, they see what AWS would show."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import WaiterError

from .conftest import Clients, fresh

SOON = {"Delay": 1, "MaxAttempts": 60}
NAMED = {
    "training_job_completed_or_stopped": "TrainingJobName",
    "endpoint_in_service": "EndpointName",
    "endpoint_deleted": "EndpointName",
    "processing_job_completed_or_stopped": "ProcessingJobName",
    "transform_job_completed_or_stopped": "TransformJobName",
    "notebook_instance_in_service": "NotebookInstanceName",
    "notebook_instance_stopped": "NotebookInstanceName",
    "notebook_instance_deleted": "NotebookInstanceName",
    "image_created": "ImageName",
    "image_updated": "ImageName",
    "image_deleted": "ImageName",
    "image_version_created": "ImageName",
    "image_version_deleted": "ImageName",
}


@pytest.fixture(scope="module")
def sagemaker(clients: Clients) -> Any:
    return clients.stage.aws.client("sagemaker")


def started(clients: Clients, mode: str, **changes: Any) -> str:
    """The name of a new training job."""
    name = fresh("job")
    request = clients.stage.job(name, mode=mode, **changes)
    clients.stage.aws.client("sagemaker").create_training_job(**request)
    return name


def test_every_waiter_of_the_model_is_looked_at_here(sagemaker: Any) -> None:
    assert set(sagemaker.waiter_names) == set(NAMED)


@pytest.mark.parametrize("end", ["completed", "stopped"])
def test_the_job_waiter_returns_when_the_job_has_completed_or_was_stopped(
    clients: Clients, sagemaker: Any, end: str
) -> None:
    name = started(clients, "good" if end == "completed" else "wait")
    if end == "stopped":
        sagemaker.stop_training_job(TrainingJobName=name)

    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig=SOON)

    assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"].lower() == end


def test_the_job_waiter_gives_up_at_once_on_a_failed_job_and_carries_the_reason(
    clients: Clients, sagemaker: Any
) -> None:
    name = started(clients, "fail")

    with pytest.raises(WaiterError, match="terminal failure state") as raised:
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig=SOON)

    assert "error: the data is no good" in raised.value.last_response["FailureReason"]


def test_the_endpoint_waiters_follow_an_endpoint_from_start_to_end(clients: Clients, sagemaker: Any) -> None:
    name = clients.stage.endpoint()

    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=SOON)

    assert name not in [one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]]


def test_the_endpoint_waiter_gives_up_on_a_container_that_does_not_start(clients: Clients, sagemaker: Any) -> None:
    name = fresh("broken")
    clients.stage.model(name, broken="")
    clients.stage.config(name, name)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    with pytest.raises(WaiterError, match="terminal failure state"):
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=SOON)

    sagemaker.delete_endpoint(EndpointName=name)


def transform(clients: Clients, body: bytes) -> str:
    """The name of a new transform job over one object, which holds `body`."""
    name, stage = fresh("batch"), clients.stage
    stage.model(name, **{"version.txt": "1"})
    stage.aws.client("s3").put_object(Bucket=stage.bucket, Key=f"in/{name}/one", Body=body)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{stage.bucket}/in/{name}/"}
    stage.aws.client("sagemaker").create_transform_job(
        TransformJobName=name,
        ModelName=name,
        TransformInput={"DataSource": {"S3DataSource": source}},
        TransformOutput={"S3OutputPath": f"s3://{stage.bucket}/out/{name}"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    return name


def test_the_transform_waiter_tells_a_completed_job_from_a_failed_one(clients: Clients, sagemaker: Any) -> None:
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")

    waiter.wait(TransformJobName=transform(clients, b"one"), WaiterConfig=SOON)
    with pytest.raises(WaiterError, match="terminal failure state"):
        waiter.wait(TransformJobName=transform(clients, b"status:400:"), WaiterConfig=SOON)


@pytest.mark.parametrize("waiter", sorted(set(NAMED) - {"endpoint_deleted"}))
def test_a_waiter_for_what_is_not_there_ends_at_its_first_look(sagemaker: Any, waiter: str) -> None:
    once = {"Delay": 1, "MaxAttempts": 1}

    with pytest.raises(WaiterError, match=r"ValidationException|ResourceNotFound|NotImplementedException"):
        sagemaker.get_waiter(waiter).wait(**{NAMED[waiter]: "no-such-thing"}, WaiterConfig=once)


# Paginators: operation, the list's key, the name's key.
PAGED = [
    ("list_training_jobs", "TrainingJobSummaries", "TrainingJobName"),
    ("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", "HyperParameterTuningJobName"),
    ("list_training_jobs_for_hyper_parameter_tuning_job", "TrainingJobSummaries", "TrainingJobName"),
    ("list_transform_jobs", "TransformJobSummaries", "TransformJobName"),
    ("list_models", "Models", "ModelName"),
    ("list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"),
    ("list_model_packages", "ModelPackageSummaryList", "ModelPackageArn"),
    ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    ("list_endpoints", "Endpoints", "EndpointName"),
]


def tuning_request(clients: Clients, name: str) -> dict[str, Any]:
    """A grid of three trials."""
    job = clients.stage.job(name)
    static = {key: value for key, value in job["HyperParameters"].items() if key != "epochs"}
    kept = ("AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig")
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Grid",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:accuracy"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 3},
            "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "epochs", "Values": ["1", "2", "3"]}]},
        },
        "TrainingJobDefinition": {
            **{key: job[key] for key in (*kept, "StoppingCondition")},
            "StaticHyperParameters": static,
        },
    }


@pytest.fixture(scope="module")
def three_of_each(clients: Clients, sagemaker: Any) -> str:
    """Three of everything that is listed; gives the name of a tuning job with three trials and a group of three."""
    tunings = [fresh("tuning") for _ in range(3)]
    for name in tunings:
        clients.stage.endpoint()
        transform(clients, b"one")
        sagemaker.create_model_package_group(ModelPackageGroupName=name)
        sagemaker.create_hyper_parameter_tuning_job(**tuning_request(clients, name))
        container = {"Image": clients.stage.image, "ModelDataUrl": f"s3://{clients.stage.bucket}/code/source.tar.gz"}
        types = {"SupportedContentTypes": ["image/jpeg"], "SupportedResponseMIMETypes": ["application/json"]}
        sagemaker.create_model_package(
            ModelPackageGroupName=tunings[0], InferenceSpecification={"Containers": [container], **types}
        )
    ended = sagemaker.get_waiter("training_job_completed_or_stopped")
    for name in tunings:
        trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        for trial in trials["TrainingJobSummaries"]:
            ended.wait(TrainingJobName=trial["TrainingJobName"], WaiterConfig=SOON)
    return tunings[0]


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "key", "name"), PAGED, ids=[one[0] for one in PAGED])
def test_pages_of_two_add_up_to_the_whole_list_in_its_order(
    sagemaker: Any, three_of_each: str, operation: str, key: str, name: str
) -> None:
    of = {
        "list_training_jobs_for_hyper_parameter_tuning_job": {"HyperParameterTuningJobName": three_of_each},
        "list_model_packages": {"ModelPackageGroupName": three_of_each},
    }.get(operation, {})
    whole = [one[name] for one in getattr(sagemaker, operation)(MaxResults=100, **of)[key]]
    paginator = sagemaker.get_paginator(operation)

    pages = list(paginator.paginate(**of, PaginationConfig={"PageSize": 2}))

    assert len(pages) > 1
    assert [one[name] for page in pages for one in page[key]] == whole
    first = paginator.paginate(**of, PaginationConfig={"MaxItems": 1}).build_full_result()
    rest = paginator.paginate(**of, PaginationConfig={"StartingToken": first["NextToken"]}).build_full_result()
    assert [one[name] for one in (*first[key], *rest[key])] == whole


def test_paginators_of_the_other_services_turn_their_pages_too(clients: Clients, sagemaker: Any) -> None:
    name = started(clients, "good")
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig=SOON)
    logs, s3 = clients.stage.aws.client("logs"), clients.stage.aws.client("s3")
    of = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": f"{name}/"}

    lines = logs.get_paginator("filter_log_events").paginate(**of, PaginationConfig={"PageSize": 2})
    objects = s3.get_paginator("list_objects_v2").paginate(
        Bucket=clients.stage.bucket, Prefix="data/", PaginationConfig={"PageSize": 3}
    )

    assert len([event for page in lines for event in page["events"]]) == 4
    assert [len(page["Contents"]) for page in objects] == [3, 1]


def test_a_token_from_nowhere_is_refused(sagemaker: Any) -> None:
    with pytest.raises(sagemaker.exceptions.ClientError, match="NextToken"):
        sagemaker.list_models(NextToken="bm93aGVyZQ==")
