"""What template.yaml promises: usable parameters, a log group and a least role per function, no wide policy."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from kennel import settings
from kennel.runs import RUN_FIELDS

from tests.contract import template
from tests.contract.template import ROOT

TEMPLATE = template.load()
TEXT = (ROOT / "template.yaml").read_text(encoding="utf-8")
FUNCTIONS = template.resources("AWS::Serverless::Function")
FIELDS = {field.path: field for field in RUN_FIELDS}
# A stack parameter and the field of a run whose default it is.
RUN_DEFAULTS = {
    "train.mode": "TrainingMode",
    "train.instance_type": "TrainingInstanceType",
    "train.instances": "TrainingInstances",
    "train.ec2_instance_type": "TrainingEc2InstanceType",
    "train.volume_gb": "TrainingVolumeGb",
    "train.max_runtime_seconds": "TrainingMaxRuntimeSeconds",
    "train.spot": "TrainingSpot",
    "train.precision": "TrainingPrecision",
    "endpoint.instance_type": "EndpointInstanceType",
    "endpoint.initial_instances": "ScalingMinimum",
    "endpoint.minimum": "ScalingMinimum",
    "endpoint.maximum": "ScalingMaximum",
    "endpoint.target_metric": "ScalingMetric",
    "endpoint.target_invocations_per_minute": "ScalingTarget",
    "endpoint.target_concurrent_requests": "ScalingConcurrentRequests",
    "endpoint.scale_in_cooldown_seconds": "ScaleInCooldownSeconds",
    "endpoint.scale_out_cooldown_seconds": "ScaleOutCooldownSeconds",
}


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_every_parameter_has_a_default_says_what_it_is_and_what_it_takes(name: str) -> None:
    parameter = TEMPLATE["Parameters"][name]
    assert "Default" in parameter
    assert len(parameter["Description"]) > 20
    assert parameter["ConstraintDescription"]
    assert "AllowedValues" in parameter or "AllowedPattern" in parameter or {"MinValue", "MaxValue"} <= parameter.keys()


def test_every_parameter_is_in_a_group_of_the_console_and_used() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(TEMPLATE["Parameters"])
    body = json.dumps({part: TEMPLATE[part] for part in ("Resources", "Conditions")})
    assert [name for name in TEMPLATE["Parameters"] if f'"{name}"' not in body and f"${{{name}}}" not in body] == []


def test_a_runs_defaults_are_the_parameters_and_their_ranges_lie_within_what_a_run_takes() -> None:
    text = FUNCTIONS["ValidateRunFunction"]["Environment"]["Variables"]["DEFAULTS"]["Fn::Sub"]
    used = dict(re.findall(r'"([a-z0-9_]+)": "?\$\{(\w+)\}', text.partition('"endpoint"')[0]))
    used = {f"train.{name}": parameter for name, parameter in used.items()}
    used |= {
        f"endpoint.{name}": p
        for name, p in re.findall(r'"([a-z0-9_]+)": "?\$\{(\w+)\}', text.partition('"endpoint"')[2])
    }
    assert used == RUN_DEFAULTS

    for path, name in RUN_DEFAULTS.items():
        field, parameter = FIELDS[path], TEMPLATE["Parameters"][name]
        default: Any = parameter["Default"] == "true" if field.kind is bool else parameter["Default"]
        assert field.default == default, f"{path}: the input's table and the template disagree"
        for bound in ("MinValue", "MaxValue"):
            assert bound not in parameter or not field.check(parameter[bound])[1], f"{name} {bound}"


def test_provisioned_concurrency_above_reserved_is_refused_by_a_rule() -> None:
    parameters, rules = TEMPLATE["Parameters"], TEMPLATE["Rules"]
    for provisioned in parameters["ProvisionedConcurrency"]["AllowedValues"]:
        if provisioned:
            (allowed, _) = rules[f"Provisioned{provisioned}"]["Assertions"][0]["Assert"]["Fn::Contains"]
            fitting = [r for r in parameters["ReservedConcurrency"]["AllowedValues"] if r == 0 or r >= provisioned]
            assert [int(value) for value in allowed] == fitting


def test_a_budget_is_made_when_asked_for_only_and_then_tells_somebody_of_use() -> None:
    parameters, budget = TEMPLATE["Parameters"], TEMPLATE["Resources"]["MonthlyBudget"]
    assert budget["Condition"] == "HasBudget" and parameters["MonthlyBudgetUsd"]["Default"] == 0
    assert TEMPLATE["Conditions"]["HasBudget"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "MonthlyBudgetUsd"}, 0]}]}
    (assertion,) = TEMPLATE["Rules"]["BudgetTellsSomebody"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "BudgetEmail"}, ""]}]}
    told = budget["Properties"]["NotificationsWithSubscribers"]
    assert [(one["Notification"]["NotificationType"], one["Notification"]["Threshold"]) for one in told] == [
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]
    assert all(one["Subscribers"] == [{"SubscriptionType": "EMAIL", "Address": {"Ref": "BudgetEmail"}}] for one in told)
    tag = budget["Properties"]["Budget"]["CostFilters"]["Fn::If"][1]["TagKeyValue"]
    assert tag == [{"Fn::Sub": "user:kennel:stack$${AWS::StackName}"}]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_a_role_and_a_log_group_of_its_own(name: str) -> None:
    function = FUNCTIONS[name]
    role, group = function["Role"]["Fn::GetAtt"][0], function["LoggingConfig"]["LogGroup"]["Ref"]
    others = [other for other in FUNCTIONS if other != name]
    assert role not in [FUNCTIONS[other]["Role"]["Fn::GetAtt"][0] for other in others]
    assert group not in [FUNCTIONS[other]["LoggingConfig"]["LogGroup"]["Ref"] for other in others]
    assert f"{role}.WriteOwnLogs" in dict(template.statements())


def test_every_log_group_has_a_retention() -> None:
    groups = template.resources("AWS::Logs::LogGroup")
    assert {name for name, group in groups.items() if "RetentionInDays" not in group} == set()
    assert (
        len(groups) >= len(FUNCTIONS) + 5
    )  # the API's, the pipeline's, the teardown's, the image build's, the endpoint's


def test_functions_get_exactly_the_environment_they_read() -> None:
    tree = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    readers = {
        node.name: {
            call.args[0].value
            for call in ast.walk(node)
            if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant)
        }
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    for function in ("Classify", "Site", "ValidateRun", "PlanBatch", "CollectBatch", "WatchDrift"):
        name = f"{function}Function"
        reader = re.sub(r"(?<!^)([A-Z])", r"_\1", function).lower() + "_settings"
        given = {key for key in FUNCTIONS[name]["Environment"]["Variables"] if not key.startswith("POWERTOOLS_")}
        given |= {"AWS_REGION"} & readers[reader]  # which Lambda itself sets
        assert given == {value for value in readers[reader] if isinstance(value, str) and value.isupper()}, name


def test_no_policy_is_managed_or_takes_every_action() -> None:
    assert "FullAccess" not in TEXT
    assert [name for name, role in template.resources("AWS::IAM::Role").items() if "ManagedPolicyArns" in role] == []
    for name, statement in template.statements():
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if "*" in action], name
        assert statement["Effect"] == "Allow", name


def test_every_wildcard_resource_is_argued_beside_it() -> None:
    lines = TEXT.splitlines()
    wide = [index for index, line in enumerate(lines) if re.search(r"Resource: '\*'$", line)]
    assert wide
    for index in wide:
        start = max(at for at in range(index) if "- Sid:" in lines[at])
        assert lines[start - 1].strip().startswith("#"), f"line {index + 1}: why every resource?"


def test_roles_are_passed_to_one_service_only() -> None:
    passing = [statement for _, statement in template.statements() if "iam:PassRole" in json.dumps(statement["Action"])]
    assert passing
    for statement in passing:
        assert list(statement["Condition"]) == ["StringEquals"]
        assert statement["Condition"]["StringEquals"].keys() == {"iam:PassedToService"}


def test_trust_policies_name_the_account_but_for_those_that_say_why() -> None:
    bare = [
        name
        for name, role in template.resources("AWS::IAM::Role").items()
        if "aws:SourceAccount" not in json.dumps(role["AssumeRolePolicyDocument"])
    ]
    assert sorted(bare) == ["ApiAccountRole", "Ec2TrainingRole", "TrafficShiftRole"]


# With Network PRIVATE, and not to the function's own code.
OF_THE_NETWORK = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]


def test_what_classify_may_do_is_its_whole_job_and_no_more() -> None:
    allowed = {
        name: statement["Action"] for name, statement in template.statements() if name.startswith("ClassifyRole.")
    }
    assert allowed == {
        "ClassifyRole.AskOwnEndpoint": "sagemaker:InvokeEndpoint",
        "ClassifyRole.ReadOwnPictures": "s3:GetObject",
        "ClassifyRole.WriteOwnLogs": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "ClassifyRole.ReadWithKey": "kms:Decrypt",
        "ClassifyRole.JoinNetwork": OF_THE_NETWORK,
    }


def test_what_the_gateway_refuses_by_itself_carries_the_requests_id() -> None:
    answers = template.resources("AWS::Serverless::Api")["Api"]["GatewayResponses"]
    assert set(answers) == {"DEFAULT_4XX", "DEFAULT_5XX"}
    for answer in answers.values():
        assert answer["ResponseParameters"] == {"Headers": {"X-Request-Id": "context.requestId"}}


def test_what_shows_the_page_may_neither_ask_the_model_nor_read_a_picture() -> None:
    allowed = {name: statement["Action"] for name, statement in template.statements() if name.startswith("SiteRole.")}
    assert allowed == {
        "SiteRole.SeeOwnEndpoint": "sagemaker:DescribeEndpoint",
        "SiteRole.ReadReports": "s3:GetObject",
        "SiteRole.WriteOwnLogs": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "SiteRole.ReadWithKey": "kms:Decrypt",
        "SiteRole.JoinNetwork": OF_THE_NETWORK,
    }


@pytest.mark.parametrize("name", template.resources("AWS::S3::Bucket"))
def test_buckets_are_private_encrypted_versioned_tls_only_and_aged(name: str) -> None:
    bucket = template.resources("AWS::S3::Bucket")[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"] and bucket["LifecycleConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (policy,) = [p for p in template.resources("AWS::S3::BucketPolicy").values() if p["Bucket"] == {"Ref": name}]
    (tls,) = policy["PolicyDocument"]["Statement"]
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_outputs_are_the_contracts_and_described() -> None:
    wanted = "ApiUrl ApiKeyId DataBucket ArtifactBucket PipelineArn TeardownArn EndpointName ClassifyFunction CodeUri"
    wanted += " BatchArn DeployArn TrainOnEc2Arn SweepArn ModelPackageGroup"
    assert set(TEMPLATE["Outputs"]) == {*wanted.split(), "ServingRepositoryUri"}
    assert [name for name, output in TEMPLATE["Outputs"].items() if len(output.get("Description", "")) < 15] == []


def test_published_code_follows_the_function_that_carries_it() -> None:
    assert TEMPLATE["Resources"]["PublishedCode"]["Properties"]["Version"] == {"Ref": "PublishCodeFunction.Version"}
    assert "AutoPublishAlias" in FUNCTIONS["PublishCodeFunction"]
