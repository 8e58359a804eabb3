"""What stands between the judges and what they judge: the stack without functions, skips, a service out of reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.judges import pins, stack
from tools.judges.__main__ import table
from tools.judges.skips import Finding, Skips, Verdict
from tools.template import ROOT

READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::Sub": "${Bucket.Arn}/${Prefix}/*"}}
USE_KEY = {"Fn::If": ["HasKey", {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}, {"Ref": "AWS::NoValue"}]}
STACK: stack.Template = {
    "Parameters": {"Prefix": {"Default": "runs"}, "KeyArn": {"Default": ""}},
    "Conditions": {"HasKey": {"Fn::Not": [{"Fn::Equals": [{"Ref": "KeyArn"}, ""]}]}},
    "Resources": {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"Key": {"Fn::If": ["HasKey", "own", "aws"]}}},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"Policies": [{"PolicyDocument": {"Version": "2012-10-17", "Statement": [READ, USE_KEY]}}]},
        },
    },
}


def test_a_policy_is_judged_in_every_form_it_has_once_and_holds_no_function() -> None:
    with_key, without = (policy.document["Statement"] for policy in stack.policies(STACK))

    assert [statement["Action"] for statement in with_key] == ["s3:GetObject", "kms:Decrypt"]
    assert [statement["Action"] for statement in without] == ["s3:GetObject"]
    assert without[0]["Resource"] == "arn:aws:s3:::bucket/runs/*"


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ({"Fn::Join": ["/", ["a", {"Ref": "Prefix"}]]}, "a/runs"),
        ({"Fn::Select": [1, {"Fn::Split": ["-", "a-b"]}]}, "b"),
        ({"Fn::Sub": ["${Own}:${AWS::Region}:${Bucket}", {"Own": {"Ref": "Prefix"}}]}, "runs:us-east-1:bucket"),
        ({"Fn::GetAtt": ["Role", "Arn"]}, "arn:aws:iam::123456789012:role/role"),
    ],
)
def test_a_function_is_worked_out(term: dict[str, Any], value: str) -> None:
    resources = {**STACK["Resources"], "Role": {"Type": "AWS::IAM::Role", "Properties": {"Statement": term}}}

    assert stack.policies({**STACK, "Resources": resources})[0].document["Statement"] == value


def test_a_function_or_an_arn_of_unknown_form_is_refused_instead_of_guessed() -> None:
    for term in ({"Fn::ImportValue": "x"}, {"Fn::GetAtt": ["Queue", "Arn"]}):
        resources = {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Policy": {"Statement": [term]}}}}
        with pytest.raises(ValueError, match=r"tools\.judges\.stack"):
            stack.policies({**STACK, "Resources": resources})


def test_by_default_the_conditions_are_those_of_the_default_parameters() -> None:
    assert stack.as_by_default(STACK)["Resources"]["Bucket"]["Properties"] == {"Key": "aws"}


def skips(**comments: str) -> Skips:
    """Skips of the rule R, each at the resource that is its name."""
    resources = {
        name: {"Metadata": {"checkov": {"skip": [{"id": "R", "comment": comment}]}}}
        for name, comment in comments.items()
    }
    return Skips.of_template({"Resources": {**resources, "Other": {}}}, "checkov")


def test_a_finding_is_skipped_where_it_is_argued_and_fails_elsewhere() -> None:
    verdict = skips(Here="the reason, in a sentence").judge("checkov", 5, [Finding("R", "Here"), Finding("R", "There")])

    assert (verdict.skipped, verdict.failed) == (1, [Finding("R", "There")])


def test_a_skip_without_a_reason_or_without_a_finding_fails() -> None:
    verdict = skips(Here="no", Gone="the reason, in a sentence").judge("checkov", 5, [Finding("R", "Here")])

    assert sorted((one.where, one.text.partition(":")[0]) for one in verdict.failed) == [
        ("Gone", "is skipped, but nothing is found any more"),
        ("Here", "is skipped without a reason"),
    ]


def test_the_table_counts_and_names_what_failed() -> None:
    lines = table([Verdict("one", 7, [], 2), Verdict("two", None, [Finding("R", "Here", "it", "is bad")])]).splitlines()

    assert [line.split() for line in lines[1:3]] == [["one", "7", "0", "2"], ["two", "-", "1", "0"]]
    assert lines[3:] == ["two: R Here it is bad"]


def test_a_service_that_does_not_find_what_everybody_knows_is_not_believed() -> None:
    def unreachable(path: Path) -> list[dict[str, Any]]:
        assert path.read_text() == f"{pins.KNOWN_BAD}\n", "nothing else is asked about"
        return [{"name": "jinja2", "skip_reason": "Dependency not found on PyPI and could not be audited"}]

    verdict = pins.pip_audit(unreachable)

    assert verdict.passed == 0 and verdict.failed == [] and verdict.note.startswith("NOTHING WAS AUDITED")


def test_a_pin_with_a_known_hole_fails_and_one_nobody_knows_is_said() -> None:
    hole = {"id": "PYSEC-1", "fix_versions": ["2.0"]}

    pinned: list[dict[str, Any]] = [
        {"name": "jinja2", "version": "2.10", "vulns": [hole]},
        {"name": "a", "version": "1", "vulns": []},
        {"name": "b", "skip_reason": "?"},
    ]

    verdict = pins.pip_audit(lambda path: pinned[:1] if path.read_text() == f"{pins.KNOWN_BAD}\n" else pinned)

    files = len(list(ROOT.glob("constraints*.txt")))
    assert (verdict.passed, len(verdict.failed), verdict.note) == (
        files,
        files,
        f"{files} pins are unknown to the service",
    )
    assert "mended in ['2.0']" in verdict.failed[0].text
