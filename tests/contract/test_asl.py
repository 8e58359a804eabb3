"""The state machine is clean by our checker and agrees with the template; the checker catches what others miss."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kennel.runs import RUN_FIELDS

from tests.contract import template
from tests.contract.template import ROOT
from tools import asl_check, remains

PATH = ROOT / "statemachine" / "pipeline.asl.json"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in PATH.parent.glob("*.asl.json")}
MACHINES: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in TEXTS.items()}
PIPELINE, DEPLOY = MACHINES[PATH.name], MACHINES["deploy.asl.json"]
DEPLOYED = {
    Path(properties["DefinitionS3Location"]).name: properties
    for properties in template.resources("AWS::StepFunctions::StateMachine").values()
}
# Where IAM's action is not the API's name.
NAMED_OTHERWISE = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "apigateway:Invoke": "execute-api:Invoke",
    "s3:ListObjectsV2": "s3:ListBucket",
}
States = dict[str, dict[str, Any]]


def test_every_machine_in_the_folder_is_deployed() -> None:
    assert set(DEPLOYED) == set(MACHINES)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_is_clean(machine: str) -> None:
    assert asl_check.check(MACHINES[machine]) == []


@pytest.mark.parametrize("machine", MACHINES)
def test_placeholders_and_substitutions_are_the_same_and_only_inside_strings(machine: str) -> None:
    given = DEPLOYED[machine]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", TEXTS[machine])) == set(given)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_task_backs_off_with_jitter_and_is_caught(machine: str) -> None:
    for name, state in MACHINES[machine]["States"].items():
        if state["Type"] == "Task":
            # a spot instance that was taken away is another matter than a service that is busy
            busy = [r for r in state["Retry"] if r["ErrorEquals"] != ["SpotInterrupted"]]
            assert busy and all(r["JitterStrategy"] == "FULL" and r["MaxDelaySeconds"] for r in busy), name
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name


def test_the_whole_may_last_longer_than_its_longest_training() -> None:
    (longest,) = [field.maximum for field in RUN_FIELDS if field.path == "train.max_runtime_seconds"]
    waiting_for_spot = 7200
    assert longest is not None
    assert PIPELINE["States"]["Train"]["TimeoutSeconds"] > longest + waiting_for_spot
    (approval,) = [field.maximum for field in RUN_FIELDS if field.path == "approve_within_hours"]
    assert approval is not None
    assert PIPELINE["TimeoutSeconds"] > PIPELINE["States"]["Train"]["TimeoutSeconds"] + approval * 3600 + 86400


@pytest.mark.parametrize("machine", MACHINES)
def test_the_role_may_do_what_the_states_call(machine: str) -> None:
    role = DEPLOYED[machine]["RoleArn"]["Fn::GetAtt"][0]
    allowed = {
        action
        for name, statement in template.statements()
        if name.startswith(f"{role}.")
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    }
    prefixes = {"applicationautoscaling": "application-autoscaling", "sfn": "states"}
    for name, state in MACHINES[machine]["States"].items():
        if state["Type"] != "Task":
            continue
        service, action = state["Resource"].partition(":::")[2].removeprefix("aws-sdk:").split(":")[:2]
        action = action.partition(".")[0]
        called = f"{prefixes.get(service, service)}:{action[0].upper()}{action[1:]}"
        assert NAMED_OTHERWISE.get(called, called) in allowed, name


def test_the_teardown_may_delete_by_name_only_what_carries_the_stacks_tag_or_has_its_very_name() -> None:
    # The names of a stack kennel-dev begin with kennel-, too: without the tag in the policy, kennel could delete them.
    for name, statement in template.statements():
        if name.startswith("TeardownRole.") and re.search("sagemaker:(Delete|Stop)", json.dumps(statement["Action"])):
            tagged = statement.get("Condition") == {
                "StringEquals": {"aws:ResourceTag/kennel:stack": {"Ref": "AWS::StackName"}}
            }
            named = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            exact = all(re.search(r"/\$\{AWS::StackName\}(/\*)?$", one["Fn::Sub"]) for one in named)
            assert tagged or exact, name


def test_the_teardown_knows_every_log_group_and_bucket_of_the_template() -> None:
    groups = template.resources("AWS::Logs::LogGroup").values()
    names = {group["LogGroupName"]["Fn::Sub"].replace("${AWS::StackName}", "{}") for group in groups}
    assert set(remains.LOG_GROUPS) == names
    buckets = {f"{{}}-{name.lower()}-" for name in template.resources("AWS::S3::Bucket")}
    assert set(remains.BUCKETS) == buckets


# --- Ten bugs, none of which the public linters all find -------------------------------------------------------------


def within(state: dict[str, Any], text: str, other: str) -> None:
    """Changes the expression that a state's arguments are."""
    assert text in state["Arguments"]
    state["Arguments"] = state["Arguments"].replace(text, other, 1)


def dangling_next(states: States) -> None:
    states["CreateModel"]["Next"] = "CreateEndpointConfiguration"


def unreachable_state(states: States) -> None:
    states["Forgotten"] = {"Type": "Pass", "Comment": "nobody comes here", "Next": "Done"}


def bad_jsonata(states: States) -> None:
    states["QualityGate"]["Choices"][0]["Condition"] = "{% $figures.accuracy = = 1 %}"


