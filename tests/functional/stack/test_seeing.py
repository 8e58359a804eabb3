"""What a person sees of the deployed stack: the dashboard's figures, the alarms, one request through every hop."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import Any

import boto3
import pytest

from tests.functional.conftest import wait_for
from tests.functional.stack.conftest import Deployed
from tools import watch
from tools.local_stack import ROOT

pytestmark = pytest.mark.slow
PERIOD = 5
# What has figures while requests are answered, each on its graph.
BUSY = {
    "requests to the API",
    "pictures answered",
    "API",
    "function",
    "reading the pictures",
    "endpoint, as the function sees it",
    "model",
    "SageMaker's overhead",
    "instances",
    "an instance has",
    "at work",
    "at 0.107 an hour",
    "mean",
    "the tenth least sure",
    "share",
    "API 4xx",
    "refused as the caller's",
}


def answers(deployed: Deployed, query: str, **words: str) -> list[dict[str, str]]:
    """What a saved query of the stack finds, its capitals replaced by `words`."""
    client = boto3.client("logs")
    name = f"{deployed.stack.name}/{query}"
    (saved,) = client.describe_query_definitions(queryDefinitionNamePrefix=name)["queryDefinitions"]
    text = re.sub(r"\b[A-Z_]{3,}\b", lambda word: words.get(word[0], word[0]), saved["queryString"])
    now = int(time.time())
    started = client.start_query(
        logGroupNames=saved["logGroupNames"], startTime=now - 3600, endTime=now + 60, queryString=text
    )
    found = client.get_query_results(queryId=started["queryId"])
    assert found["status"] == "Complete"
    return [{cell["field"]: cell["value"] for cell in row} for row in found["results"]]


def ask(deployed: Deployed, request_id: str) -> None:
    picture = deployed.test_pictures[0].read_bytes()
    headers = {"content-type": "image/jpeg", "x-request-id": request_id}
    deployed.post(content=picture, headers=headers).raise_for_status()


def test_one_request_is_followed_through_every_hop_by_its_id(deployed: Deployed) -> None:
    ask(deployed, "seen-by-its-id")
    hops = wait_for(
        lambda: len(found := {row["@log"] for row in rows(deployed)}) == 2 and found, "the endpoint's and our log"
    )
    assert hops == {f"/aws/lambda/{deployed.stack.name}-classify", f"/aws/sagemaker/Endpoints/{deployed.stack.name}"}
    # The caller chose the id, so the API's access log has another, which the function knows as well.
    own = next(row["@message"] for row in rows(deployed) if "api_request_id" in row["@message"])
    line = json.loads(own)["api_request_id"]
    assert [row for row in answers(deployed, "one-request", REQUEST_ID=line) if row["@log"].endswith("-access")]


def rows(deployed: Deployed) -> list[dict[str, str]]:
    return answers(deployed, "one-request", REQUEST_ID="seen-by-its-id")


def test_the_saved_queries_find_what_they_are_named_for(deployed: Deployed) -> None:
    ask(deployed, "seen")
    assert deployed.post(content=b"no picture", headers={"content-type": "image/jpeg"}).status_code == 415

    slowest = wait_for(lambda: answers(deployed, "slowest-requests"), "the access log")
    spent = [float(row["milliseconds"]) for row in slowest if row["milliseconds"] != "-"]
    assert spent == sorted(spent, reverse=True)
    assert any("/predictions" in row["path"] for row in slowest)
    (refused,) = [row for row in answers(deployed, "errors-by-type") if row["problem"] == "unsupported-media-type"]
    assert (refused["status"], refused["service"], int(refused["times"]) > 0) == ("415", "classify", True)
    assert all("request_id" in row for row in answers(deployed, "not-sure"))

    run = deployed.first_run.output["run"]
    (execution,) = pipelines(deployed)[-1:]
    states = answers(deployed, "pipeline-run", RUN=run, EXECUTION=execution)
    machines = {row["execution_arn"].split(":")[6].rpartition("-")[2] for row in states}
    assert machines == {"pipeline", "deploy"}
    assert {"ValidateRun", "Train", "SmokeTest"} <= {row.get("details.name", "") for row in states}


def pipelines(deployed: Deployed) -> list[str]:
    client = boto3.client("stepfunctions")
    found = client.list_executions(stateMachineArn=deployed.stack.state_machines["pipeline"])["executions"]
    return [one["name"] for one in found]


def test_the_dashboard_has_figures_and_alarms_and_make_watch_prints_them(deployed: Deployed) -> None:
    client = boto3.client("cloudwatch")
    dashboard = watch.read_dashboard(client, deployed.stack.name, PERIOD)
    labels = {series.id: series.label for graph in dashboard.graphs for series in graph.series}

    def shown() -> set[str]:
        ask(deployed, "watched")
        deployed.post(content=b"no picture")
        found: Any = watch.look(client, dashboard, PERIOD)
        return {labels[name] for name, values in found.values.items() if set(values) != {None}}

    wait_for(lambda: shown() >= BUSY, "every figure of a busy stack", 30)
    states = watch.look(client, dashboard, PERIOD).states
    assert set(states) == set(dashboard.alarms)

    command = [sys.executable, "-m", "tools.watch", "--stack", deployed.stack.name, "--times", "1", "--period", "5"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(printed.splitlines()) == 1
    assert "Requests a second: requests to the API " in printed and "instances 1" in printed
