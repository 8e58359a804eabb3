"""Run a built function on an event without Docker, under AWS's own runtime interface emulator and runtime client.

    sam build
    python -m tools.invoke events/carolina_dog.json
    python -m tools.invoke events/pipeline_default.json --function ValidateRunFunction
    python -m tools.invoke events/bad_*.json

The emulator ships with the SAM CLI and stands for Lambda's side: it takes the event by HTTP and hands it to the runtime
client (`awslambdaric`), which loads the handler as Lambda's Python runtime does. The function's environment is that of
the deployed function where a local stack is up (`make up`) or `--stack` names one, else the template's defaults. The
answer goes to stdout, logs to stderr; the exit status is 1 when the function raised.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
import psutil
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from tools.stack import Stack, local_environment
from tools.template import holds

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".aws-sam" / "build"
LOCAL_STACK = ROOT / ".local" / "stack.json"
SAM = Path(os.environ.get("KENNEL_SAM", ROOT / ".venv-sam" / "bin" / "sam"))
_PATH = "/2015-03-31/functions/function/invocations"
_START_SECONDS = 10
_STOP_SECONDS = 5
# What stands for a stack that was never deployed. Events name the endpoint "kennel".
_PSEUDO = {
    "AWS::StackName": "kennel",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "000000000000",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
# So that the AWS client neither finds a person's account by accident nor looks for an instance's role.
_NOBODY = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # nosec B105 - no AWS is asked
    "AWS_EC2_METADATA_DISABLED": "true",
}


class InvokeError(Exception):
    """The function could not be run; the message says what to do."""


@dataclass(frozen=True)
class BuiltFunction:
    """What `sam build` made of one function."""

    name: str
    folder: Path
    handler: str
    layers: tuple[Path, ...]
    memory_mb: int
    timeout_seconds: int
    environment: dict[str, str]  # with the template's defaults


def built_function(name: str, build: Path) -> BuiltFunction:
    """Read the function `name` from the built template. Raises InvokeError when it is not there."""
    try:
        template = yaml.safe_load((build / "template.yaml").read_text())
    except FileNotFoundError:
        raise InvokeError("nothing is built yet: run 'sam build' first") from None
    resources = template["Resources"]
    functions = {key for key, value in resources.items() if value["Type"] == "AWS::Serverless::Function"}
    if name not in functions:
        raise InvokeError(f"the template has no function {name}; it has {', '.join(sorted(functions))}")
    properties = {**template.get("Globals", {}).get("Function", {}), **resources[name]["Properties"]}
    variables = properties.get("Environment", {}).get("Variables", {})
    shared = template.get("Globals", {}).get("Function", {}).get("Environment", {}).get("Variables", {})
    defaults = {key: value.get("Default", "") for key, value in template.get("Parameters", {}).items()}
    conditions = template.get("Conditions", {})
    return BuiltFunction(
        name=name,
        folder=build / str(properties["CodeUri"]),
        handler=str(properties["Handler"]),
        layers=tuple(
            build / str(resource["Properties"]["ContentUri"]) / "python"
            for resource in resources.values()
            if resource["Type"] == "AWS::Serverless::LayerVersion"
        ),
        memory_mb=int(_number(properties.get("MemorySize"), defaults, 128)),
        timeout_seconds=int(_number(properties.get("Timeout"), defaults, 3)),
        environment={key: resolve(value, defaults, conditions) for key, value in {**shared, **variables}.items()},
    )


def resolve(
    value: object, defaults: Mapping[str, object], conditions: Mapping[str, object] = MappingProxyType({})
) -> str:
    """A template value as text: parameters and conditions are by default, resources their logical names."""

    def name_of(reference: str) -> str:
        return str(_PSEUDO.get(reference, defaults.get(reference, reference)))

    if not isinstance(value, dict):
        return str(value).lower() if isinstance(value, bool) else str(value)
    ((function, argument),) = value.items()
    if function == "Ref":
        return name_of(argument)
    if function == "Fn::GetAtt":
        return ".".join(argument) if isinstance(argument, list) else str(argument)
    if function == "Fn::Sub" and isinstance(argument, str):
        return re.sub(r"\$\{([^!}][^}]*)\}", lambda found: name_of(found[1]), argument)
    if function == "Fn::Join":
        return str(argument[0]).join(resolve(part, defaults, conditions) for part in argument[1])
    if function == "Fn::If":
        chosen = holds(conditions[argument[0]], conditions, lambda term: resolve(term, defaults))
        return resolve(argument[1 if chosen else 2], defaults, conditions)
    raise InvokeError(f"the template has {function} in an environment variable, which has no value before deployment")


def _number(value: object, defaults: Mapping[str, object], otherwise: int) -> float:
    return otherwise if value is None else float(resolve(value, defaults))


def deployed_environment(stack: str, function: str) -> dict[str, str]:
    """The environment of the deployed function, from the account (or the embedded AWS) that boto3 is set up for."""
    try:
        found = boto3.client("cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId=function)
        name = found["StackResourceDetail"]["PhysicalResourceId"]
        settings = boto3.client("lambda").get_function_configuration(FunctionName=name)
    except (ClientError, BotoCoreError) as error:
        raise InvokeError(
            f"the stack {stack} cannot be asked for {function} ({error}); --no-stack does without"
        ) from None
    return dict(settings.get("Environment", {}).get("Variables", {}))


class Emulator:
    """The runtime interface emulator with one function behind it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, timeout_seconds: int) -> None:
        self._process = process
        self._port = port
        self._timeout_seconds = timeout_seconds

    def invoke(self, event: bytes) -> Any:
        """The function's answer. One call at a time: the emulator crashes on concurrent ones."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_seconds + _START_SECONDS)
        try:
            connection.request("POST", _PATH, body=event, headers={"Content-Type": "application/json"})
            answer = connection.getresponse().read()
        except OSError as error:
            raise InvokeError(f"the emulator did not answer: {error}") from error
        finally:
            connection.close()
        try:
            return json.loads(answer)
        except ValueError:
            raise InvokeError(
                f"the function did not answer with JSON: {answer[:300].decode(errors='replace')}"
            ) from None


@contextlib.contextmanager
def emulating(function: BuiltFunction, environment: Mapping[str, str], sam: Path = SAM) -> Iterator[Emulator]:
    """Start the emulator on free loopback ports; at the end of the block nothing of it is left."""
    port, runtime_port = _free_ports(2)
    process = subprocess.Popen(
        [
            str(_emulator(sam)),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
            *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
            *("--log-level", "error"),
            *(sys.executable, "-m", "awslambdaric", function.handler),
        ],
        cwd=function.folder,
        env=_process_environment(function, environment),
        stdout=2,  # the function prints its logs: to stderr, since stdout is for the answer
    )
    try:
        _wait_until_listening(process, port)
        yield Emulator(process, port, function.timeout_seconds)
    finally:
        _stop(process)


def _emulator(sam: Path) -> Path:
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for found in sam.parent.parent.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"):
        return found
    raise InvokeError(f"no runtime interface emulator for {machine} beside {sam}: 'make setup' installs the SAM CLI")


def _process_environment(function: BuiltFunction, environment: Mapping[str, str]) -> dict[str, str]:
    return {
        **_NOBODY,
        **os.environ,
        **environment,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_seconds),
        "LAMBDA_TASK_ROOT": str(function.folder),
        # The function's folder and the layers, as in Lambda; boto3 comes with the interpreter, as in Lambda.
        "PYTHONPATH": os.pathsep.join(map(str, (function.folder, *function.layers))),
        "PYTHONDONTWRITEBYTECODE": "1",  # what was built stays as it was built
    }


def _free_ports(count: int) -> list[int]:
    """Ports that are free now; bound together so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(sock.getsockname()[1]) for sock in sockets]


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise InvokeError("the runtime interface emulator did not start")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the emulator and the runtime under it, which it puts into a process group of its own."""
    runtime: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        runtime = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in psutil.wait_procs(runtime, timeout=0.2)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def main(arguments: list[str] | None = None) -> int:
    """Run the events through the function, one after the other, and print the answers."""
    parser = argparse.ArgumentParser(prog="tools.invoke", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("events", nargs="+", type=Path, metavar="EVENT", help="a JSON file")
    parser.add_argument("--function", default="ClassifyFunction", help="logical id in the template (ClassifyFunction)")
    parser.add_argument("--stack", help="use the environment of this deployed stack's function")
    parser.add_argument(
        "--no-stack", action="store_true", help="use the template's defaults even when a local stack is up"
    )
    parser.add_argument("--sam", type=Path, default=SAM, help="the SAM CLI whose package has the emulator")
    asked = parser.parse_args(arguments)
    try:
        return _run(asked)
    except InvokeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(asked: argparse.Namespace) -> int:
    events = [_read(path) for path in asked.events]
    function = built_function(asked.function, BUILD)
    stack = asked.stack
    if not stack and not asked.no_stack and LOCAL_STACK.exists():
        local = Stack.load(LOCAL_STACK)
        stack = local.name
        if local.endpoint_url:
            os.environ.update(local_environment(local.endpoint_url, local.region, os.environ))
    environment = deployed_environment(stack, asked.function) if stack else function.environment
    raised = False
    with emulating(function, environment, asked.sam) as emulator:
        for path, event in zip(asked.events, events, strict=True):
            if len(events) > 1:
                print(f"# {path}")
            answer = emulator.invoke(event)
            print(json.dumps(answer, indent=2), flush=True)
            raised = raised or (isinstance(answer, dict) and {"errorType", "errorMessage"} <= answer.keys())
    return int(raised)


def _read(path: Path) -> bytes:
    try:
        text = path.read_bytes()
        json.loads(text)
    except OSError as error:
        raise InvokeError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvokeError(f"{path} is not JSON: {error}") from error
    return text


if __name__ == "__main__":
    sys.exit(main())
