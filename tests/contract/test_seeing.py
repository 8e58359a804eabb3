"""What shows and tells of a stack: its dashboard, its alarms with their runbook, its saved queries."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from typing import Any

import pytest

from tests.contract import template
from tools.cost import month
from tools.cost.stack_settings import StackSettings

TEMPLATE = template.load()
RUNBOOK = (template.ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
PRICES = json.loads((template.ROOT / "training" / "prices.json").read_text(encoding="utf-8"))
ALARMS = template.resources("AWS::CloudWatch::Alarm")
API, METHOD = ("ApiName", "Stage"), ("ApiName", "Method", "Resource", "Stage")
FUNCTION, ALIAS = ("FunctionName",), ("FunctionName", "Resource")
VARIANT, MACHINE, OWN = ("EndpointName", "VariantName"), ("StateMachineArn",), ("service", "stack")
# As AWS documents them: which metrics each service sends, with which sets of dimensions.
DOCUMENTED: dict[str, tuple[set[str], set[tuple[str, ...]]]] = {
    "AWS/ApiGateway": ({"Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"}, {API, METHOD}),
    "AWS/Lambda": ({"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"}, {FUNCTION, ALIAS}),
    "AWS/SageMaker": (
        {
            "Invocations",
            "InvocationsPerInstance",
            "Invocation4XXErrors",
            "Invocation5XXErrors",
            "InvocationModelErrors",
            "ModelLatency",
            "OverheadLatency",
            "ConcurrentRequestsPerModel",
        },
        {VARIANT},
    ),
    "AWS/States": (
        {"ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsAborted", "ExecutionsTimedOut"},
        {MACHINE},
    ),
}
OF_ALIASES = {"ProvisionedConcurrentExecutions", "ProvisionedConcurrencySpilloverInvocations"}
VALUES = {
    "ApiName": "${AWS::StackName}-api",
    "Stage": "${Api.Stage}",
    "Method": "POST",
    "Resource": "${ClassifyFunction}:live",
    "FunctionName": "${ClassifyFunction}",
    "EndpointName": "${AWS::StackName}",
    "VariantName": "primary",
    "stack": "${AWS::StackName}",
}


def emitted(function: str = "classify") -> set[str]:
    """The names of the metrics that a function emits, from its source."""
    tree = ast.parse((template.ROOT / "functions" / function / "app.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    names = [call.args[0] for call in calls if call.func.attr == "add_metric"]  # type: ignore[attr-defined]
    texts = [node for name in names for node in ast.walk(name) if isinstance(node, ast.Constant)]
    return {text.value for text in texts if isinstance(text.value, str)}


def known(namespace: str, name: str, dimensions: dict[str, Any]) -> bool:
    """Whether somebody sends the metric with these dimensions, of this stack."""
    if namespace == "Kennel":
        right = tuple(sorted(dimensions)) == OWN and name in emitted(dimensions["service"])
    else:
        names, sets = DOCUMENTED[namespace]
        keys = tuple(sorted(dimensions))
        right = keys in sets and (name in names or (name in OF_ALIASES and keys == ALIAS))
    values = {**VALUES, "Resource": "/predictions"} if "Method" in dimensions else VALUES
    machines = {f"${{{one}}}" for one in template.resources("AWS::StepFunctions::StateMachine")}
    return right and all(
        value in machines if key == "StateMachineArn" else key == "service" or value == values[key]
        for key, value in dimensions.items()
    )


def body(scaling: str) -> dict[str, Any]:
    """The dashboard with the template's defaults; what only a deployed stack knows stays as `${...}`."""
    text, more = TEMPLATE["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    values = {name: str(parameter["Default"]) for name, parameter in TEMPLATE["Parameters"].items()}
    for name, choice in more.items():
        condition, yes, no = choice["Fn::If"]
        assert condition == "ScaleByConcurrency"
        chosen = yes if scaling == "concurrency" else no
        values[name] = values[chosen["Ref"]] if isinstance(chosen, dict) else chosen
    text = re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)
    read: dict[str, Any] = json.loads(text)
    for place in re.findall(r"\$\{([^}]+)\}", text):
        assert place.startswith("AWS::") or place.split(".")[0] in TEMPLATE["Resources"], place
    return read


