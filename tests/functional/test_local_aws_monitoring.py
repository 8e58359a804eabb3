"""What a stack is seen by on the embedded AWS: metrics out of logs, mathematics, alarms, saved queries."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract import template

from .conftest import LocalAws, wait_for
from .test_local_aws_lambda import call, function

CODE = """
import json

def handler(event, context):
    directive = {"Namespace": event["namespace"], "Dimensions": [["stack"]], "Metrics": [{"Name": "Answered"}]}
    embedded = {"Timestamp": 1, "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": embedded, "stack": "s", "Answered": event["values"]}))
"""


def stat(namespace: str, name: str, **more: Any) -> dict[str, Any]:
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": "stack", "Value": "s"}]}
    return {"MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, **more}


def deploy(aws: LocalAws, **sections: Any) -> dict[str, str]:
    """A stack of a template's sections and, in the same mapping, parameters; physical ids by logical ones."""
    name, client = f"s-{uuid.uuid4().hex[:8]}", aws.client("cloudformation")
    body = {key: value for key, value in sections.items() if isinstance(value, dict)}
    given = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in sections.items() if isinstance(value, str)
    ]
    client.create_stack(StackName=name, TemplateBody=json.dumps(body), Parameters=given)
    done = ("CREATE_COMPLETE", "ROLLBACK_COMPLETE", "CREATE_FAILED")
    wait_for(lambda: client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] in done, "the stack")
    assert client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    found = client.describe_stack_resources(StackName=name)["StackResources"]
    return {"": name, **{one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}}


def test_what_a_function_prints_in_embedded_format_is_a_metric_and_is_computed_with(local_aws: LocalAws) -> None:
    namespace = uuid.uuid4().hex
    name = function(local_aws, CODE)
    call(local_aws, name, namespace=namespace, values=[1, 2])
    call(local_aws, name, namespace=namespace, values=3)

    queries = [
        stat(namespace, "Answered", Id="answered", ReturnData=False),
        {"Id": "rate", "Expression": "answered / PERIOD(answered)", "Label": "a second"},
        {"Id": "never", "Expression": "FORECAST(answered)"},
    ]
    since, until = time.time() - 600, time.time() + 600
    answer = local_aws.client("cloudwatch").get_metric_data(MetricDataQueries=queries, StartTime=since, EndTime=until)
    rate, never = answer["MetricDataResults"]
    assert (rate["Id"], rate["Label"], sum(rate["Values"])) == ("rate", "a second", 0.1)
    assert since - 60 < rate["Timestamps"][0].timestamp() < until
    assert "FORECAST" in never["Messages"][0]["Value"]


def test_an_alarm_of_a_template_may_compute_and_says_when_nothing_is_answered(local_aws: LocalAws) -> None:
    namespace, cloudwatch = uuid.uuid4().hex, local_aws.client("cloudwatch")
    alarm = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": f"{namespace}-unanswered",
            "Metrics": [
                {"Id": "unanswered", "Expression": "IF(FILL(answered, 0) > 0, 0, asked)"},
                stat(namespace, "Asked", Id="asked", ReturnData=False),
                stat(namespace, "Answered", Id="answered", ReturnData=False),
            ],
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
        },
    }
    resources = deploy(local_aws, Resources={"Alarm": alarm})

    def state() -> str:
        (found,) = cloudwatch.describe_alarms(AlarmNames=[resources["Alarm"]])["MetricAlarms"]
        return str(found["StateValue"])

    def put(name: str) -> None:
        where = [{"Name": "stack", "Value": "s"}]
        data = {"MetricName": name, "Dimensions": where, "Value": 1, "Timestamp": time.time() - 60}
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[data])

    assert state() == "OK"
    put("Asked")
    wait_for(lambda: state() == "ALARM", "the alarm")


def test_saved_queries_come_and_go_with_their_template(local_aws: LocalAws) -> None:
    logs, name = local_aws.client("logs"), f"{uuid.uuid4().hex}/slowest"
    properties = {"Name": name, "QueryString": "fields @message", "LogGroupNames": ["a"]}
    query = {"Type": "AWS::Logs::QueryDefinition", "Properties": properties}
    resources = deploy(local_aws, Resources={"Query": query})

    (found,) = logs.describe_query_definitions(queryDefinitionNamePrefix=name)["queryDefinitions"]
    assert (found["queryDefinitionId"], found["queryString"]) == (resources["Query"], "fields @message")
    local_aws.client("cloudformation").delete_stack(StackName=resources[""])
    gone = logs.describe_query_definitions
    wait_for(lambda: not gone(queryDefinitionNamePrefix=name)["queryDefinitions"], "the query's end")


def test_the_templates_topic_and_key_come_with_an_address_and_go_with_the_stack(local_aws: LocalAws) -> None:
    # given what AlarmEmail brings, as template.yaml has it, and one of its alarms
    whole = template.load()
    wanted = ("AlarmKey", "AlarmTopic", "AlarmTopicPolicy", "EndpointErrorsAlarm")
    part = {
        "Parameters": {name: whole["Parameters"][name] for name in ("AlarmEmail", "KmsKeyArn")},
        "Conditions": {name: whole["Conditions"][name] for name in ("TellAlarms", "HasKey", "OwnAlarmKey")},
        "Resources": {name: whole["Resources"][name] for name in wanted},
    }
    with_mail = deploy(local_aws, AlarmEmail="ops@example.com", **part)
    without = deploy(local_aws, **part)

    # then the alarm tells the topic, where there is an address
    def actions(stack: dict[str, str]) -> list[str]:
        names = [stack["EndpointErrorsAlarm"]]
        (found,) = local_aws.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        return [*found["AlarmActions"], *found["OKActions"]]

    assert actions(with_mail) == [with_mail["AlarmTopic"]] * 2
    assert actions(without) == [] and set(without) == {"", "EndpointErrorsAlarm"}

    # and all of it goes with the stack, but for the key, which waits for its deletion
    for stack in (with_mail, without):
        local_aws.client("cloudformation").delete_stack(StackName=stack[""])
    wait_for(lambda: with_mail["AlarmTopic"] not in str(local_aws.client("sns").list_topics()), "the topic's end")
    key = local_aws.client("kms").describe_key(KeyId=with_mail["AlarmKey"])["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"


def test_a_query_over_logs_is_answered_and_one_that_is_not_understood_is_refused(local_aws: LocalAws) -> None:
    logs, group = local_aws.client("logs"), f"g-{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time())
    lines = [{"timestamp": now * 1000, "message": json.dumps({"status": status})} for status in (200, 502, 502)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=lines)

    def answer(query: str) -> Any:
        asked = logs.start_query(logGroupName=group, startTime=now - 60, endTime=now + 60, queryString=query)
        return logs.get_query_results(queryId=asked["queryId"])["results"]

    counted = answer("filter status >= 500 | stats count(*) as times by status")
    assert counted == [[{"field": "status", "value": "502"}, {"field": "times", "value": "2"}]]
    with pytest.raises(ClientError, match="MalformedQueryException"):
        answer("filter status ~ 500")
