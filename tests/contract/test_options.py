"""Every combination of the template's options: what must hold in each, and that CloudFormation's linter takes it."""

from __future__ import annotations

import itertools
import json
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
# An option -> the settings it has, each as parameters; the first is the default.
OPTIONS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "auth": ({}, {"ApiAuth": "AWS_IAM"}, {"ApiAuth": "COGNITO", "CognitoUserPoolArn": POOL}),
    "boundary": ({}, {"PermissionsBoundaryArn": BOUNDARY}),
    "key": ({}, {"KmsKeyArn": KEY}),
    "acl": ({}, {"WebAclArn": ACL}),
    "account": ({}, {"ApiAccountLogging": "EXISTING"}),
    "shift": ({}, {"SafeDeployments": "true"}),
    "budget": ({}, {"MonthlyBudgetUsd": "100", "BudgetEmail": "owner@example.com"}),
    "concurrency": ({}, {"ProvisionedConcurrency": "0", "ReservedConcurrency": "0"}),
}
Chosen = tuple[int, ...]


def parameters(chosen: Chosen) -> dict[str, str]:
    picked = (settings[number] for settings, number in zip(OPTIONS.values(), chosen, strict=True))
    return {name: value for setting in picked for name, value in setting.items()}


def every() -> Iterator[Chosen]:
    return itertools.product(*(range(len(settings)) for settings in OPTIONS.values()))


def pairwise() -> list[Chosen]:
    """Few combinations that hold every pair of settings, greedily: always the one with most pairs that are new."""

    def pairs(chosen: Chosen) -> set[tuple[tuple[int, int], ...]]:
        return set(itertools.combinations(enumerate(chosen), 2))

    left, found = set().union(*map(pairs, every())), list[Chosen]()
    while left:
        best = max(every(), key=lambda chosen: len(pairs(chosen) & left))
        found.append(best)
        left -= pairs(best)
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
    "AWS::SNS::Topic": "KmsMasterKeyId",
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


@pytest.mark.parametrize(("name", "rule", "fits"), [("ApiAuth", "CognitoHasAPool", "COGNITO")])
def test_an_option_that_needs_another_is_refused_without_it(name: str, rule: str, fits: str) -> None:
    assert template.load()["Rules"][rule]["RuleCondition"] == {"Fn::Equals": [{"Ref": name}, fits]}


def short_forms_gone(resolved: dict[str, Any]) -> str:
    """The template as JSON; SAM and the linter read the long forms as well."""
    kept = ("AWSTemplateFormatVersion", "Transform", "Parameters", "Globals", "Resources", "Outputs")
    outputs = {
        name: {key: part for key, part in one.items() if key != "Condition"}
        for name, one in resolved["Outputs"].items()
    }
    return json.dumps({**{part: resolved[part] for part in kept}, "Outputs": outputs}, default=str)


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
