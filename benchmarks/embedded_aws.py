"""How fast the embedded AWS is up, what it holds in memory when idle, and what Lambda and the API add to the endpoint.

Overhead is a difference of medians of calls made in turn (endpoint, function, API, endpoint, ...) by one client with
the same picture, so that noise of the machine meets all three alike. Each call's JPEG has a comment of its own, since
the container answers what comes again from memory.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import httpx
import psutil
from rich.console import Console

from benchmarks.claims import claim, record
from tools import ask, demo, local_stack
from tools.stack import Stack

STARTS = 5
CALLS = 300


def main() -> int:
    """Measure and record."""
    starts, idle = zip(*(_start_once() for _ in range(STARTS)), strict=True)
    with running_stack() as (stack, pictures, state):
        in_service = _resident_mb(state)
        endpoint, function, api = _calls_in_turn(stack, pictures[0])
    claims = [
        claim("embedded AWS up", "<=", 3.0, statistics.median(starts), "s"),
        claim("embedded AWS idle with nothing deployed, resident in all", "<=", 150.0, statistics.median(idle), "MB"),
        claim("function warm, above a direct InvokeEndpoint, p50", "<=", 15.0, function - endpoint, "ms"),
    ]
    details = {
        "endpoint_p50_ms": endpoint,
        "function_p50_ms": function,
        "api_p50_ms": api,
        "calls_each": CALLS,
        "resident_with_functions_and_model_in_service_mb": in_service,
    }
    return record("embedded_aws", claims, details)


@contextlib.contextmanager
def running_stack() -> Iterator[tuple[Stack, list[Path], Path]]:
    """The stack of `make demo` with a model in service, its test pictures, its state; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        state = Path(scratch) / "aws"
        with local_stack.stopped_afterwards(state):
            stack, pictures = demo.main_job(Console(), None, Path(scratch), state)
            yield stack, pictures, state


def _start_once() -> tuple[float, float]:
    """Seconds from the command to ready, and megabytes resident in all of its processes 3 s later."""
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        state = Path(scratch) / "aws"
        with local_stack.stopped_afterwards(state):
            began = time.perf_counter()
            local_stack.start(state)
            seconds = time.perf_counter() - began
            time.sleep(3)
            return seconds, _resident_mb(state)


def _resident_mb(state: Path) -> float:
    """Resident megabytes of the embedded AWS and everything it has started."""
    process = psutil.Process(json.loads((state / "local_aws.json").read_text())["pid"])
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6


def _calls_in_turn(stack: Stack, picture: Path) -> tuple[float, float, float]:
    """Median milliseconds of: the endpoint called directly, the function invoked directly, the API."""
    content_type = ask.content_type(picture)
    runtime, functions, cloud, s3 = (
        boto3.client(name) for name in ("sagemaker-runtime", "lambda", "cloudformation", "s3")
    )
    outputs = cloud.describe_stacks(StackName=stack.name)["Stacks"][0]["Outputs"]
    function = next(one["OutputValue"] for one in outputs if one["OutputKey"] == "ClassifyFunction")
    key = f"{demo.DATA_PREFIX}{'/'.join(picture.parts[-3:])}"
    s3_event = json.dumps({"s3": f"s3://{stack.data_bucket}/{key}"})

    with httpx.Client(headers={"x-api-key": stack.api_key, "content-type": content_type}) as client:

        def endpoint(body: bytes) -> None:
            runtime.invoke_endpoint(EndpointName=stack.endpoint_name, Body=body, ContentType=content_type)

        def invoke(body: bytes) -> None:
            answer = functions.invoke(FunctionName=function, Qualifier="live", Payload=s3_event)
            answer["Payload"].read()

        def api(body: bytes) -> None:
            client.post(f"{stack.api_url}/predictions", content=body).raise_for_status()

        times: dict[Callable[[bytes], None], list[float]] = {endpoint: [], invoke: [], api: []}
        for number in range(CALLS):
            for turn, (call, seen) in enumerate(times.items()):
                body = _commented(picture.read_bytes(), 3 * number + turn)
                if call is invoke:  # it reads the picture from S3, within its time
                    s3.put_object(Bucket=stack.data_bucket, Key=key, Body=body)
                began = time.perf_counter()
                call(body)
                seen.append((time.perf_counter() - began) * 1000)
        return (statistics.median(times[endpoint]), statistics.median(times[invoke]), statistics.median(times[api]))


def _commented(jpeg: bytes, number: int) -> bytes:
    """The same picture with a comment: start of image, comment, length with its own two bytes, text, the rest."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + b"%08d" % number + jpeg[2:]


if __name__ == "__main__":
    sys.exit(main())
