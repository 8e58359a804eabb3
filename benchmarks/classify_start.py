"""What `classify` adds to a bare boto3 handler: when a copy of it starts cold, and to each warm call.

Cold: the time from the first line to a client of the model that is ready to be used, in processes of the same Python
that are started in turns: `functions/classify` with the layer, and a handler that does no more than make a boto3
client of sagemaker-runtime. Medians; the interpreter's own start is in neither, nor is AWS's time to place a copy.
Both find their modules compiled (.pyc), as Lambda's own boto3 is.

Warm: the handler on a proxy event with a JPEG of 100 KB, with a client that answers at once: decoding the event,
checking the picture, the answer, the log line and the metrics; the median of many calls, in the median process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from benchmarks.claims import ROOT, claim, figure, record, rounded

ROUNDS = int(os.environ.get("ROUNDS", "41"))
WARM_PROCESSES, WARM_CALLS = 5, 1000

TIMED = """
import time
began = time.perf_counter(), time.process_time()
{code}
print([time.perf_counter() - began[0], time.process_time() - began[1]], flush=True)
"""
BARE = """
import boto3
client = boto3.client("sagemaker-runtime")

def handler(event, context):
    answer = client.invoke_endpoint(EndpointName="kennel", ContentType="image/jpeg", Body=event["body"])
    return {"statusCode": 200, "body": answer["Body"].read()}
"""
CLASSIFY = """
from functions.classify import app
app.classify_settings()
app._runtime()
"""
WARM = """
import base64, contextlib, io, json, statistics, time
from functions.classify import app

class Context:
    function_name, memory_limit_in_mb, invoked_function_arn = "classify", 512, "arn:aws:lambda:::function:classify"
    aws_request_id = "11111111-2222-3333-4444-555555555555"

class Model:
    def invoke_endpoint(self, **asked):
        return {{"Body": io.BytesIO(ANSWER)}}

breeds = [{{"breed": f"Breed number {{n}}", "index": n, "probability": 0.2}} for n in range(5)]
ANSWER = json.dumps({{"predictions": breeds, "confident": True, "model": "run-1"}}).encode()
app._runtime = Model
event = {{
    "resource": "/predictions", "path": "/predictions", "httpMethod": "POST", "isBase64Encoded": True,
    "headers": {{"Content-Type": "image/jpeg"}}, "queryStringParameters": None, "requestContext": {{"requestId": "r"}},
    "body": base64.b64encode(b"\\xff\\xd8\\xff" + bytes(100_000)).decode(),
}}
times = []
with open("/dev/null", "w") as nowhere, contextlib.redirect_stdout(nowhere):
    app.logger.registered_handler.stream = nowhere
    for _ in range({calls}):
        began = time.perf_counter()
        assert app.handler(event, Context())["statusCode"] == 200
        times.append(time.perf_counter() - began)
print([statistics.median(times), sorted(times)[len(times) * 99 // 100]])
"""


def ran(code: str) -> tuple[float, float]:
    """The two figures that the code prints last, from a process that finds what a function finds in Lambda."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "layers" / "common"))),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "ENDPOINT_NAME": "kennel",
        "OWN_BUCKETS": "kennel-data",
        "POWERTOOLS_SERVICE_NAME": "classify",
        "POWERTOOLS_METRICS_NAMESPACE": "Kennel",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    first, second = json.loads(done.stdout.splitlines()[-1])
    return first * 1e3, second * 1e3


def main() -> int:
    """Measure and record."""
    programs = {"bare": TIMED.format(code=BARE), "classify": TIMED.format(code=CLASSIFY)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for turn in range(ROUNDS + 1):
        for name, program in programs.items():
            times = ran(program)
            if turn:  # the first one compiles and brings files into memory
                found[name].append(times)
    wall = {name: statistics.median(one for one, _ in times) for name, times in found.items()}
    cpu = {name: statistics.median(one for _, one in times) for name, times in found.items()}
    warm = [ran(WARM.format(calls=WARM_CALLS)) for _ in range(WARM_PROCESSES)]
    over, p50 = wall["classify"] / wall["bare"], statistics.median(middle for middle, _ in warm)
    claims = [
        claim("classify cold, import and client, over a bare boto3 handler", "<=", 1.1, over, "x"),
        figure("classify cold, import and client", wall["classify"], "ms"),
        figure("bare boto3 handler cold, import and client", wall["bare"], "ms"),
        claim("classify warm, without the endpoint call, p50", "<=", 1.5, p50, "ms"),
    ]
    details = {
        "processes_each": ROUNDS,
        "cold_cpu_ms": cpu,
        "fastest_tenth_ms": {name: sorted(times)[ROUNDS // 10][0] for name, times in found.items()},
        "warm_p50_and_p99_ms": warm,
    }
    return record("classify_start", claims, rounded(details))


if __name__ == "__main__":
    sys.exit(main())
