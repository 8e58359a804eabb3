"""What models answer at rest, each on an endpoint of its own: what their answers under load are compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3

from tools import ask
from tools.load import Predictions, name_of, predictions_of
from tools.stack import Stack


def asked_alone(
    stack: Stack, models: Mapping[str, str], image: str, role: str, pictures: list[Path]
) -> dict[tuple[str, str], Predictions]:
    """What each model gives for each picture on an endpoint of its own: (version, picture) -> predictions."""
    runtime, reference = boto3.client("sagemaker-runtime"), {}
    for version, model_data in models.items():
        with endpoint_of_its_own(f"{stack.name}-alone", image, model_data, role) as name:
            for path in pictures:
                answer = runtime.invoke_endpoint(
                    EndpointName=name, Body=path.read_bytes(), ContentType=ask.content_type(path)
                )
                body = json.loads(answer["Body"].read())
                if body["model"] != version:
                    raise RuntimeError(f"{model_data} answers as {body['model']}, not as {version}")
                reference[version, name_of(path)] = predictions_of(body)
    return reference


@contextmanager
def endpoint_of_its_own(name: str, image: str, model_data: str, role: str) -> Iterator[str]:
    """An endpoint of one instance, taken away at the end."""
    client = boto3.client("sagemaker")
    client.create_model(
        ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": image, "ModelDataUrl": model_data}
    )
    variant = {
        "VariantName": "primary",
        "ModelName": name,
        "InstanceType": "ml.c7i.large",
        "InitialInstanceCount": 1,
    }
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    try:
        client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        yield name
    finally:
        client.delete_endpoint(EndpointName=name)
        client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        client.delete_endpoint_config(EndpointConfigName=name)
        client.delete_model(ModelName=name)
