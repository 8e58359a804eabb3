"""What the pages have a person type into the AWS CLI and curl, typed at the deployed stack as it stands there.

Words in capitals become what the stack or its first run calls so, and `kennel-dev` the stack's name. It is the last
file of its folder, because the last thing that the pages have typed takes away what runs have made.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.contract.commands.found import commands, program
from tests.contract.test_docs import PAGES, ROOT
from tests.functional.conftest import wait_for
from tests.functional.stack.conftest import Deployed
from tools import pipeline

pytestmark = pytest.mark.slow

PYTHON = ROOT / ".venv-sam" / "bin" / "python"
NOT_HERE = {
    "batch-get-traces": "the embedded AWS keeps no traces",
    "create-key": "tests/functional/test_options.py has a stack with a key of its own",
    "associate-kms-key": "the same",
    "put-bucket-policy": "it is for a bucket that another stack's pictures lie in",
    "127.0.0.1": "the address of the one who wrote the page; tests/functional/stack/test_demo.py types what is printed",
}
UPDATE = "update-endpoint "  # after it the endpoint has to be in service again


def outputs(stack: str) -> dict[str, str]:
    """The stack's outputs, as pages name them: DataBucket is DATA_BUCKET."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", one["OutputKey"]).upper(): one["OutputValue"] for one in found}


def named(deployed: Deployed, execution: str) -> dict[str, str]:
    """What the words in capitals stand for, and the name of the pages' stack."""
    name, sagemaker = deployed.stack.name, boto3.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=deployed.stack.endpoint_name)
    configs = sagemaker.list_endpoint_configs(SortBy="CreationTime", SortOrder="Ascending")["EndpointConfigs"]
    resource = {"StackName": name, "LogicalResourceId": "WatchDriftFunction"}
    function = boto3.client("cloudformation").describe_stack_resource(**resource)["StackResourceDetail"]
    return outputs(name) | {
        "kennel-dev": name,
        "API_URL": deployed.stack.api_url,  # the output names AWS's
        "KEY": deployed.stack.api_key,
        "RUN": deployed.first_run.output["run"],
        "PACKAGE_ARN": deployed.first_run.output["model_package"],
        "ENDPOINT_ARN": endpoint["EndpointArn"],
        "EXECUTION_ARN": execution,
        "FORMER": configs[0]["EndpointConfigName"],
        "NAME": function["PhysicalResourceId"],
    }


@pytest.fixture
def reader(deployed: Deployed, tmp_path: Path) -> Path:
    """Where a reader stands: in a folder with the files that the pages name as the reader's own."""
    folder = tmp_path / "kennel"
    folder.mkdir()
    for name in ("dogImages", "../my-set"):
        (folder / name).symlink_to(deployed.folder)
    (folder / "holidays").mkdir()
    shutil.copy(deployed.test_pictures[0], folder / "holidays")
    shutil.copy(deployed.test_pictures[0], folder / "dog.jpg")
    (folder / "events").symlink_to(ROOT / "events")
    (folder / "run.json").write_text('{"train": {"epochs": 0}}')  # which is refused at once
    (folder / "batch.json").write_text(json.dumps({"pictures": f"s3://{deployed.stack.data_bucket}/holidays/"}))
    return folder


def shown(names: dict[str, str]) -> list[list[str]]:
    """The commands of all pages in their order, each as its words."""
    word = re.compile("|".join(rf"\b{re.escape(one)}\b" for one in sorted(names, key=len, reverse=True)))
    found = dict.fromkeys(one for page in PAGES for one in commands(page) if program(one) in {"aws", "curl"})
    here = [one for one in found if not any(reason in one for reason in NOT_HERE)]
    return [shlex.split(word.sub(lambda match: names[match[0]], one)) for one in here]


def typed(lines: Sequence[list[str]], folder: Path) -> dict[str, Any]:
    """Types each in `folder`, the AWS CLI's first; gives those that did not end well, with what they said."""
    failed = {}
    aws = [words for words in lines if words[0] != "curl"]
    asked = json.dumps([words[1:] for words in aws])
    done = subprocess.run(
        [str(PYTHON), str(Path(__file__).with_name("in_aws_cli.py"))],
        input=asked, cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for words, (status, said) in zip(aws, json.loads(done.stdout), strict=True):
        if status:
            failed[shlex.join(words)] = said
    for words in (words for words in lines if words[0] == "curl"):
        asking = subprocess.run([*words, "-sS", "--fail"], cwd=folder, capture_output=True, text=True, check=False)
        if asking.returncode:
            failed[shlex.join(words)] = asking.stderr
    return failed


def running() -> list[str]:
    """Executions of any state machine that have not ended."""
    client = boto3.client("stepfunctions")
    machines = [one["stateMachineArn"] for one in client.list_state_machines()["stateMachines"]]
    return [
        one["executionArn"]
        for machine in machines
        for one in client.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
    ]


def test_what_the_pages_have_typed_does_what_it_is_there_for(deployed: Deployed, reader: Path) -> None:
    # given a run in progress, and every command of the pages with the stack's own names
    execution = pipeline.start(deployed.stack.state_machines["pipeline"], {"train": {"epochs": 5000}})
    names = named(deployed, execution)
    lines = shown(names)
    place = next(number for number, words in enumerate(lines) if UPDATE in shlex.join(words)) + 1
    # when they are typed in their order, until the endpoint is updated
    failed = typed(lines[:place], reader)
    # then the run is stopped, the batch is done, and the model of old serves
    sagemaker, states = boto3.client("sagemaker"), boto3.client("stepfunctions")
    assert failed == {}
    described = {"EndpointName": deployed.stack.endpoint_name}
    wait_for(lambda: sagemaker.describe_endpoint(**described)["EndpointStatus"] == "InService", "the update", 60)
    wait_for(lambda: not running(), "the end of what was started", 60)
    assert states.describe_execution(executionArn=execution)["status"] == "ABORTED"
    assert sagemaker.describe_endpoint(**described)["EndpointConfigName"] == names["FORMER"]
    # and when the rest is typed, nothing of the runs is left
    assert typed(lines[place:], reader) == {}
    wait_for(lambda: not running(), "the teardown", 120)
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_models()["Models"] == []
