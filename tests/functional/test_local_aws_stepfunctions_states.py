"""States of other kinds, the context, JSONPath and calls of APIs on the embedded AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from . import machines
from .conftest import Stage


def test_parallel_and_map_have_output_and_assign_and_scopes_of_their_own(stage: Stage) -> None:
    one: dict[str, Any] = {
        "Type": "Pass",
        "Assign": {"outer": "mine"},
        "Output": "{% $states.input.n + 1 %}",
        "End": True,
    }
    states = {
        "Begin": {"Type": "Pass", "Assign": {"outer": "kept"}, "Output": {"n": 1}, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "One", "States": {"One": one}}, {"StartAt": "Two", "States": {"Two": one}}],
            "Arguments": {"n": "{% $states.input.n * 10 %}"},
            "Assign": {"both": "{% $states.result %}"},
            "Output": {"items": "{% $states.result %}"},
            "Next": "Each",
        },
        "Each": {
            "Type": "Map",
            "Items": "{% $states.input.items %}",
            "ItemSelector": {"n": "{% $states.context.Map.Item.Value %}"},
            "ItemProcessor": {"StartAt": "One", "States": {"One": one}},
            "Output": {"each": "{% $states.result %}", "both": "{% $both %}", "outer": "{% $outer %}"},
            "End": True,
        },
    }

    output = json.loads(machines.run(stage, states)["output"])

    assert output == {"each": [12, 12], "both": [11, 11], "outer": "kept"}


def test_the_context_tells_of_the_execution_and_the_state(stage: Stage) -> None:
    fields = ("Execution.Name", "Execution.Id", "Execution.StartTime", "Execution.Input", "State.EnteredTime")
    output = {field.replace(".", ""): f"{{% $states.context.{field} %}}" for field in fields}
    execution = machines.start(stage, {"Tell": {"Type": "Pass", "Output": output, "End": True}})

    told = json.loads(machines.ended(stage, execution)["output"])

    assert (told["ExecutionId"], told["ExecutionInput"]) == (execution, {})
    assert told["ExecutionName"] == execution.rpartition(":")[2]
    assert told["ExecutionStartTime"].endswith("Z")
    assert told["StateEnteredTime"] >= told["ExecutionStartTime"]


def test_states_all_does_not_hide_what_step_functions_itself_refuses(stage: Stage) -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Never"}]
    states = {
        "Call": machines.task("aws-sdk:s3:listObjectsV2", {"Buckets": "stage"}, Catch=catch),
        "Never": {"Type": "Succeed"},
    }

    assert machines.run(stage, states)["error"] == "States.Runtime"


def test_jsonpath_states_have_their_own_fields(stage: Stage) -> None:
    stage.aws.client("s3").put_object(Bucket="stage", Key="jsonpath/one", Body=b"1")
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2",
        "Parameters": {"Bucket": "stage", "Prefix.$": "$.prefix"},
        "ResultSelector": {"count.$": "$.KeyCount"},
        "ResultPath": "$.listed",
        "End": True,
    }
    begin = {"Type": "Pass", "Result": {"prefix": "jsonpath/"}, "Next": "List"}

    done = machines.run(stage, {"Begin": begin, "List": state}, QueryLanguage="JSONPath")

    assert json.loads(done["output"]) == {"prefix": "jsonpath/", "listed": {"count": 1}}


@pytest.fixture(scope="module")
def api(stage: Stage) -> str:
    """The host of a REST API: POST /told answers 200 with JSON, POST /busy 429."""
    client = stage.aws.client("apigateway")
    identity = client.create_rest_api(name="told")["id"]
    root = client.get_resources(restApiId=identity)["items"][0]["id"]
    for path, status, body in (("told", "200", '{"model": "m-1"}'), ("busy", "429", '{"message": "later"}')):
        resource = client.create_resource(restApiId=identity, parentId=root, pathPart=path)["id"]
        where = {"restApiId": identity, "resourceId": resource, "httpMethod": "POST"}
        client.put_method(**where, authorizationType="NONE")
        template = {"application/json": json.dumps({"statusCode": int(status)})}
        client.put_integration(**where, type="MOCK", requestTemplates=template)
        client.put_method_response(**where, statusCode=status)
        client.put_integration_response(**where, statusCode=status, responseTemplates={"application/json": body})
    client.create_deployment(restApiId=identity, stageName="v1")
    return f"{identity}.execute-api.us-east-1.amazonaws.com"


def call(stage: Stage, api: str, path: str, **more: Any) -> dict[str, Any]:
    """The execution that called the API."""
    arguments = {"ApiEndpoint": api, "Stage": "v1", "Method": "POST", "Path": path, "RequestBody": {"a": 1}, **more}
    return machines.run(stage, {"Call": machines.task("apigateway:invoke", arguments)})


def test_an_api_is_called_and_its_answer_parsed(stage: Stage, api: str) -> None:
    output = json.loads(call(stage, api, "/told")["output"])

    assert (output["StatusCode"], output["StatusText"]) == (200, "OK")
    assert output["ResponseBody"] == {"model": "m-1"}


def test_an_apis_refusal_is_named_by_its_status(stage: Stage, api: str) -> None:
    done = call(stage, api, "/busy")

    assert (done["error"], json.loads(done["cause"])) == ("ApiGateway.429", {"message": "later"})
    assert call(stage, api, "/told", Colour="red")["error"] == "States.Runtime"