@pytest.fixture(params=["invocations", "concurrency"])
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Both forms of the dashboard, by what scaling goes by."""
    return body(request.param)


def graphs(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [widget["properties"] for widget in dashboard["widgets"] if widget["type"] == "metric"]


def test_every_metric_of_the_dashboard_is_one_that_somebody_sends(dashboard: dict[str, Any]) -> None:
    shown = set()
    for graph in graphs(dashboard):
        for *where, look in graph["metrics"]:
            if where:
                namespace, name, *pairs = where
                assert known(namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))), (namespace, name)
                assert re.fullmatch(r"Sum|Average|Maximum|SampleCount|p\d\d", look["stat"])
                shown.add((namespace, name))
    assert {name for namespace, name in shown if namespace == "Kennel"} == emitted()


def test_every_expression_uses_what_stands_before_it_and_every_line_has_a_name(dashboard: dict[str, Any]) -> None:
    for graph in graphs(dashboard):
        ids = [look["id"] for *_, look in graph["metrics"] if "id" in look]
        assert len(ids) == len(set(ids)), graph["title"]
        for *_, look in graph["metrics"]:
            assert look.get("visible", True) is False or look["label"], graph["title"]
            assert set(re.findall(r"[a-z]\w*", look.get("expression", ""))) <= set(ids), graph["title"]


def test_the_dashboard_is_one_screen_without_holes_and_overlaps_and_is_free_of_charge(
    dashboard: dict[str, Any],
) -> None:
    cells = [
        (widget["x"] + across, widget["y"] + down)
        for widget in dashboard["widgets"]
        for across in range(widget["width"])
        for down in range(widget["height"])
    ]
    assert sorted(cells) == [(across, down) for across in range(24) for down in range(15)]
    # CloudWatch's free dashboards are those of 50 metrics at most.
    assert sum(len(line) > 1 for graph in graphs(dashboard) for line in graph["metrics"]) <= 50


def test_the_dashboard_shows_every_alarm_that_is_always_there(dashboard: dict[str, Any]) -> None:
    (shown,) = [widget["properties"]["alarms"] for widget in dashboard["widgets"] if widget["type"] == "alarm"]
    assert sorted(shown) == sorted(f"${{{name}.Arn}}" for name in ALARMS if name != "ClassifyErrorsAlarm")


def test_the_price_on_the_dashboard_is_that_of_the_instance() -> None:
    for name, settings in tomllib.loads((template.ROOT / "samconfig.toml").read_text()).items():
        if isinstance(settings, dict):
            values = StackSettings.of(name, {}).values
            hour = PRICES["instance_hour"] | PRICES["instance_hour_derived"]
            assert float(values["EndpointHourUsd"]) == hour[values["EndpointInstanceType"]], name


def suffix(name: str) -> str:
    """ApiErrorsAlarm -> api-errors."""
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name.removesuffix("Alarm")).lower()


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_to_do_and_where_the_rest_stands_and_tells_who_wants_to_know(name: str) -> None:
    alarm = ALARMS[name]
    assert re.search(rf"\. Do: .+\. docs/operate\.md#alarm-{suffix(name)}$", alarm["AlarmDescription"].strip())
    assert alarm.get("AlarmName", {"Fn::Sub": f"${{AWS::StackName}}-{suffix(name)}"}) == {
        "Fn::Sub": f"${{AWS::StackName}}-{suffix(name)}"
    }
    assert (
        alarm["AlarmActions"]
        == alarm["OKActions"]
        == [{"Fn::If": ["TellAlarms", {"Ref": "AlarmTopic"}, {"Ref": "AWS::NoValue"}]}]
    )
    assert alarm["TreatMissingData"] == "notBreaching", "a stack that nobody asks anything is well"


def test_every_alarm_has_its_section_in_the_runbook_and_every_section_its_alarm() -> None:
    sections = re.findall(r"^### Alarm ([a-z-]+)\n+(.+)", RUNBOOK, re.M)
    assert sorted(name for name, _ in sections) == sorted(map(suffix, ALARMS))
    assert all(text for _, text in sections)


def metrics_of(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    if "Metrics" in alarm:
        return [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if "MetricStat" in one]
    return [alarm]


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarms_metric_is_one_that_somebody_sends(name: str) -> None:
    def text(value: Any) -> str:
        if isinstance(value, dict):
            value = value.get("Fn::Sub") or f"${{{value['Ref']}}}"
        return str(value)

    for metric in metrics_of(ALARMS[name]):
        names = metric["MetricName"]
        for each in names["Fn::If"][1:] if isinstance(names, dict) else [names]:
            dimensions = {one["Name"]: text(one["Value"]) for one in metric["Dimensions"]}
            assert known(metric["Namespace"], each, dimensions), (each, dimensions)


def test_the_months_estimate_counts_these_metrics_and_alarms() -> None:
    assert (len(emitted()), len(emitted("watch_drift"))) == (month.OWN_METRICS, month.DRIFT_METRICS)


def test_mail_goes_through_a_topic_that_only_this_stacks_alarms_may_use_encrypted_and_over_tls() -> None:
    (topic,) = template.resources("AWS::SNS::Topic").values()
    (policy,) = template.resources("AWS::SNS::TopicPolicy").values()
    (key,) = template.resources("AWS::KMS::Key").values()
    allow, deny = policy["PolicyDocument"]["Statement"]
    administers, encrypts = key["KeyPolicy"]["Statement"]
    assert topic["KmsMasterKeyId"] == {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AlarmKey"}]}
    assert key["EnableKeyRotation"] is True
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    for statement in (allow, encrypts):
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        source = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
        assert source.endswith(":${AWS::AccountId}:alarm:${AWS::StackName}-*")
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert administers["Principal"]["AWS"]["Fn::Sub"].endswith("::${AWS::AccountId}:root")
    made = {name: TEMPLATE["Resources"][name]["Condition"] for name in ("AlarmKey", "AlarmTopic", "AlarmTopicPolicy")}
    assert made == {"AlarmKey": "OwnAlarmKey", "AlarmTopic": "TellAlarms", "AlarmTopicPolicy": "TellAlarms"}


def test_everything_that_logs_does_so_into_a_group_of_the_stack() -> None:
    groups = set(template.resources("AWS::Logs::LogGroup"))
    for name, machine in template.resources("AWS::StepFunctions::StateMachine").items():
        (destination,) = machine["LoggingConfiguration"]["Destinations"]
        assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"]["Fn::GetAtt"][0] in groups, name
    for name, project in template.resources("AWS::CodeBuild::Project").items():
        assert project["LogsConfig"]["CloudWatchLogs"]["GroupName"]["Ref"] in groups, name
    (api,) = template.resources("AWS::Serverless::Api").values()
    assert api["AccessLogSetting"]["DestinationArn"]["Fn::GetAtt"][0] in groups
    for query in template.resources("AWS::Logs::QueryDefinition").values():
        assert {group["Ref"] for group in query["LogGroupNames"]} <= groups
