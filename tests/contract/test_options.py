"""Every combination of the template's options: what must hold in each, and that CloudFormation's linter takes it."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract import template
from tests.contract.template import ROOT

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
BOUNDARY = "arn:aws:iam::123456789012:policy/bounded"
POOL = "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_Abcdefghi"
ACL = f"arn:aws:wafv2:us-east-1:123456789012:regional/webacl/api/{'1' * 8}-2222-3333-4444-{'5' * 12}"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:own"
BUDGET = {"MonthlyBudgetUsd": "100", "BudgetEmail": "owner@example.com"}
# An option -> the settings it has, each as parameters; the first is the default.
OPTIONS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "auth": ({}, {"ApiAuth": "AWS_IAM"}, {"ApiAuth": "COGNITO", "CognitoUserPoolArn": POOL}),
    "boundary": ({}, {"PermissionsBoundaryArn": BOUNDARY}),
    "key": ({}, {"KmsKeyArn": KEY}),
    "acl": ({}, {"WebAclArn": ACL}),
    "network": ({}, {"Network": "PRIVATE", "TrainingImageUri": IMAGE}),
    "data": ({}, {"DataBucketName": "pictures"}, {"DataBucketName": "pictures", "DataBucketOwner": "210987654321"}),
    "account": ({}, {"ApiAccountLogging": "EXISTING"}),
    "shift": ({}, {"SafeDeployments": "true"}),
    "seeing": ({}, {"AlarmEmail": "owner@example.com"}, {"Monitoring": "BASIC"}),
    "drift": ({}, {"DriftSampleShare": "0"}),
    "budget": ({}, BUDGET, BUDGET | {"BudgetCounts": "STACK"}),
    "concurrency": ({}, {"ProvisionedConcurrency": "0", "ReservedConcurrency": "0"}),
}
Chosen = tuple[int, ...]


def parameters(chosen: Chosen) -> dict[str, str]:
    picked = (settings[number] for settings, number in zip(OPTIONS.values(), chosen, strict=True))
    return {name: value for setting in picked for name, value in setting.items()}


def pairs(chosen: Chosen) -> set[tuple[tuple[int, int], ...]]:
    return set(itertools.combinations(enumerate(chosen), 2))


def pairwise() -> list[Chosen]:
    """Few combinations that hold every pair of settings: of some drawn, always the one with most pairs that are new."""
    chance, counts = random.Random(0), [len(settings) for settings in OPTIONS.values()]
    each = [[(option, setting) for setting in range(count)] for option, count in enumerate(counts)]
    left = {pair for one, other in itertools.combinations(each, 2) for pair in itertools.product(one, other)}
    found: list[Chosen] = []
    while left:
        tried = (tuple(map(chance.randrange, counts)) for _ in range(300))
        found.append(max(tried, key=lambda chosen: len(pairs(chosen) & left)))
        left -= pairs(found[-1])
    return found


COMBINATIONS = pairwise()


def of_type(resolved: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: one.get("Properties", {}) for name, one in resolved["Resources"].items() if one["Type"] == kind}


def references(value: Any) -> Iterator[str]:
    """Every logical id or parameter that Ref, GetAtt and Sub read."""
    if isinstance(value, list):
        for one in value:
            yield from references(one)
    elif isinstance(value, dict):
        if isinstance(value.get("Ref"), str):
            yield value["Ref"].partition(".")[0]
        if "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0]
        text = value.get("Fn::Sub")
        own = text[1] if isinstance(text, list) else {}
        for part in str(text[0] if isinstance(text, list) else text or "").split("${")[1:]:
            name = part.partition("}")[0].partition(".")[0]
            if name not in own and not name.startswith("!"):
                yield name
        for one in value.values():
            yield from references(one)


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=lambda chosen: "".join(map(str, chosen)))
def test_nothing_is_read_that_this_combination_has_not(chosen: Chosen) -> None:
    resolved = template.resolved(parameters(chosen))
    known = resolved["Resources"].keys() | resolved["Parameters"].keys()
    read = {name for part in ("Globals", "Resources", "Outputs") for name in references(resolved[part])}
    assert {name for name in read if not name.startswith("AWS::")} - known == set()


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=lambda chosen: "".join(map(str, chosen)))
def test_every_role_has_the_boundary_and_the_key_only_where_they_are_given(chosen: Chosen) -> None:
    given = parameters(chosen)
    resolved = template.resolved(given)
    for name, role in of_type(resolved, "AWS::IAM::Role").items():
        wanted = {"Ref": "PermissionsBoundaryArn"} if "PermissionsBoundaryArn" in given else None
        assert role.get("PermissionsBoundary") == wanted, name
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if "kms:" in json.dumps(statement["Action"]):
                    assert "KmsKeyArn" in given, name
                    assert statement["Resource"] == {"Ref": "KmsKeyArn"}, name
                    assert "kms:" in json.dumps(statement["Condition"]), f"{name}: through which service?"


# What holds data at rest -> where it says with which key, as a path of members.
KEPT = {
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::ECR::Repository": "EncryptionConfiguration.KmsKey",
    "AWS::CodeBuild::Project": "EncryptionKey",
    "AWS::StepFunctions::StateMachine": "EncryptionConfiguration.KmsKeyId",
    "AWS::S3::Bucket": (
        "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.KMSMasterKeyID"
    ),
}
# Groups of types. (Functions' environments have the key by Globals.)
KEEPS_NOTHING = (
    "AWS::ApiGateway::",
    "AWS::Budgets::",
    "AWS::CloudWatch::",
    "AWS::EC2::",
    "AWS::Events::",
    "AWS::IAM::",
    "AWS::WAFv2::",
    "AWS::Lambda::Permission",
    "AWS::Logs::QueryDefinition",
    "AWS::S3::BucketPolicy",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::Serverless::",
    "Custom::",
)


def at(value: Any, path: str) -> Any:
    for member in path.split("."):
        value = value[int(member)] if isinstance(value, list) else (value or {}).get(member)
    return value


@pytest.mark.parametrize("given", [{}, {"KmsKeyArn": KEY}], ids=["without a key", "with a key"])
def test_everything_that_keeps_data_does_so_under_the_key_that_is_given(given: dict[str, str]) -> None:
    resolved = template.resolved(given)
    wanted = {"Ref": "KmsKeyArn"} if given else None
    for name, one in resolved["Resources"].items():
        if one["Type"] in KEPT:
            assert at(one["Properties"], KEPT[one["Type"]]) == wanted, name
        else:
            assert one["Type"].startswith(KEEPS_NOTHING), f"{name}: does it keep data, and by which key?"
    assert resolved["Globals"]["Function"].get("KmsKeyArn") == wanted


@pytest.mark.parametrize(("given", "key"), [({}, "AlarmKey"), ({"KmsKeyArn": KEY}, "KmsKeyArn")])
def test_the_alarms_topic_has_a_key_of_its_own_only_where_the_stack_is_given_none(
    given: dict[str, str], key: str
) -> None:
    resolved = template.resolved({"AlarmEmail": "owner@example.com", **given})
    assert resolved["Resources"]["AlarmTopic"]["Properties"]["KmsMasterKeyId"] == {"Ref": key}
    assert ("AlarmKey" in resolved["Resources"]) == (key == "AlarmKey")


def test_a_private_network_has_no_way_out_and_everything_that_computes_is_in_it() -> None:
    given = parameters(tuple(int(name == "network") for name in OPTIONS))
    private, public = template.resolved(given), template.resolved({})
    kinds = {one["Type"] for one in private["Resources"].values()}
    assert not {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route"} & kinds
    subnets = of_type(private, "AWS::EC2::Subnet")
    assert len(subnets) == 2 and not any(one["MapPublicIpOnLaunch"] for one in subnets.values())
    named = [{"Ref": name} for name in subnets]
    assert private["Globals"]["Function"]["VpcConfig"]["SubnetIds"] == named
    endpoints = of_type(private, "AWS::EC2::VPCEndpoint").values()
    services = {one["ServiceName"]["Fn::Sub"].partition("}.")[2]: one for one in endpoints}
    assert services.keys() == {"s3", "sagemaker.api", "sagemaker.runtime", "logs"}
    assert all(one.get("SubnetIds", named) == named for one in endpoints)
    told = private["Resources"]["ValidateRunFunction"]["Properties"]["Environment"]["Variables"]
    assert told["SUBNET_IDS"] == {"Fn::Sub": ",".join(f"${{{name}}}" for name in subnets)}
    for resolved, internet in ((private, "false"), (public, "true")):
        variables = resolved["Resources"]["ClassifyFunction"]["Properties"]["Environment"]["Variables"]
        assert variables["HAS_INTERNET"] == internet
    assert "VpcConfig" not in public["Globals"]["Function"] and not of_type(public, "AWS::EC2::VPCEndpoint")


# What Lambda and S3 do in a function's name, from outside of the network.
BY_OTHERS = {"WriteOwnLogs", "JoinNetwork", "ReadWithKey", "WriteWithKey"}


def test_a_function_calls_no_service_that_a_private_network_does_not_lead_to() -> None:
    functions = template.resources("AWS::Serverless::Function").values()
    roles = {function["Role"]["Fn::GetAtt"][0] for function in functions}
    called = {
        action.partition(":")[0]
        for name, statement in template.statements()
        for action in template.actions(statement)
        if name.partition(".")[0] in roles and statement["Sid"] not in BY_OTHERS
    }
    endpoints = template.resources("AWS::EC2::VPCEndpoint").values()
    reached = {one["ServiceName"]["Fn::Sub"].partition("}.")[2].partition(".")[0] for one in endpoints}
    assert called == reached


def test_roles_join_the_network_only_where_it_is_private() -> None:
    for given in ({}, {"Network": "PRIVATE", "TrainingImageUri": IMAGE}):
        joining = {
            name
            for name, role in of_type(template.resolved(given), "AWS::IAM::Role").items()
            if "ec2:CreateNetworkInterface" in json.dumps(role["Policies"])
        }
        functions = {
            f"{name}Role" for name in ("Classify", "Site", "ValidateRun", "PlanBatch", "CollectBatch", "WatchDrift")
        }
        assert joining == ({*functions, "PublishCodeRole", "TrainingRole", "ServingRole"} if given else set())


def test_somebody_elses_data_bucket_is_read_in_the_accounts_that_are_named_and_never_made() -> None:
    given = {"DataBucketName": "pictures", "DataBucketOwner": "210987654321"}
    resolved = template.resolved(given)
    assert of_type(resolved, "AWS::S3::Bucket").keys() == {"ArtifactBucket"}
    reading = [
        statement
        for role in of_type(resolved, "AWS::IAM::Role").values()
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "${DataBucketName}" in json.dumps(statement["Resource"])
    ]
    accounts = [{"Ref": "AWS::AccountId"}, {"Ref": "DataBucketOwner"}]
    assert len(reading) >= 8
    assert all(one["Condition"] == {"StringEquals": {"aws:ResourceAccount": accounts}} for one in reading)
    assert not [one for one in reading if {"s3:PutObject", "s3:DeleteObject"} & set(template.actions(one))]


RULES = {
    "CognitoHasAPool": ("ApiAuth", "COGNITO", ["CognitoUserPoolArn"]),
    "PrivateNetworkHasNoPackageIndex": ("Network", "PRIVATE", ["TrainingImageUri", "TrainingMode"]),
}


@pytest.mark.parametrize("rule", RULES)
def test_an_option_that_needs_another_is_refused_without_it(rule: str) -> None:
    name, value, needed = RULES[rule]
    found = template.load()["Rules"][rule]
    assert found["RuleCondition"] == {"Fn::Equals": [{"Ref": name}, value]}
    assert [one["Assert"]["Fn::Not"][0]["Fn::Equals"][0] for one in found["Assertions"]] == [
        {"Ref": one} for one in needed
    ]


# --- Whatever is chosen -----------------------------------------------------------------------------------------------


def test_nobody_in_particular_is_allowed_anything_but_within_this_account() -> None:
    resolved = template.resolved(parameters(tuple(len(settings) - 1 for settings in OPTIONS.values())))
    for name, one in resolved["Resources"].items():
        document = one.get("Properties", {}).get("PolicyDocument") or {"Statement": []}
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow" and statement["Principal"] == "*":
                own = statement.get("Condition") == {
                    "StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}
                }
                # CloudFormation signs the link that its custom resources answer by, with credentials of its own.
                assert own or (name, statement["Sid"]) == ("S3Endpoint", "AnswerCloudFormation"), name


def test_who_may_call_a_function_is_named_by_account_and_resource() -> None:
    for name, one in template.resources("AWS::Lambda::Permission").items():
        source = one["SourceArn"]  # by the account's number, or a resource of this stack
        assert "${AWS::AccountId}" in source.get("Fn::Sub", "") or source.get("Fn::GetAtt"), name


@pytest.mark.parametrize("kind", ["AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::ECR::Repository"])
def test_what_happens_to_what_is_kept_when_the_stack_goes_is_said(kind: str) -> None:
    for name, one in template.load()["Resources"].items():
        if one["Type"] == kind:
            assert {"DeletionPolicy", "UpdateReplacePolicy"} <= one.keys(), name


def short_forms_gone(resolved: dict[str, Any]) -> str:
    """The template as JSON; SAM and the linter read the long forms as well."""
    kept = ("AWSTemplateFormatVersion", "Transform", "Parameters", "Globals", "Resources", "Outputs")
    outputs = {
        name: {key: part for key, part in one.items() if key != "Condition"}
        for name, one in resolved["Outputs"].items()
    }
    return json.dumps({**{part: resolved[part] for part in kept}, "Outputs": outputs}, default=str)


def test_a_firewall_stands_before_the_stage_only_where_one_is_given() -> None:
    with_one, without = (
        of_type(template.resolved(given), "AWS::WAFv2::WebACLAssociation") for given in ({"WebAclArn": ACL}, {})
    )
    assert without == {}
    (association,) = with_one.values()
    assert association["WebACLArn"] == {"Ref": "WebAclArn"}
    assert association["ResourceArn"]["Fn::Sub"].endswith("/restapis/${Api}/stages/${Api.Stage}")


@pytest.mark.slow
def test_the_linter_takes_every_pair_of_settings(tmp_path: Path) -> None:
    for chosen in COMBINATIONS:
        path = tmp_path / f"{''.join(map(str, chosen))}.json"
        path.write_text(short_forms_gone(template.resolved(parameters(chosen))))
    files = [str(path) for path in sorted(tmp_path.glob("*.json"))]
    command = [str(ROOT / ".venv-sam" / "bin" / "cfn-lint"), "--ignore-checks", "W", "--", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "hardening").glob("*.json")), ids=lambda path: path.name)
def test_a_policy_to_be_put_elsewhere_trusts_services_for_this_account_only(path: Path) -> None:
    for statement in json.loads(path.read_text())["Statement"]:
        assert statement["Principal"] != "*" or statement["Effect"] == "Deny"
        if "Service" in statement["Principal"]:
            assert "ACCOUNT" in json.dumps(statement["Condition"]), statement["Sid"]