def mixed_query_languages(states: States) -> None:
    states["CreateModel"]["ResultPath"] = "$.model"


def wrong_sagemaker_api_name(states: States) -> None:
    states["Train"]["Resource"] = "arn:aws:states:::sagemaker:startTrainingJob.sync"


def create_endpoint_sync(states: States) -> None:
    states["CreateEndpoint"]["Resource"] = "arn:aws:states:::sagemaker:createEndpoint.sync"


def mistyped_sdk_action(states: States) -> None:
    states["DescribeEndpoint"]["Resource"] = "arn:aws:states:::aws-sdk:sagemaker:descibeEndpoint"


def miscased_parameters(states: States) -> None:
    states["BuildImage"]["Arguments"] = {"projectName": "${ImageBuildProject}"}


def misspelt_argument(states: States) -> None:
    within(states["Train"], "'VolumeSizeInGB'", "'VolumeGB'")


def heartbeat_above_timeout(states: States) -> None:
    states["SmokeTest"]["HeartbeatSeconds"] = 120


# --- And what else it knows -------------------------------------------------------------------------------------------


def unassigned_variable(states: States) -> None:
    del states["Train"]["Assign"], states["TrainOnEc2"]["Assign"]


def bare_name(states: States) -> None:
    within(states["CreateModel"], "$plan.names.model", "plan.names.model")


def misspelt_name_inside_an_expression(states: States) -> None:
    within(states["Train"], "'MaxRuntimeInSeconds': $plan.train.max_runtime_seconds}", "'MaxRuntimeInSecond': 60}")


def missing_required_argument(states: States) -> None:
    whole = "'OutputDataConfig': $merge([{'S3OutputPath': $plan.output_uri}, $plan.secured.output]), "
    within(states["Train"], whole, "")


def wrong_type(states: States) -> None:
    within(states["Train"], "'EnableManagedSpotTraining': $plan.train.spot", "'EnableManagedSpotTraining': 'false'")


def wrong_enumeration(states: States) -> None:
    states["PutScalingPolicy"]["Arguments"]["PolicyType"] = "TargetTracking"


def error_nobody_raises(states: States) -> None:
    states["FindImage"]["Catch"][0]["ErrorEquals"] = ["ECR.ImageNotFound"]


def missing_default(states: States) -> None:
    del states["QualityGate"]["Default"]


def missing_comment(states: States) -> None:
    del states["Done"]["Comment"]


def uncaught_task(states: States) -> None:
    del states["CreateModel"]["Catch"]


SEEDED: list[tuple[Callable[[States], None], str, str]] = [
    (dangling_next, "CreateModel", "CreateEndpointConfiguration, which is not there"),
    (unreachable_state, "Forgotten", "nothing leads here"),
    (bad_jsonata, "QualityGate", "JSONata does not parse"),
    (mixed_query_languages, "CreateModel", "query languages are mixed"),
    (wrong_sagemaker_api_name, "Train", "no optimized action startTrainingJob (is it createTrainingJob?)"),
    (create_endpoint_sync, "CreateEndpoint", "has no .sync"),
    (mistyped_sdk_action, "DescribeEndpoint", "no action descibeEndpoint (is it describeEndpoint?)"),
    (miscased_parameters, "BuildImage", "no such argument (is it ProjectName?)"),
    (misspelt_argument, "Train", "Arguments.ResourceConfig.VolumeGB: "),
    (heartbeat_above_timeout, "SmokeTest", "HeartbeatSeconds, 120, has to be below TimeoutSeconds, 60"),
    (unassigned_variable, "Evaluate", "$trained is read before"),
    (bare_name, "CreateModel", "the bare name plan reads nothing"),
    (misspelt_name_inside_an_expression, "Train", "MaxRuntimeInSecond: "),
    (missing_required_argument, "Train", "Arguments.OutputDataConfig is missing"),
    (wrong_type, "Train", "has to be of type boolean"),
    (wrong_enumeration, "PutScalingPolicy", "is it TargetTrackingScaling?"),
    (error_nobody_raises, "FindImage", "is it Ecr.ImageNotFoundException?"),
    (missing_default, "QualityGate", "Default is missing"),
    (missing_comment, "Done", "Comment is missing"),
    (uncaught_task, "CreateModel", "Catch of States.ALL is missing"),
]


@pytest.mark.parametrize(("bug", "state", "finding"), SEEDED, ids=[bug.__name__ for bug, _, _ in SEEDED])
def test_a_seeded_bug_is_caught_where_it_is(bug: Callable[[States], None], state: str, finding: str) -> None:
    machine = copy.deepcopy(PIPELINE if state in (*PIPELINE["States"], "Forgotten") else DEPLOY)
    bug(machine["States"])

    problems = asl_check.check(machine)

    assert [problem for problem in problems if problem.startswith(f"{state}: ") and finding in problem], problems


def test_the_command_names_the_file_and_fails(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    machine = copy.deepcopy(DEPLOY)
    dangling_next(machine["States"])
    path = tmp_path / "broken.asl.json"
    path.write_text(json.dumps(machine))

    assert asl_check.main([str(path)]) == 1
    assert capsys.readouterr().out.startswith(f"{path}: CreateModel: ")
    assert asl_check.main([str(PATH)]) == 0
