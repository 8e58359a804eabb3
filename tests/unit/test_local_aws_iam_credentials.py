"""Temporary credentials of roles: who holds them, and for how long."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from local_aws import credentials
from local_aws.ec2_instances import Credentials

ROLE = "arn:aws:iam::000000000000:role/path/training"


def test_issued_credentials_say_whose_they_are() -> None:
    issued = credentials.issue(ROLE, "i-0123")

    holder = credentials.principal_of(issued["AccessKeyId"])
    assert credentials.role_of(issued["AccessKeyId"]) == ROLE
    assert holder is not None
    assert holder.arn == "arn:aws:sts::000000000000:assumed-role/training/i-0123"
    assert set(issued) == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert datetime.fromisoformat(issued["Expiration"]).utcoffset() is not None


def test_expired_and_foreign_credentials_belong_to_nobody() -> None:
    expired = credentials.issue(ROLE, "me", lifetime_s=-1)["AccessKeyId"]

    assert [credentials.role_of(key) for key in (expired, "ASIAQQQQQQQQQQQQQQQQ", "test")] == [None, None, None]


def test_only_a_role_has_them() -> None:
    with pytest.raises(ValueError, match="is not the ARN of a role"):
        credentials.issue("arn:aws:iam::000000000000:user/me", "me")


def test_an_instance_whose_role_does_not_trust_ec2_gets_none() -> None:
    told = json.loads(Credentials("arn:aws:iam::000000000000:role/nobody", "i-0123")())

    assert told["Code"] == "AssumeRoleUnauthorizedAccess"
    assert "AccessKeyId" not in told
