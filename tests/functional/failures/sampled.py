"""Samples in the endpoint's log, as the real container writes them, and the function that watches them for drift."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from .quick import Quick


def put(quick: Quick, pictures: int, brightness: float = 0.5) -> None:
    """So many samples of the model in service; those around 0.5 are like the baseline of the quick programs."""
    endpoint = quick.client("sagemaker").describe_endpoint(EndpointName=quick.stack.endpoint_name)
    run = endpoint["EndpointConfigName"].removeprefix(f"{quick.stack.name}-")
    lines = []
    for number in range(pictures):
        away = 0.08 if number % 2 else -0.08
        sample = {"event": "sampled", "model": run, "precision": "f32", "index": 0, "confidence": 0.95 - away}
        lines.append(json.dumps({**sample, "features": [brightness + away]}))
    group, stream = f"/aws/sagemaker/Endpoints/{quick.stack.name}", f"primary/{uuid.uuid4().hex}"
    client, now = quick.client("logs"), int(time.time() * 1000)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": now, "message": line} for line in lines]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def watch(quick: Quick) -> Any:
    """What the function answers, asked by hand for the hour that ends now; a failure in Lambda's form."""
    resource = quick.client("cloudformation").describe_stack_resource(
        StackName=quick.stack.name, LogicalResourceId="WatchDriftFunction"
    )
    name = resource["StackResourceDetail"]["PhysicalResourceId"]
    return json.load(quick.client("lambda").invoke(FunctionName=name, Payload=b"{}")["Payload"])
