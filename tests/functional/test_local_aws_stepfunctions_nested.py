"""Executions that start executions, and builds, on the embedded AWS: results, failures, what is stopped with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from . import machines
from .conftest import Stage, wait_for

FOREVER = {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}


def nested(pattern: str, child: str, name: str = "child", **more: Any) -> dict[str, Any]:
    """A state that starts the state machine `child`."""
    arguments = {
        "StateMachineArn": child,
        "Name": f"{{% $states.context.Execution.Name & '-{name}' %}}",
        "Input": {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "{% $states.context.Execution.Id %}", "n": 1},
    }
    return machines.task(f"states:startExecution{pattern}", arguments, **more)


def child_of(execution: str, child: str, name: str = "child") -> str:
    """The ARN of the execution that `nested` starts."""
    return f"{child.replace(':stateMachine:', ':execution:')}:{execution.rpartition(':')[2]}-{name}"


def status(stage: Stage, execution: str) -> str:
    """The status of an execution, or nothing before there is one."""
    client = stage.aws.client("stepfunctions")
    try:
        return str(client.describe_execution(executionArn=execution)["status"])
    except client.exceptions.ExecutionDoesNotExist:
        return ""


@pytest.mark.parametrize(("pattern", "kind"), [(".sync:2", dict), (".sync", str)])
def test_a_nested_execution_gives_its_description_and_2_parses_it(stage: Stage, pattern: str, kind: type) -> None:
    child = machines.create(stage, {"Add": {"Type": "Pass", "Output": {"m": "{% $states.input.n + 1 %}"}, "End": True}})
    execution = machines.start(stage, {"Run": nested(pattern, child)})

    told = json.loads(machines.ended(stage, execution)["output"])

    assert isinstance(told["Output"], kind)
    assert isinstance(told["Input"], kind)
    output, given = (json.loads(told[name]) if kind is str else told[name] for name in ("Output", "Input"))
    assert output == {"m": 2}
    assert given["AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"] == execution
    assert (told["Status"], told["StateMachineArn"]) == ("SUCCEEDED", child)
    assert told["ExecutionArn"] == child_of(execution, child)
    assert told["StopDate"] >= told["StartDate"] > 1_600_000_000_000
    scheduled = machines.event(stage, execution, "TaskScheduled")
    assert (scheduled["resourceType"], scheduled["resource"]) == ("states", f"startExecution{pattern}")


def test_a_nested_failure_is_task_failed_with_the_description_as_cause(stage: Stage) -> None:
    child = machines.create(stage, {"Fail": {"Type": "Fail", "Error": "NoDogs", "Cause": "the folder is empty"}})

    done = machines.run(stage, {"Run": nested(".sync:2", child)})

    cause = json.loads(done["cause"])
    assert (done["error"], cause["Status"]) == ("States.TaskFailed", "FAILED")
    assert (cause["Error"], cause["Cause"]) == ("NoDogs", "the folder is empty")
    assert "Output" not in cause
    assert cause["Input"]["n"] == 1


def test_a_nested_timeout_is_task_failed_too(stage: Stage) -> None:
    child = machines.create(stage, FOREVER, TimeoutSeconds=1)

    done = machines.run(stage, {"Run": nested(".sync:2", child)})

    assert (done["error"], json.loads(done["cause"])["Status"]) == ("States.TaskFailed", "TIMED_OUT")


def test_what_is_nested_ends_with_its_parents_at_every_depth(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    grandchild = machines.create(stage, FOREVER)
    child = machines.create(stage, {"Run": nested(".sync:2", grandchild, "grandchild")})
    execution = machines.start(stage, {"Run": nested(".sync:2", child)})
    arns = [child_of(execution, child)]
    arns.append(child_of(arns[0], grandchild, "grandchild"))
    wait_for(lambda: status(stage, arns[1]) == "RUNNING", "the grandchild")

    client.stop_execution(executionArn=execution)

    wait_for(lambda: [status(stage, arn) for arn in arns] == ["ABORTED", "ABORTED"], "the end of both", 5)
    assert all(machines.history(stage, arn)[-1]["type"] == "ExecutionAborted" for arn in arns)


def test_a_state_that_times_out_stops_what_it_started(stage: Stage) -> None:
    child = machines.create(stage, FOREVER)
    execution = machines.start(stage, {"Run": nested(".sync:2", child, TimeoutSeconds=1)})

    done = machines.ended(stage, execution)

    assert done["error"] == "States.Timeout"
    assert status(stage, child_of(execution, child)) == "ABORTED"


def test_a_child_that_somebody_stops_fails_the_state(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    child = machines.create(stage, FOREVER)
    execution = machines.start(stage, {"Run": nested(".sync", child)})
    arn = child_of(execution, child)
    wait_for(lambda: status(stage, arn) == "RUNNING", "the child")

    client.stop_execution(executionArn=arn, error="Enough", cause="a person said so")

    done = machines.ended(stage, execution)
    cause = json.loads(done["cause"])
    assert (done["error"], cause["Status"], cause["Error"]) == ("States.TaskFailed", "ABORTED", "Enough")


def test_without_sync_the_parent_goes_on_and_leaves_the_child_alone(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    child = machines.create(stage, FOREVER)
    execution = machines.start(stage, {"Run": nested("", child)})

    output = json.loads(machines.ended(stage, execution)["output"])

    assert set(output) == {"ExecutionArn", "StartDate"}
    assert status(stage, output["ExecutionArn"]) == "RUNNING"
    client.stop_execution(executionArn=output["ExecutionArn"])


def test_a_machine_that_is_not_there_has_the_optimized_integrations_error(stage: Stage) -> None:
    gone = "arn:aws:states:us-east-1:000000000000:stateMachine:gone"

    done = machines.run(stage, {"Run": nested(".sync:2", gone)})

    assert done["error"] == "StepFunctions.StateMachineDoesNotExistException"


def test_the_same_start_said_twice_is_one_execution(stage: Stage) -> None:
    client = stage.aws.client("stepfunctions")
    arn = machines.create(stage, FOREVER)

    first, second = (client.start_execution(stateMachineArn=arn, name="once", input="{}") for _ in range(2))

    assert first["executionArn"] == second["executionArn"]
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(stateMachineArn=arn, name="once", input='{"other": 1}')
    client.stop_execution(executionArn=first["executionArn"])


def build(stage: Stage, code: str) -> dict[str, Any]:
    """A state that builds the image of a code bundle and waits for it."""
    variables = {"CODE_URI": f"s3://stage/{code}", "IMAGE_URI": stage.image.rpartition(":")[0] + ":v2"}
    override = [{"Name": name, "Value": value, "Type": "PLAINTEXT"} for name, value in variables.items()]
    return machines.task(
        "codebuild:startBuild.sync", {"ProjectName": "image", "EnvironmentVariablesOverride": override}
    )


def test_a_build_is_waited_for_and_gives_the_build(stage: Stage) -> None:
    done = machines.run(stage, {"Build": build(stage, "code/source.tar.gz")})

    told = json.loads(done["output"])["Build"]
    assert (told["BuildStatus"], told["ProjectName"]) == ("SUCCEEDED", "image")
    assert told["StartTime"] > 1_600_000_000_000


def test_a_failed_build_fails_the_state_with_the_build_as_cause(stage: Stage) -> None:
    done = machines.run(stage, {"Build": build(stage, "code/gone.tar.gz")})

    assert done["error"] == "States.TaskFailed"
    assert json.loads(done["cause"])["Build"]["BuildStatus"] == "FAILED"
