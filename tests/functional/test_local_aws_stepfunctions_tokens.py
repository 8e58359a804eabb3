"""Task tokens and limits on the embedded AWS: who answers, who is too late, and how a wait ends."""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from . import machines
from .conftest import ROLE, Stage, wait_for

TOKEN = "{% $states.context.Task.Token %}"


def waiting(**more: Any) -> dict[str, Any]:
    """A state that writes its token, in base64, into an object and waits for the answer."""
    arguments = {
        "Bucket": "stage",
        "Key": "{% 'tokens/' & $states.context.Execution.Name %}",
        "Body": {"data": "{% $base64encode($states.context.Task.Token) %}"},
    }
    return machines.task("aws-sdk:s3:putObject.waitForTaskToken", arguments, **more)


def token_of(stage: Stage, execution: str) -> str:
    """The token, once the state has sent it away."""
    machines.event(stage, execution, "TaskSubmitted")
    key = f"tokens/{execution.rpartition(':')[2]}"
    body = stage.aws.client("s3").get_object(Bucket="stage", Key=key)["Body"].read()
    return base64.b64decode(json.loads(body)["data"]).decode()


def refusal(call: Any, **arguments: Any) -> str:
    """The error code of a call that has to fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_an_answer_is_the_states_result_and_a_second_one_comes_too_late(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    execution = machines.start(stage, {"Wait": waiting(HeartbeatSeconds=30, TimeoutSeconds=60)})
    token = token_of(stage, execution)

    client.send_task_success(taskToken=token, output='{"model": "s3://there"}')

    assert json.loads(machines.ended(stage, execution)["output"]) == {"model": "s3://there"}
    assert refusal(client.send_task_success, taskToken=token, output="{}") == "TaskTimedOut"
    assert refusal(client.send_task_failure, taskToken=token) == "TaskTimedOut"
    assert refusal(client.send_task_heartbeat, taskToken=token) == "TaskTimedOut"
    kinds = [event["type"] for event in machines.history(stage, execution)]
    assert kinds[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
    scheduled = machines.event(stage, execution, "TaskScheduled")
    assert (scheduled["resourceType"], scheduled["resource"]) == ("aws-sdk:s3", "putObject.waitForTaskToken")
    assert (scheduled["timeoutInSeconds"], scheduled["heartbeatInSeconds"]) == (60, 30)
    assert json.loads(scheduled["parameters"])["Bucket"] == "stage"


def test_a_failure_says_what_it_was_and_is_caught(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    catch = [{"ErrorEquals": ["NoGpu"], "Output": "{% $states.errorOutput.Cause %}", "Next": "Caught"}]
    execution = machines.start(stage, {"Wait": waiting(Catch=catch), "Caught": {"Type": "Succeed"}})

    client.send_task_failure(taskToken=token_of(stage, execution), error="NoGpu", cause="none was free")

    assert json.loads(machines.ended(stage, execution)["output"]) == "none was free"
    failed = machines.event(stage, execution, "TaskFailed")
    assert (failed["error"], failed["cause"]) == ("NoGpu", "none was free")


def test_output_that_is_no_json_is_refused_and_the_state_still_waits(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    execution = machines.start(stage, {"Wait": waiting()})
    token = token_of(stage, execution)

    assert refusal(client.send_task_success, taskToken=token, output="{oops") == "InvalidOutput"

    client.send_task_success(taskToken=token, output="1")
    assert machines.ended(stage, execution)["status"] == "SUCCEEDED"


def test_tokens_that_never_were_are_invalid_or_forgotten(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    forgotten = base64.b64encode(json.dumps({"task-of": "an execution", "id": "1"}).encode()).decode()

    assert refusal(client.send_task_heartbeat, taskToken="made up") == "InvalidToken"
    assert refusal(client.send_task_heartbeat, taskToken=forgotten) == "TaskDoesNotExist"


def test_a_missed_heartbeat_is_a_timeout_that_has_a_name_of_its_own(stage: Stage) -> None:
    catch = [
        {"ErrorEquals": ["States.HeartbeatTimeout"], "Output": "{% $states.errorOutput %}", "Next": "Caught"},
        {"ErrorEquals": ["States.ALL"], "Next": "Other"},
    ]
    states = {
        "Wait": waiting(HeartbeatSeconds="{% 2 - 1 %}", TimeoutSeconds=60, Catch=catch),
        "Caught": {"Type": "Succeed"},
        "Other": {"Type": "Fail"},
    }
    execution = machines.start(stage, states)
    token = token_of(stage, execution)

    done = machines.ended(stage, execution)

    assert json.loads(done["output"]) == {"Error": "States.HeartbeatTimeout", "Cause": ""}
    assert machines.event(stage, execution, "TaskTimedOut")["error"] == "States.Timeout"
    assert refusal(stage.aws.client("stepfunctions").send_task_success, taskToken=token, output="1") == "TaskTimedOut"


def test_heartbeats_keep_a_task_alive_until_its_own_timeout(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    execution = machines.start(stage, {"Wait": waiting(HeartbeatSeconds=1, TimeoutSeconds=3)})
    token = token_of(stage, execution)
    beats = 0

    def beat() -> bool:
        nonlocal beats
        try:
            client.send_task_heartbeat(taskToken=token)
        except ClientError:
            return True
        beats += 1
        time.sleep(0.3)
        return False

    wait_for(beat, "the timeout")

    done = machines.ended(stage, execution)
    assert (done["status"], done["error"]) == ("FAILED", "States.Timeout")
    assert "cause" not in done
    assert beats > 4


def test_a_stopped_execution_waits_no_longer_and_its_token_is_closed(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Never"}]
    execution = machines.start(stage, {"Wait": waiting(Catch=catch), "Never": {"Type": "Succeed"}})
    token = token_of(stage, execution)

    client.stop_execution(executionArn=execution)

    wait_for(
        lambda: refusal(client.send_task_success, taskToken=token, output="1") == "TaskTimedOut", "the token's end", 3
    )
    last = machines.history(stage, execution)[-1]
    assert (last["type"], last["previousEventId"]) == ("ExecutionAborted", 0)


def test_every_attempt_has_a_token_of_its_own(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    retry = [{"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    execution = machines.start(stage, {"Wait": waiting(Retry=retry)})
    first = token_of(stage, execution)
    client.send_task_failure(taskToken=first, error="Again")

    def second() -> str | None:
        submitted = [one for one in machines.history(stage, execution) if one["type"] == "TaskSubmitted"]
        if len(submitted) < 2:
            return None
        key = f"tokens/{execution.rpartition(':')[2]}"
        body = stage.aws.client("s3").get_object(Bucket="stage", Key=key)["Body"].read()
        return base64.b64decode(json.loads(body)["data"]).decode()

    token = wait_for(second, "the second attempt")

    assert token != first
    client.send_task_success(taskToken=token, output="2")
    assert machines.ended(stage, execution)["output"] == "2"


def test_only_a_state_that_waits_for_a_token_has_one(stage: Stage) -> None:
    done = machines.run(stage, {"Call": machines.task("aws-sdk:s3:listBuckets", {"Prefix": TOKEN})})

    assert (done["status"], done["error"]) == ("FAILED", "States.QueryEvaluationError")


def test_an_activitys_worker_answers_by_token(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    activity = client.create_activity(name="by-hand")["activityArn"]
    state = {"Type": "Task", "Resource": activity, "Arguments": {"what": "label"}, "HeartbeatSeconds": 30, "End": True}
    execution = machines.start(stage, {"Ask": state})

    given = client.get_activity_task(activityArn=activity)
    client.send_task_success(taskToken=given["taskToken"], output='"a beagle"')

    assert json.loads(given["input"]) == {"what": "label"}
    assert machines.ended(stage, execution)["output"] == '"a beagle"'


@pytest.fixture(scope="module")
def echo(stage: Stage) -> str:
    """A function that gives its event back, or fails when that says so."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, _):\n    return {'event': event, 'n': 1 / event.get('by', 1)}\n")
    client = stage.aws.client("lambda")
    client.create_function(
        FunctionName="echo", Runtime="python3.13", Role=ROLE, Handler="app.handler", Code={"ZipFile": code.getvalue()}
    )
    return "echo"


