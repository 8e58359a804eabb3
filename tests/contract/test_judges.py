"""The judges of `make check` see what they are there for: a fault that is put before them is found.

Checkov has no test here, because it takes five seconds to start: one that saw nothing would leave forty skips without
a finding, and `make check` would fail on each of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract import template as source
from tools.judges import code, stack, template
from tools.judges.stack import Policy


def test_every_policy_of_the_template_is_judged_and_holds_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", stack.REGION)
    policies = stack.policies(stack.transformed())

    roles = source.resources("AWS::IAM::Role")
    assert {one.owner for one in policies if one.place == "AssumeRolePolicyDocument"} == set(roles)
    inline = {
        (name, f"Policies[{number}].PolicyDocument")
        for name, role in roles.items()
        for number in range(len(role["Policies"]))
    }
    assert inline <= {(one.owner, one.place) for one in policies}
    assert set(source.resources("AWS::S3::BucketPolicy")) <= {one.owner for one in policies}
    assert not re.search(r'"(Ref|Fn::\w+)"|\$\{(?!aws:)', json.dumps([one.document for one in policies], default=str))


def test_parliament_finds_a_wide_a_misspelt_and_a_mismatched_statement_and_nothing_in_a_right_one() -> None:
    def allow(sid: str, action: str, resource: str, **more: Any) -> Policy:
        statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource, **more}
        return Policy("Role", "Policies[0].PolicyDocument", {"Version": "2012-10-17", "Statement": [statement]})

    seeded = [
        allow("Wide", "s3:GetObject", "*"),
        allow("Misspelt", "s3:GetObjekt", "arn:aws:s3:::b/*"),
        allow("Mismatched", "s3:GetObject", "arn:aws:s3:::b"),
        allow("NoSuchKey", "s3:GetObject", "arn:aws:s3:::b/*", Condition={"StringEquals": {"s3:prefiks": "a"}}),
        allow("Grabs", "iam:CreateAccessKey", "arn:aws:iam::123456789012:user/*"),
        allow("Right", "s3:GetObject", "arn:aws:s3:::b/*"),
        allow("Own", "kms:Decrypt", "*", Principal={"AWS": "arn:aws:iam::123456789012:root"})._replace(
            place="KeyPolicy"
        ),
    ]

    found = {(finding.about, finding.rule) for _, finding in template.in_parliament(seeded)}

    assert {
        ("Wide", "RESOURCE_STAR"),
        ("Misspelt", "UNKNOWN_ACTION"),
        ("Mismatched", "RESOURCE_MISMATCH"),
        ("NoSuchKey", "UNKNOWN_CONDITION_FOR_ACTION"),
        ("CreateAccessKey", "PRIVILEGE_ESCALATION"),
    } <= found
    assert not {"Right", "Own"} & {about for about, _ in found}  # in a key's own policy "*" is the key


def test_cfn_lint_finds_a_misspelt_property_and_tells_what_is_only_advice(tmp_path: Path) -> None:
    named = {"Fn::Join": ["", ["pictures-", {"Ref": "AWS::Region"}]]}
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"AccessControll": "Private", "BucketName": named}}
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Bucket": bucket}}))

    found = {finding.rule for finding in template.cfn_lint(path).failed}

    assert {"E3002", "I1022"} <= found  # I1022: Fn::Sub would do instead of Fn::Join


def test_bandit_finds_a_shell_and_takes_no_comment_without_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "shell.py"
    call = "subprocess.run(name, shell=True)"
    path.write_text(f"import subprocess\n{call}\n{call}  # nosec B602\n{call}  # nosec B602 - a reason\n")

    shells = [one for one in code.look(path)["results"] if one["test_id"] == "B602"]

    assert [code.is_argued(one) for one in shells] == [False, False, True]