def test_a_function_is_called_and_its_exception_is_the_error(stage: Stage, echo: str) -> None:
    good = machines.task("lambda:invoke", {"FunctionName": echo, "Payload": {"by": 2}}, TimeoutSeconds=30)
    bad = machines.task("lambda:invoke", {"FunctionName": echo, "Payload": {"by": 0}}, TimeoutSeconds=30)

    output = json.loads(machines.run(stage, {"Call": good})["output"])
    failed = machines.run(stage, {"Call": bad})

    assert output["Payload"] == {"event": {"by": 2}, "n": 0.5}
    assert (failed["error"], json.loads(failed["cause"])["errorType"]) == ("ZeroDivisionError", "ZeroDivisionError")


def test_a_function_gets_the_token_and_one_that_fails_is_not_waited_for(stage: Stage, echo: str) -> None:
    client = stage.aws.client("stepfunctions")
    given = {"FunctionName": echo, "Payload": {"token": TOKEN}}
    execution = machines.start(stage, {"Ask": machines.task("lambda:invoke.waitForTaskToken", given)})
    answered = json.loads(machines.event(stage, execution, "TaskSubmitted")["output"])

    client.send_task_success(taskToken=answered["Payload"]["event"]["token"], output="true")

    assert machines.ended(stage, execution)["output"] == "true"
    failing = {"FunctionName": echo, "Payload": {"by": 0}}
    failed = machines.run(stage, {"Ask": machines.task("lambda:invoke.waitForTaskToken", failing)})
    assert failed["error"] == "ZeroDivisionError"
